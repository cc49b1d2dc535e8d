"""The client's commands that look at bundles and at the ledger, in this process."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image
from typer.testing import CliRunner, Result

from enfpire.cli import main
from enfpire.client.store import Question, Sent, open_store
from enfpire.curation.fit import VectorOptions
from enfpire.errors import EnfPireError, FloorError, RefitError, SignatureError, UsageError
from enfpire.wire.arrays import Array
from enfpire.wire.bundle import SignedBundle, sign_bundle
from tests.unit.editions import KEY, edition, groups_of
from tests.unit.local_exchange import CREDENTIAL
from tests.unit.synthetic import shop
from tests.unit.test_store import parcel, record

SHOP = shop()
OWN = groups_of(SHOP)
FIRST = edition(SHOP, OWN).signed
LATER = edition(SHOP, [[*OWN[0], 60], OWN[1][1:], *OWN[2:]]).signed
MOVED = edition(SHOP, [OWN[1], OWN[0], *OWN[2:]]).signed
PROJECTED = shop(VectorOptions(kind="projection", dimensions=4, candidates=10)).signed


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main.app, [str(one) for one in arguments])


def good(*arguments: object) -> str:
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def bad(*arguments: object) -> EnfPireError:
    error = call(*arguments).exception
    assert isinstance(error, EnfPireError)
    return error


@pytest.fixture
def save(tmp_path: Path) -> Any:
    def saved(signed: SignedBundle) -> Path:
        path = tmp_path / f"{signed.digest.hex()[:8]}.enfpire"
        path.write_bytes(signed.data)
        return path

    return saved


def test_a_good_bundle_is_verified(save: Any) -> None:
    said = good("bundle", "verify", save(FIRST), "--operator-key", FIRST.key.hex())
    assert FIRST.digest.hex() in said
    assert f"signed by {FIRST.key.hex()}: as it should be" in said
    assert "2.32 bits at most, and names one of 60 equally likely classes with a probability of 8.3% at most" in said
    assert "check it with --operator-key" in good("bundle", "verify", save(FIRST))


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (["--operator-key", "ab" * 32], SignatureError, "operator"),
        (["--operator-key", "key"], UsageError, "64 hexadecimal digits"),
        (["--max-leak-bits", 2.3], FloorError, "2.3 bits"),
        (["--min-classes-per-group", 13], FloorError, "12 classes"),
    ],
)
def test_a_bundle_that_is_not_good_enough_is_not_verified(
    save: Any, options: list[object], error: type[EnfPireError], says: str
) -> None:
    caught = bad("bundle", "verify", save(FIRST), *options)
    assert isinstance(caught, error)
    assert says in str(caught)


def test_a_transform_without_proof_needs_a_word(save: Any) -> None:
    assert isinstance(bad("bundle", "verify", save(PROJECTED)), FloorError)
    assert "64 bits: this transform has no proof" in good("bundle", "verify", save(PROJECTED), "--accept-unproved")


def test_a_bundle_is_compared_with_an_older_one(save: Any) -> None:
    said = good("bundle", "verify", save(LATER), "--against", save(FIRST))
    assert f"no class moved since {FIRST.bundle.version}: 1 added, 1 removed" in said
    caught = bad("bundle", "verify", save(MOVED), "--against", save(FIRST))
    assert isinstance(caught, RefitError)
    assert caught.exit_code == 5
    assert "moves 24 classes" in str(caught)
    assert "up to 0.0 bits more (2.3 if it is routed elsewhere)" in str(caught)


def test_only_bundles_of_one_gallery_and_one_operator_are_compared(save: Any) -> None:
    stranger = sign_bundle(FIRST.bundle, Ed25519PrivateKey.from_private_bytes(b"x" * 32))
    assert isinstance(bad("bundle", "verify", save(LATER), "--against", save(stranger)), SignatureError)
    other = sign_bundle(FIRST.bundle.model_copy(update={"gallery": "art"}), KEY)
    assert isinstance(bad("bundle", "verify", save(LATER), "--against", save(other)), UsageError)


def test_what_the_operator_claims_is_shown_as_a_claim(save: Any) -> None:
    shown = json.loads(good("bundle", "show", save(FIRST), "--json"))
    assert (shown["members"], shown["anchor_dimensions"], shown["slack"]) == (60, 24, 0.0)
    assert "bound_that_the_operator_claims" not in shown
    priors = Array.of(np.array([0.2, 0.05, 0.05, 0.04, 0.01]), "f4")
    cells = FIRST.bundle.transform.model_copy(update={"priors": priors})
    claimed = sign_bundle(FIRST.bundle.model_copy(update={"transform": cells}), KEY)
    shown = json.loads(good("bundle", "show", save(claimed), "--json"))
    assert shown["bound_that_the_operator_claims"] == pytest.approx(0.35)
    assert shown["bound"] == pytest.approx(5 / 60)
    assert "bound that the operator claims" in good("bundle", "show", save(claimed))


# The ledger


def store_that_sent(where: str, *bundles: SignedBundle) -> None:
    """Under each bundle one photo was asked about, and two were answered from memory."""
    with closing(open_store(where)) as store:
        for number, signed in enumerate(bundles):
            job = record(f"{number:016x}")
            store.keep_bundle(signed.digest, signed.data)
            store.open_job(type(job)(job.id, "shop", signed.digest, 1.0, job.state, 6, ""), map(str, range(6)))
            one = parcel(number, (0, 1, 2), job.id)
            assert store.put(one, 1.0, [Sent(bytes([row]) * 32, b"\0\0\0\0", others=number) for row in range(3)])
            store.ledger.note(one.id, Question(1, (0,), 2.25))


def test_an_empty_ledger_says_what_it_would_not_count(tmp_path: Path) -> None:
    said = good("ledger", "--store", tmp_path / "store")
    assert said.count("not counted:") == 3
    assert json.loads(good("ledger", "--store", tmp_path / "store", "--json"))["galleries"] == []


def test_the_ledger_adds_up_by_gallery(tmp_path: Path) -> None:
    where = str(tmp_path / "store")
    store_that_sent(where, FIRST, LATER)
    with closing(open_store(where)) as store:
        store.ledger.consent("shop", LATER.digest, 2.0, [FIRST.digest])
        store.ledger.consent("art", b"unreadable" * 3, 1.0, [])
    shown = json.loads(good("ledger", "--store", where, "--json"))
    assert set(shown["not_counted"]) == {"silence", "timing", "links"}
    art, own = shown["galleries"]
    assert {name: own[name] for name in ("gallery", "asked", "silent", "queries", "bits")} == {
        "gallery": "shop",
        "asked": 2,
        "silent": 4,
        "queries": 2,
        "bits": 4.5,
    }
    first, later = own["bundles"]
    assert (first["groups_asked"], first["groups"], first["photos"], first["bits"]) == (1, 5, 3, 2.25)
    assert first["bits_per_photo"] == pytest.approx(np.log2(5))
    assert (first["bits_consented_per_old_photo"], later["bits_consented_per_old_photo"]) == (None, 2.0)
    assert art["bundles"][0]["version"] is None
    table = good("ledger", "--store", where)
    assert "shop, all 2 2 4 4.5" in table
    assert f"consented: shop {LATER.digest.hex()[:12]}: an old photo that is asked again tells up to 2.00 bits" in table


# Consent


def test_recognize_asks_for_consent_to_a_refit(tmp_path: Path, save: Any, redis_url: str) -> None:
    where, photo, credential = tmp_path / "store", tmp_path / "a.png", tmp_path / "c1.json"
    store_that_sent(str(where), FIRST)
    Image.new("RGB", (8, 8)).save(photo)
    credential.write_text(CREDENTIAL.model_dump_json())
    options = ["--credential", credential, "--exchange", redis_url, "--store", where, "--out", tmp_path / "out.csv"]
    refused = bad("recognize", photo, "--bundle", save(MOVED), *options)
    assert isinstance(refused, RefitError)
    # with consent, and without where no class moved, it goes on to what this bundle lacks: a real network
    for one, consent in ((LATER, []), (MOVED, ["--consent-to-refit"])):
        assert "weights file" in str(bad("recognize", photo, "--bundle", save(one), *options, *consent))
    with closing(open_store(str(where))) as store:
        assert [entry.consented for entry in store.ledger.entries()] == [None, pytest.approx(np.log2(5))]
