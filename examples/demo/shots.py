"""Photos for those who have brought none: parts of installed photographs, and simulated second shots of them.

A class is a quarter of a photograph that scikit-image or scikit-learn installs: a "spot". Its shots differ in
perspective, crop, light, blur and JPEG quality, so gallery and query photos are never the same picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

PHOTOGRAPHS = {
    "skimage": (
        *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "coffee.png", "coins.png"),
        *("grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png"),
        *("retina.jpg", "rocket.jpg"),
    ),
    "sklearn": ("china.jpg", "flower.jpg"),
}
SIZE = 288


def write_shots(folder: Path, gallery_shots: int = 5, query_shots: int = 6, seed: int = 0) -> Path:
    """Write gallery/CLASS/*.jpg and query/CLASS/*.jpg under `folder`, and return it."""
    random = np.random.default_rng(seed)
    for name, spot in spots():
        for split, count in (("gallery", gallery_shots), ("query", query_shots)):
            target = folder / split / name
            target.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                (target / f"{name}_{number}.jpg").write_bytes(shoot(spot, random))
    return folder


def spots() -> Iterator[tuple[str, Image.Image]]:
    """Every spot with its name: the four quarters of each photograph."""
    for path in photographs():
        with Image.open(path) as opened:
            photo = opened.convert("RGB")
        width, height = photo.size
        for number in range(4):
            left, top = (number % 2) * width // 2, (number // 2) * height // 2
            part = photo.crop((left, top, left + width // 2, top + height // 2))
            yield f"{path.stem}_{'abcd'[number]}", part.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def photographs() -> list[Path]:
    """The photographs' files, where the packages installed them."""
    import skimage
    import sklearn

    folders = {
        "skimage": Path(skimage.__file__).parent / "data",
        "sklearn": Path(sklearn.__file__).parent / "datasets/images",
    }
    found = [folders[package] / name for package, names in PHOTOGRAPHS.items() for name in names]
    return sorted(path for path in found if path.exists())


def shoot(spot: Image.Image, random: np.random.Generator) -> bytes:
    """One simulated shot of a spot, as JPEG bytes."""
    corners = np.array([(0, 0), (0, 1), (1, 1), (1, 0)]) * 0.8 + 0.1
    moved = (corners + random.uniform(-0.09, 0.09, (4, 2))) * SIZE
    shot = spot.transform((224, 224), Image.Transform.QUAD, moved.flatten().tolist(), Image.Resampling.BICUBIC)
    shot = ImageEnhance.Brightness(shot).enhance(random.uniform(0.6, 1.4))
    shot = ImageEnhance.Contrast(shot).enhance(random.uniform(0.7, 1.3))
    shot = ImageEnhance.Color(shot).enhance(random.uniform(0.6, 1.4))
    shot = shot.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.5)))
    written = BytesIO()
    shot.save(written, "JPEG", quality=int(random.integers(40, 95)))
    return written.getvalue()
