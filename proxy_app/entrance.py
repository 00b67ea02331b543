"""Where requests stand until the scheduler let them through or turned them away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy_app.errors import GatewayError
from proxy_app.seats import Refusal, Ticket


class Entrance:
    """One request arrives at a time; the others wait, or have gone.

    What is decided about the one that arrives is known at once, without waiting for a turn of the
    event loop.
    """

    def __init__(self) -> None:
        self._waiting: dict[Ticket, asyncio.Future[None]] = {}
        self._arriving: Ticket | None = None
        self.refused: Refusal | None = None
        """Why the request that arrived last was turned away at once; None: it was not."""

    def arrive(self, ticket: Ticket) -> None:
        """The scheduler is asked about it next."""
        self._arriving, self.refused = ticket, None

    async def wait(self, ticket: Ticket) -> None:
        """Until it was granted. Raises what it was refused with."""
        future = asyncio.get_running_loop().create_future()
        self._arriving = None
        self._waiting[ticket] = future
        try:
            await future
        finally:
            self._waiting.pop(ticket, None)
            # It holds the error, which holds this frame and the request's body above it.
            del future

    def grant(self, ticket: Ticket) -> bool:
        """Let it go ahead; False when whoever asked has left."""
        if ticket is self._arriving:
            return True
        future = self._waiting.get(ticket)
        if future is None or future.done():
            return False
        future.set_result(None)
        return True

    def refuse(
        self, ticket: Ticket, why: Refusal, error: Callable[[str, Refusal], GatewayError]
    ) -> None:
        """Turn it away."""
        if ticket is self._arriving:
            self.refused = why
            return
        future = self._waiting.get(ticket)
        if future is not None and not future.done():
            future.set_exception(error(ticket.model, why))
