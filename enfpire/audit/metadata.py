"""What sizes and fetched sets tell, to the server and to an onlooker of encrypted traffic.

A request's size tells how many distinct groups it names. A reply's size would tell an onlooker which group was asked,
unless sets are of one size; so replies are padded as if all sets were the gallery's largest, and the padded response is
what is measured here. A client with a memory of candidate sets asks for each once, so that all its requests together
tell the set of groups that it ever needed. Times are not modelled: whoever sees a request knows when something was
asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from enfpire.leakage.channel import Channel, mutual_information, posterior_vulnerability, prior_vulnerability
from enfpire.wire.arrays import Array, Indices
from enfpire.wire.query import Groups, Query, Request, seal
from enfpire.wire.reply import Reply, Response, SentSet, encode_response


@dataclass(frozen=True)
class SizeLeak:
    """What the size of the reply to one photo tells an onlooker who sees no content.

    `sizes`: how many different sizes there are; `groups_named`, `classes_named`: how often it names the group, and the
    class, with `group_prior` and `class_prior` without the size; `bits`: mutual information with the group;
    `added`: the bytes that padding adds, as a share of the replies' mean size.
    """

    sizes: int
    groups_named: float
    group_prior: float
    classes_named: float
    class_prior: float
    bits: float
    added: float


def request_bytes(query: Query, client: str, expires: int = 2**31) -> int:
    """Size of the request that takes a query to the exchange; ids and keys have one size."""
    return len(seal(Request(client=client, id=bytes(16), expires=expires, query=query), bytes(32)))


def request_sizes(gallery: str, client: str, groups: int, counts: Sequence[int]) -> dict[int, set[int]]:
    """The sizes of requests about `count` distinct of the groups: one size each, whichever groups they are."""
    random = np.random.default_rng(0)
    return {
        count: {request_bytes(_query(gallery, chosen), client) for chosen in _choices(groups, count, random)}
        for count in counts
    }


def _query(gallery: str, groups: Indices) -> Query:
    return Query(gallery=gallery, bundle=bytes(32), protected=Groups(numbers=Array.of(groups, "u4")))


def _choices(groups: int, count: int, random: np.random.Generator, tries: int = 20) -> list[Indices]:
    """The first, the last, and some others of the sets of `count` groups, ascending."""
    drawn = [np.sort(random.choice(groups, count, replace=False)) for _ in range(tries)]
    return [np.arange(count), np.arange(groups - count, groups), *drawn]


def reply_bytes(body: int, largest_set: int = 0) -> int:
    """Size of the response to one photo, with a candidate set of so many bytes.

    `largest_set`: bytes of the largest set of the gallery, 0 for a response that is not padded.
    """
    reply = Reply(sets=(SentSet(digest=bytes(32), body=bytes(body)),), index=Array.of(np.zeros(1), "u4"))
    return len(encode_response(Response(id=bytes(16), reply=reply), largest_set))


def size_leak(lengths: Sequence[int], channel: Channel, *, padded: bool = True) -> SizeLeak:
    """What an onlooker learns of one photo from the reply's size.

    lengths (G,): bytes of the groups' encoded candidate sets; `channel`: p(group | class); without `padded`, what it
    would learn from replies of their own size.
    """
    sent = reply_sizes(lengths, padded=padded)
    _, numbers = np.unique(sent, return_inverse=True)
    shown = (numbers[:, None] == np.arange(numbers.max() + 1)).astype(np.float64)
    of_groups = Channel(channel.messages, shown)
    of_classes = Channel(channel.prior, channel.rows @ shown)
    return SizeLeak(
        sizes=shown.shape[1],
        groups_named=posterior_vulnerability(of_groups),
        group_prior=prior_vulnerability(of_groups),
        classes_named=posterior_vulnerability(of_classes),
        class_prior=prior_vulnerability(of_classes),
        bits=mutual_information(of_groups),
        added=sum(sent) / sum(reply_sizes(lengths, padded=False)) - 1,
    )


def reply_sizes(lengths: Sequence[int], *, padded: bool = True) -> list[int]:
    """Size of the response about each group, as it is published where it is `padded`; lengths (G,) as above."""
    largest_set = max(lengths) if padded else 0
    return [reply_bytes(length, largest_set) for length in lengths]
