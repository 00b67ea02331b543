"""What the scheduler counts: requests in the queue, loaded models, and what each may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from proxy_app.budget import RAM, Bytes
from proxy_app.eviction import Groups


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's place in the queue."""

    model: str
    arrived: float
    caller: str = ""
    """Who asks; requests of several callers take turns."""
    priority: int | None = None
    """Higher goes first; None the model's."""
    seat: Seat | None = None
    """Where it is served, once granted."""
    granted: float = 0
    """When it was."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one model may use."""

    concurrency: int = 10
    """Requests served at once."""
    queue: int = 256
    """Requests that may wait."""
    ttl: float = 0
    """Idle seconds until it is stopped; 0 never."""
    priority: int = 0
    """Its waiting requests go before those of models with a lower number."""
    pinned: bool = False
    """It stays loaded, and comes back when it had to go."""
    need: Bytes = field(default_factory=dict)
    """Memory it takes, as planned or measured; nothing counts as nothing."""
    gpus: int = field(init=False, compare=False)
    """On how many GPUs it has memory."""

    def __post_init__(self) -> None:
        gpus = sum(size > 0 for device, size in self.need.items() if device != RAM)
        object.__setattr__(self, "gpus", gpus)


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole configuration the scheduler works from."""

    models: Mapping[str, Limits] = field(default_factory=dict)
    groups: Groups = field(default_factory=Groups)
    max_wait: float = 20
    """Seconds after which the oldest waiter stops newer requests for what is in its way."""
    min_residency: float = 0
    """Seconds a model stays loaded at least before it makes room for another."""
    budget: Bytes = field(default_factory=dict)
    """What all loaded models may take of each device; one that is not listed has no limit."""


class Refusal(StrEnum):
    """Why a request was not served."""

    QUEUE_FULL = "queue full"
    UNKNOWN_MODEL = "unknown model"
    START_FAILED = "start failed"
    UNLOADED = "unloaded"
    STOPPING = "stopping"


class Phase(StrEnum):
    """Where a loaded model stands."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(slots=True, eq=False)
class Seat:
    """One loaded model: an engine from its start to its end."""

    model: str
    limits: Limits
    phase: Phase = Phase.STARTING
    in_flight: int = 0
    started_at: float = 0
    ready_at: float = 0
    last_used: float = 0
    answers: int = 0
    """Requests that ended."""
    answering: float = 0
    """Seconds that all of them took together."""
    leaving: bool = False
    """It was told to go: no new requests, stopped when idle."""
    yields_to: float | None = None
    """Arrival of a request that waited too long for its place: no later ones get in ..."""
    owed: float = float("-inf")
    """... except those that came no later than what it was loaded for."""

    def __str__(self) -> str:
        yields = self.phase is Phase.READY and self.yields_to is not None
        note = " leaving" if self.leaving else " yielding" if yields else ""
        return f"{self.model} {self.phase} {self.in_flight} in flight{note}"

    @property
    def need(self) -> Bytes:
        return self.limits.need

    @property
    def is_going(self) -> bool:
        return self.leaving or self.phase is Phase.STOPPING

    @property
    def expires_at(self) -> float:
        return self.last_used + self.limits.ttl

    def accepts(self, ticket: Ticket) -> bool:
        return (
            self.phase is Phase.READY
            and not self.leaving
            and self.in_flight < self.limits.concurrency
            # No later, rather than earlier: of two models whose oldest waiters came in the same
            # instant each would hold back the other's for ever.
            and (
                self.yields_to is None
                or ticket.arrived <= self.yields_to
                or ticket.arrived <= self.owed
            )
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """A model that has to wait until others left."""

    model: str
    since: float
    in_the_way: list[Seat]
