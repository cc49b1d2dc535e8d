"""Networks that turn pixels into raw features. The only module that imports torch."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from threading import Barrier

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from enfpire.client.photos import Pixels
from enfpire.errors import UsageError
from enfpire.wire.arrays import Floats

LITE0 = "efficientnet-lite0"
DIMENSION_CAP = 16_384  # the widest pooled layer of torchvision has 7,392

# Slices of a few photos, whose activations stay in the cache, one thread each. Measured on 2 cores (EfficientNet-Lite0,
# folded, 32 photos): both threads on the whole batch 44 photos/s, on slices of 4 72, a thread a slice 81; the same on
# a machine that is busy fourfold: 7, 5 and 21, since nobody waits for a thread that does not run.
SLICE = 4


@dataclass(frozen=True)
class Architecture:
    """A network without its classifier, and its input: (pixel - shift) / scale, `resolution` pixels square.

    `shift` and `scale` are three numbers, for red, green and blue in 0 to 255. `head` is how the names of the
    classifier's weights begin.
    """

    module: nn.Module
    head: str
    resolution: int
    shift: tuple[float, ...]
    scale: tuple[float, ...]


class Network:
    """A network that is loaded and ready on its device.

    `weights` is the SHA-256 of the weights file, `dimensions` D the length of a raw feature. Raises `UsageError` for a
    device that is not there and for a network that does not pool.
    """

    def __init__(self, name: str, design: Architecture, weights: bytes, device: str | None) -> None:
        self.name = name
        self.weights = weights
        self.resolution = design.resolution
        self._device = _device(device)
        layout = torch.channels_last
        self._module = design.module.eval().to(device=self._device, memory_format=layout)  # type: ignore[call-overload]
        self._shift = torch.tensor(design.shift, device=self._device).view(1, 3, 1, 1)
        self._scale = torch.tensor(design.scale, device=self._device).view(1, 3, 1, 1)
        self._lanes = Lanes() if self._device.type == "cpu" else None
        self.dimensions = self.raw(np.zeros((1, self.resolution, self.resolution, 3), np.uint8)).shape[1]
        if self.dimensions > DIMENSION_CAP:
            raise UsageError(f"{name} does not pool before its classifier: use another model, such as resnet50")

    def raw(self, pixels: Pixels) -> Floats:
        """Raw features (n, D) float32 of pixels (n, resolution, resolution, 3), n at least 1."""
        if self._lanes is None or len(pixels) < self._lanes.count:
            return self._forward(pixels)
        size = min(SLICE, ceil(len(pixels) / self._lanes.count))
        slices = [pixels[start : start + size] for start in range(0, len(pixels), size)]
        return np.concatenate(list(self._lanes.pool.map(self._forward, slices)))

    def _forward(self, pixels: Pixels) -> Floats:
        with torch.inference_mode():
            # Rows of pixels, seen as (n, 3, h, w), already lie in memory the way channels_last wants them.
            planes = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).float()
            rows: Floats = self._module((planes - self._shift) / self._scale).cpu().numpy()
        return rows


class Lanes:
    """A pool of threads (`count` of them) in each of which torch computes alone; make it after a fork, not before."""

    def __init__(self) -> None:
        self.count = torch.get_num_threads()
        ready = Barrier(self.count + 1)
        self.pool = ThreadPoolExecutor(self.count, thread_name_prefix="network")
        for _ in range(self.count):
            self.pool.submit(_compute_alone, ready)
        ready.wait()
        # What a thread sets for itself is also what threads to come start with: put that back.
        torch.set_num_threads(self.count)


def _compute_alone(ready: Barrier) -> None:
    torch.get_num_threads()  # the first call in a thread sets the common number; ours has to come after it
    torch.set_num_threads(1)
    ready.wait()


def load_network(name: str, weights: Path, device: str | None) -> Network:
    """Load `efficientnet-lite0` or a torchvision classification model with the state dict in `weights`.

    Raises `UsageError` for an unknown name or device, and for weights that cannot be read or belong to another model.
    """
    data = read_weights(weights)
    design = _lite0() if name == LITE0 else _torchvision(name)
    _fill(design, _state_of(data), name)
    if name == LITE0:
        _fold(design.module)
    return Network(name, design, hashlib.sha256(data).digest(), device)


def read_weights(path: Path) -> bytes:
    """The bytes of a weights file; `UsageError` where it cannot be read."""
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"the weights file {path} cannot be read ({error.strerror}): check the path") from None


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"the device {name!r} cannot be used: leave it out, or say cpu") from error
    return device


def _state_of(data: bytes) -> Mapping[str, torch.Tensor]:
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UsageError("the weights file is not a state dict: save it with torch.save(model.state_dict())") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UsageError("the weights file holds more than a state dict: save it with torch.save(model.state_dict())")
    return state


def _fill(design: Architecture, state: Mapping[str, torch.Tensor], name: str) -> None:
    body = {key: value for key, value in state.items() if not key.startswith(f"{design.head}.")}
    try:
        design.module.load_state_dict(body)
    except RuntimeError as error:
        raise UsageError(f"the weights file is not one of {name}: name the model that it was made for") from error


class _Lite0(EfficientNet):  # type: ignore[misc]
    """EfficientNet-Lite0 up to its pooling, (n, 3, 224, 224) -> (n, 1280)."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.extract_features(inputs)
        return maps.mean((2, 3))


def _lite0() -> Architecture:
    module = _Lite0.from_name(LITE0)
    module._fc = nn.Identity()
    return Architecture(module, "_fc", 224, shift=(127.0,) * 3, scale=(128.0,) * 3)


def _fold(lite0: nn.Module) -> None:
    """Fold batch norms into the convolutions before them, and padding where it is the same on all sides.

    Measured: 42 photos/s in place of 20 (batches of 32, channels_last, 2 cores); outputs differ by 1e-5.
    """
    for part in (lite0, *lite0.get_submodule("_blocks").children()):
        for conv, norm in (
            ("_conv_stem", "_bn0"),
            ("_conv_head", "_bn1"),
            ("_expand_conv", "_bn0"),
            ("_depthwise_conv", "_bn1"),
            ("_project_conv", "_bn2"),
        ):
            if hasattr(part, conv):
                setattr(part, conv, _padded(fuse_conv_bn_eval(getattr(part, conv).eval(), getattr(part, norm).eval())))
                setattr(part, norm, nn.Identity())
    for module in lite0.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True


def _padded(conv: nn.Conv2d) -> nn.Conv2d:
    border = conv.static_padding
    if isinstance(border, nn.ZeroPad2d) and len(set(border.padding)) == 1:
        conv.padding = (border.padding[0], border.padding[0])
        conv.static_padding = nn.Identity()
    return conv


def _torchvision(name: str) -> Architecture:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise UsageError(f"there is no network {name!r}: use {LITE0}, or a torchvision model such as resnet50")
    module = models.get_model(name, weights=None)
    head = next((part for part in ("fc", "classifier", "heads", "head") if hasattr(module, part)), None)
    if head is None:
        raise UsageError(f"the classifier of {name} is not where we look for it: use another model, such as resnet50")
    setattr(module, head, nn.Flatten())
    made_for = models.get_model_weights(name).DEFAULT.transforms()
    return Architecture(
        module,
        head,
        int(made_for.crop_size[0]),
        shift=tuple(255 * value for value in made_for.mean),
        scale=tuple(255 * value for value in made_for.std),
    )
