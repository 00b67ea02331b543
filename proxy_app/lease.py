"""What the runner hands out: places at engines, and what is shown of models."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from proxy_app.process import Engine, EngineState
from proxy_app.seats import Ticket

if TYPE_CHECKING:
    from proxy_app.runner import Runner


class Lease:
    """A granted request: its engine, until the request ends."""

    __slots__ = ("_runner", "_ticket", "engine")

    @property
    def granted(self) -> float:
        """When it was let through, in monotonic seconds."""
        return self._ticket.granted if self._ticket else 0.0

    def __init__(self, runner: Runner, ticket: Ticket, engine: Engine) -> None:
        self._runner = runner
        self._ticket: Ticket | None = ticket
        self.engine = engine

    async def renew(self) -> bool:
        """Change to the next engine of the model, when this one has died.

        False when it lives on. Raises as `Runner.acquire`. Not for what `Runner.admit` gave, which
        knows of no place in the queue.
        """
        ticket, self._ticket = self._ticket, None
        assert ticket is not None
        self._runner.release(ticket)
        if not await self._runner.wait_until_ended(self.engine):
            return False
        other = await self._runner.acquire(ticket.model, ticket.caller, ticket.priority)
        self._ticket, self.engine = other._ticket, other.engine
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give_back()

    def give_back(self) -> None:
        """The request ended."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._runner.release(ticket)


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What is shown of one model."""

    model: str
    state: EngineState
    in_flight: int
    queued: int
    problem: str
