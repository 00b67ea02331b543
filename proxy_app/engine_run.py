"""One attempt at running an engine, and the messages in its owner's mailbox."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from proxy_app.guard_channel import Exit
from proxy_app.guards import GuardedProcess
from proxy_app.ledger import Entry
from proxy_app.start_failures import Diagnosis


class Run:
    """One attempt at running the engine, from its launch until nothing of it is alive."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.port: int | None = None
        self.process: GuardedProcess | None = None
        self.entry: Entry | None = None
        self.driver: asyncio.Task[None] | None = None
        self.watch: asyncio.Task[None] | None = None
        self.ending = False
        """It was told to stop, or has failed; only its end is still awaited."""
        self.grace: float | None = None
        """Set once it is to be stopped, maybe before its process is known."""
        self.diagnosis: Diagnosis | None = None
        self.exit: Exit | None = None
        self.losers: list[asyncio.Future[None]] = []
        """Who waited for this run and will be told why it failed."""


# Requests
@dataclass(frozen=True, slots=True)
class Wanted:
    waiter: asyncio.Future[None] | None


@dataclass(frozen=True, slots=True)
class KeepAsked:
    """How long it is to outlive the server has changed."""

    wait: float


@dataclass(frozen=True, slots=True)
class StopAsked:
    waiter: asyncio.Future[None]
    grace: float


@dataclass(frozen=True, slots=True)
class Adopted:
    """A ready engine of an earlier server is this one's from now on."""

    entry: Entry
    process: GuardedProcess


# Reports about a run
@dataclass(frozen=True, slots=True)
class Launched:
    run: Run
    process: GuardedProcess


@dataclass(frozen=True, slots=True)
class Healthy:
    run: Run


@dataclass(frozen=True, slots=True)
class Failed:
    """It has to end for a reason that its exit will not tell."""

    run: Run
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class Exited:
    run: Run
    exit: Exit


@dataclass(frozen=True, slots=True)
class Gone:
    run: Run


Message = Wanted | KeepAsked | StopAsked | Adopted | Launched | Healthy | Failed | Exited | Gone
