"""Later editions of a gallery: what a photo that was sent before does, and what needs consent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from math import log2
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from enfpire.client.asking import Asker
from enfpire.client.exchange_link import ExchangeLink
from enfpire.client.lazy_extractor import LazyExtractor
from enfpire.client.recognition import Recognition
from enfpire.client.recognizer import Recognizer
from enfpire.client.refits import Earlier, Repeats, check_refit
from enfpire.client.settings import ClientSettings
from enfpire.client.store import Entry, PendingStore, Sent, open_store
from enfpire.errors import RefitError
from enfpire.wire.arrays import Floats
from enfpire.wire.bundle import SignedBundle
from enfpire.wire.query import Groups
from tests.unit.editions import Edition, edition, groups_of
from tests.unit.local_exchange import CREDENTIAL, LocalExchange
from tests.unit.synthetic import shop
from tests.unit.test_store import parcel, record

SHOP = shop()
OWN = groups_of(SHOP)
FIRST = edition(SHOP, OWN)
# three classes are new, one is gone, and every photo would be routed by the anchors of another class
LATER = edition(SHOP, [OWN[0][1:], [*OWN[1], 60], OWN[2], [*OWN[3], 61, 62], OWN[4]], rolled=30)
# classes of group 0 are spread over three groups
MOVED = edition(SHOP, [OWN[0][:8], [*OWN[1], *OWN[0][8:10]], [*OWN[2], *OWN[0][10:]], OWN[3], OWN[4]], rolled=30)
AFTER_MOVED = edition(SHOP, [OWN[0][:8], [*OWN[1], *OWN[0][8:10], 60], [*OWN[2], *OWN[0][10:]], OWN[3], OWN[4]])
# every class moved, whichever of the others is compared
TURNED = edition(SHOP, [*OWN[3:], *OWN[:3]])
FEATURES = SHOP.features[:40]


@pytest.fixture
def exchange() -> LocalExchange:
    return LocalExchange(SHOP)


@pytest.fixture(params=["sqlite", "redis"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "sqlite" else request.getfixturevalue("redis_url")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PendingStore]:
    opened = open_store(str(tmp_path / "store"))
    yield opened
    opened.close()


Submit = Callable[..., dict[int, Recognition]]


@pytest.fixture
def submit(where: str, exchange: LocalExchange) -> Submit:
    """Submit features under an edition, as `Recognizer.open` does it."""

    def submitted(under: Edition, features: Floats = FEATURES, *, consent: bool = False) -> dict[int, Recognition]:
        under.served_by(exchange)
        store = open_store(where)
        check_refit(under.signed, store, consent=consent)
        settings = ClientSettings(deadline_seconds=5, photos_per_query=16, memory_bytes=0)
        extractor = LazyExtractor(under.signed.bundle.extractor)
        with Recognizer(
            under.signed, store, cast("ExchangeLink", exchange), CREDENTIAL, settings, extractor
        ) as recognizer:
            return {one.row: one for one in recognizer.submit(features).results()}

    return submitted


def groups(found: dict[int, Recognition]) -> list[int]:
    known = [found[row].group for row in sorted(found)]
    return [group for group in known if group is not None]


def failed(found: dict[int, Recognition]) -> list[int]:
    return [row for row, one in sorted(found.items()) if one.error is not None]


def asked(exchange: LocalExchange) -> list[list[int]]:
    protected = [pushed.request.query.protected for pushed in exchange.pushed]
    return [one.numbers.values.tolist() for one in protected if isinstance(one, Groups)]


def test_the_same_photo_sends_the_same_group(submit: Submit, exchange: LocalExchange) -> None:
    first = submit(FIRST)
    # batches are made anew, and the photos are in another order
    again = submit(FIRST, FEATURES[::-1].copy())
    assert groups(again) == groups(first)[::-1]
    assert asked(exchange)[3:] == [sorted(set(groups(again)[start : start + 16])) for start in (0, 16, 32)]


def test_a_stable_edition_is_sent_what_was_sent_before(submit: Submit, exchange: LocalExchange) -> None:
    first = submit(FIRST)
    pushed = len(exchange.pushed)
    later = submit(LATER)
    assert groups(later) == groups(first)
    assert asked(exchange)[pushed:] == asked(exchange)[:pushed]
    # other photos are routed by the new anchors, which are wrong on purpose
    others = submit(LATER, SHOP.features[40:80])
    fresh = submit(FIRST, SHOP.features[80:])
    right = [SHOP.groups[label] for label in SHOP.labels]
    assert np.mean([group == right[row] for row, group in enumerate(groups(others), 40)]) < 0.5
    assert np.mean([group == right[row] for row, group in enumerate(groups(fresh), 80)]) > 0.9
    # and the old ones are recognised, but for the class that is gone
    gone = SHOP.fit.names[OWN[0][0]]
    assert [later[row].name for row in later if first[row].name != gone] == [
        first[row].name for row in first if first[row].name != gone
    ]


def test_a_refit_is_refused_without_consent(submit: Submit, exchange: LocalExchange) -> None:
    submit(FIRST)
    pushed = len(exchange.pushed)
    with pytest.raises(RefitError, match=r"moves 4 classes .* 1\.6 bits more \(2\.3 .*--consent-to-refit"):
        submit(MOVED)
    assert len(exchange.pushed) == pushed
    submit(FIRST)


def test_consent_covers_old_photos_and_new_ones(submit: Submit, where: str) -> None:
    first = submit(FIRST)
    found = submit(MOVED, SHOP.features[:60], consent=True)
    assert {one.error for one in found.values()} == {None}
    assert groups(found)[:40] != groups(first)
    with closing(open_store(where)) as store:
        before, now = store.ledger.entries()
    assert before.consented is None
    assert (now.photos, now.asked, now.consented) == (60, 60, log2(5))
    # it holds from then on, for this bundle and for the editions that move no class of it
    again = submit(MOVED)
    assert groups(again) == groups(found)[:40]
    assert groups(submit(AFTER_MOVED)) == groups(again)
    # each bundle is still sent what it was sent
    assert groups(submit(FIRST)) == groups(first)


def test_only_photos_that_were_sent_elsewhere_fail(submit: Submit, exchange: LocalExchange) -> None:
    """Under a bundle that is in use from before, a photo that another one has seen is refused alone."""
    submit(FIRST, SHOP.features[:20])
    submit(MOVED, SHOP.features[20:40], consent=True)
    pushed = len(exchange.pushed)
    found = submit(FIRST, SHOP.features[10:50])
    assert [row for row, one in found.items() if one.error is not None] == list(range(10, 30))
    assert {one.error for row, one in found.items() if 10 <= row < 30} == {
        "it was sent before, and its gallery was regrouped since: another message about it tells up to 2.3 bits more; "
        "if you accept that, submit it again with --consent-to-refit (consent_to_refit=True)"
    }
    assert len(exchange.pushed) == pushed + 3


def test_consent_does_not_cover_photos_that_a_later_bundle_saw_first(submit: Submit) -> None:
    submit(FIRST, SHOP.features[:10])
    submit(MOVED, SHOP.features[10:20], consent=True)
    submit(TURNED, SHOP.features[20:30], consent=True)
    assert failed(submit(MOVED, SHOP.features[:40])) == list(range(20, 30))
    # nor does what a later edition inherits
    with pytest.raises(RefitError):
        submit(AFTER_MOVED, SHOP.features[:40])
    # consent that was given again covers them, and what it covered before
    assert failed(submit(MOVED, SHOP.features[:50], consent=True)) == []
    assert failed(submit(AFTER_MOVED, SHOP.features[:50])) == []


def test_a_group_that_is_gone_is_not_asked_for(submit: Submit) -> None:
    first = submit(FIRST)
    without = edition(SHOP, OWN[:4])
    found = submit(without)
    was_there = {row for row, group in enumerate(groups(first)) if group < 4}
    assert {row for row, one in found.items() if one.error is None} == was_there
    assert all(one.group == first[row].group for row, one in found.items() if row in was_there)


def test_two_photos_with_one_content_are_asked_as_one(submit: Submit) -> None:
    twice = np.concatenate([FEATURES[:5], FEATURES[:5]])
    found = submit(FIRST, twice)
    assert groups(found)[:5] == groups(found)[5:]
    assert [found[row].name for row in range(5)] == [found[row].name for row in range(5, 10)]


def test_a_message_that_another_process_sends_meanwhile_counts(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bundles are in use, and the same photo is about to be asked under both."""
    with closing(open_store(where)) as store:
        jobs = [open_job(store, one.signed) for one in (FIRST, MOVED)]
        first, moved = (Asker(store, one.signed) for one in (FIRST, MOVED))
        look_up = Earlier.repeats

        def late(earlier: Earlier, contents: Sequence[bytes]) -> Repeats:
            found = look_up(earlier, contents)
            monkeypatch.undo()
            first.ask(jobs[0], [0], ["0"], FEATURES[:1])
            return found

        monkeypatch.setattr(Earlier, "repeats", late)
        moved.ask(jobs[1], [0, 1], ["0", "1"], FEATURES[:2])
        assert [store.outstanding(job) for job in jobs] == [1, 1]
        (asked,) = store.open_parcels(jobs[1])
        loaded = store.load(asked.id)
        assert loaded is not None
        assert loaded[0].rows == (1,)
        ((_, refused),) = store.recognitions(jobs[1], 0, 10)
        assert refused.row == 0
        assert "--consent-to-refit" in (refused.error or "")


# Opening


def test_a_first_bundle_needs_nothing(store: PendingStore) -> None:
    check_refit(FIRST.signed, store, consent=False)
    check_refit(FIRST.signed, store, consent=True)
    assert store.ledger.entries() == []


def test_a_bundle_that_was_opened_and_not_used_binds_nobody(store: PendingStore) -> None:
    for one in (FIRST, LATER):
        store.keep_bundle(one.signed.digest, one.signed.data)
    check_refit(MOVED.signed, store, consent=False)


def open_job(store: PendingStore, signed: SignedBundle) -> str:
    """Open a job of six photos under a bundle."""
    job = record(f"{len(store.jobs()):016x}")
    store.keep_bundle(signed.digest, signed.data)
    store.open_job(type(job)(job.id, "shop", signed.digest, 1.0, job.state, 6, ""), map(str, range(6)))
    return job.id


def used(store: PendingStore, signed: SignedBundle) -> None:
    """Let the store have one photo that was sent under a bundle."""
    job = open_job(store, signed)
    assert store.put(parcel(len(store.jobs()), (0,), job), 1.0, [Sent(signed.digest, b"\0\0\0\0")])


def test_consent_is_noted_with_its_cost_and_only_where_something_moved(store: PendingStore) -> None:
    used(store, FIRST.signed)
    check_refit(LATER.signed, store, consent=False)
    assert [one.consented for one in store.ledger.entries()] == [None]
    check_refit(MOVED.signed, store, consent=True)
    assert store.ledger.entries()[1:] == [Entry("shop", MOVED.signed.digest, consented=log2(5))]
    check_refit(MOVED.signed, store, consent=False)
    check_refit(AFTER_MOVED.signed, store, consent=False)
    assert [one.consented for one in store.ledger.entries()][1:] == [log2(5), log2(5)]


def test_a_way_back_needs_consent_of_its_own(store: PendingStore) -> None:
    used(store, FIRST.signed)
    check_refit(MOVED.signed, store, consent=True)
    used(store, MOVED.signed)
    check_refit(FIRST.signed, store, consent=False)  # in use from before
    with pytest.raises(RefitError):
        check_refit(LATER.signed, store, consent=False)


def test_a_bundle_that_cannot_be_read_any_more_is_as_if_all_moved(store: PendingStore) -> None:
    used(store, FIRST.signed)
    stranger = type(FIRST.signed)(bundle=FIRST.signed.bundle, digest=b"x" * 32, key=FIRST.signed.key, data=b"old")
    used(store, stranger)
    with pytest.raises(RefitError, match="moves 62 classes"):
        check_refit(LATER.signed, store, consent=False)
