"""What the scheduler's tests share: effects that remember, and a scheduler with models loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy_app.eviction import Group, Groups
from proxy_app.scheduler import Scheduler
from proxy_app.seats import Limits, Policy, Refusal, Ticket


@dataclass
class FakeEffects:
    """Implements `Effects`: does nothing and remembers everything."""

    calls: list[str] = field(default_factory=list)
    granted: list[Ticket] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    left: set[Ticket] = field(default_factory=set)
    """Whoever asked for these is gone, and the scheduler does not know."""

    def start(self, model: str) -> None:
        self.calls.append(f"start {model}")

    def announce(self, model: str) -> None:
        self.announced.append(model)

    def stop(self, model: str) -> None:
        self.calls.append(f"stop {model}")

    def grant(self, ticket: Ticket) -> bool:
        if ticket in self.left:
            self.calls.append(f"{ticket.model} had left")
            return False
        self.calls.append(f"grant {ticket.model}")
        self.granted.append(ticket)
        return True

    def refuse(self, ticket: Ticket, why: Refusal) -> None:
        self.calls.append(f"refuse {ticket.model}: {why}")

    def news(self) -> list[str]:
        """What was called since the last time."""
        calls, self.calls = self.calls, []
        return calls


FRIENDS = Groups(default=Group("(default)", swap=False))
"""Everybody may be loaded beside everybody."""


def policy(
    models: Iterable[str] = "abc",
    *,
    concurrency: int = 10,
    queue: int = 256,
    ttl: float = 0,
    groups: Groups | None = None,
    max_wait: float = 20,
    min_residency: float = 0,
) -> Policy:
    limits = Limits(concurrency, queue, ttl)
    return Policy(dict.fromkeys(models, limits), groups or Groups(), max_wait, min_residency)


def ask(scheduler: Scheduler, model: str, now: float) -> Ticket:
    ticket = Ticket(model, now)
    scheduler.on_request(ticket, now)
    return ticket


def with_loaded(effects: FakeEffects, policy: Policy, *models: str, now: float = 0) -> Scheduler:
    scheduler = Scheduler(effects, policy)
    for model in models:
        scheduler.load(model, now)
        scheduler.on_ready(model, now)
    assert scheduler.loaded() == models
    effects.calls.clear()
    return scheduler
