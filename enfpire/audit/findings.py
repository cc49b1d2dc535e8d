"""What an audit found: plain values with 95 % intervals, as they are written to `audit.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Finding(BaseModel):
    """A frozen part of the report."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(Finding):
    """A measured value and its 95 % interval."""

    value: float
    low: float
    high: float


class Attacked(Finding):
    """How often an attacker names the class, with one guess and with five."""

    attacker: str
    accuracy: Figure
    accuracy_in_five: Figure


class Leak(Finding):
    """Measures of the channel from class to message, as the photos showed it (bits unless a share).

    `anonymity_bits` is the conditional entropy of the class given the message, `anonymity` the mean of 2 to a message's
    entropy, and `worst_anonymity` that of the most telling message; `smallest_group` the fewest classes that share a
    message. Where kinds are known, `kinds_in_group` is the fewest kinds that do, and `kinds_bits` their least entropy.
    """

    min_entropy_leakage: float
    min_capacity: float
    mutual_information: float
    worst_posterior: float
    anonymity: float
    anonymity_bits: float
    worst_anonymity: float
    smallest_group: int
    kinds_in_group: int | None = None
    kinds_bits: float | None = None


class Repeated(Finding):
    """The server after `photos` photos of one class; the bound of so many messages holds for any attacker."""

    photos: int
    memory: Figure
    no_memory: Figure
    bound: float


class Averaged(Finding):
    """The server after `messages` messages of one photo, and after messages about as many photos of one class."""

    messages: int
    one_photo: Figure
    one_class: Figure


class Remembered(Finding):
    """A client with this much slack: photos of one class, and streams of many (`retention`, the share `asked`)."""

    slack: float
    accuracy: Figure
    retention: float
    asked: float


class Kinds(Finding):
    """The server names the kind of thing; `prior` is how often it could without a message."""

    accuracy: Figure
    prior: float


class Batch(Finding):
    """A linked batch: is a photo of a given class in it? `auc` 0.5 is guessing."""

    photos: int
    bits: float
    accuracy: Figure
    prior: float
    auc: float


class Outsiders(Finding):
    """Photos of no enrolled class: how well "unknown" tells them, and how well the server does from the message."""

    auroc: Figure
    accepted: float
    told_by_message: float


class Inverted(Finding):
    """The feature reconstructed from the message: mean cosine to the truth, and without a message."""

    cosine: Figure
    baseline: float
    named: float


class Metadata(Finding):
    """What sizes tell somebody who sees encrypted traffic alone: how often the reply's size names the group.

    `unpadded` figures are what it would tell if replies were not padded.
    """

    request_sizes_tell: bool
    group_from_reply_size: float
    bits_from_reply_size: float
    group_from_unpadded_size: float
    bits_from_unpadded_size: float


class Walk(Finding):
    """Linked queries along a walk: the worst position, the mean, and how well the area is told beside its prior."""

    steps: int
    walks: int
    worst: Figure
    mean: float
    last: float
    area: float
    area_prior: float


class PolicyAudit(Finding):
    """One policy: what it gives the user, and what it leaves the server.

    `retained` is the retention with its interval, both accuracies being of the same photos. `server_measured` is the
    strongest attacker on one photo; `server_bound` what is proved (1 where nothing is); `worst_group` what the server
    believes at most of a class. `slack` is how willing the client's memory is. Bytes are a photo's share of a batch of
    256, the client's memory off.
    """

    name: str
    data: str
    transform: str
    setting: str
    groups: int
    candidates: float
    bundle_bytes: int
    bundle_only_accuracy: float
    unprotected_accuracy: float
    user_accuracy: float
    user: Figure
    retention: float
    retained: Figure
    server_bound: float
    server_measured: float
    server: Figure
    attackers: tuple[Attacked, ...]
    efficiency: float
    bytes_up: float
    bytes_down: float
    worst_group: float | None = None
    leak: Leak | None = None
    kind_accuracy: float | None = None
    kind_prior: float | None = None
    kinds: Kinds | None = None
    repeats: dict[str, dict[str, float]] = {}
    repeated: tuple[Repeated, ...] = ()
    averaged: tuple[Averaged, ...] = ()
    remembered: tuple[Remembered, ...] = ()
    mixed_stream_retention: float | None = None
    batches: tuple[Batch, ...] = ()
    inverted: Inverted | None = None
    metadata: Metadata | None = None
    outsider_auroc: float | None = None
    outsiders: Outsiders | None = None
    walk: Walk | None = None
    slack: float | None = None
    class_posteriors: tuple[float, ...] = ()
    class_groups: tuple[int, ...] = ()


class AuditReport(Finding):
    """Everything about one bundle: its policy, and the frontier of all transforms on the same photos."""

    gallery: str
    bundle: str
    version: str
    photos: int
    classes: int
    policy: PolicyAudit
    frontier: tuple[PolicyAudit, ...]
