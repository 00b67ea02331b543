"""uvicorn with our way of stopping: event streams end, requests finish, engines go, in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType

import uvicorn

from proxy_app.handover import PASSED_ON
from proxy_app.http_protocol import Protocol
from proxy_app.serving import DRAIN_SECONDS, SERVING
from proxy_app.succession import Succession
from proxy_app.successor import Successor

CUT_SECONDS = 1.0
"""How long answers may take to end by themselves once their engines were stopped."""

LEAVING_SECONDS = 120.0
"""How long requests in flight may go on when another server has followed: they are in nobody's
way, but two servers take more memory than one."""

ARRIVAL_SECONDS = 0.25
"""From a connection to its request. One that is closed before that is a request without an answer:
who sent it sees a reset."""

QUEUE_POLL_SECONDS = 0.02


def configuration() -> uvicorn.Config:
    """What uvicorn is to serve, and how."""
    Protocol.reading_limit = staticmethod(lambda: SERVING.lineup.rules.reading_limit)
    return uvicorn.Config(
        "claracore_site.asgi:application",
        http=Protocol,
        ws="wsproto",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(DRAIN_SECONDS + 2 * CUT_SECONDS),
    )


class Server(uvicorn.Server):
    """Stops on SIGINT or SIGTERM; a second one cuts off what is still running."""

    def __init__(self, config: uvicorn.Config, succession: Succession) -> None:
        super().__init__(config)
        self._succession = succession
        self._loop: asyncio.AbstractEventLoop | None = None
        self.successor: Successor | None = None
        """Who serves in our place, or tried to."""
        self.told_to_stop = False
        """By a signal; before the start, by one that the server before us could not follow."""

    def restart(self, successor: Successor) -> None:
        """Leave to another server what we have, finish what we were asked, and stop."""
        if self.should_exit:  # Whoever stopped us meant every server.
            successor.give_up()
            return
        self.successor = successor
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.told_to_stop = True
        if self.successor is not None:
            # It was meant for whoever serves; what is left of us is in a hurry as well.
            self.successor.pass_on(sig)
        if self.should_exit and self._loop is not None:
            self._loop.call_soon_threadsafe(self._cut_off)
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal once more after a clean stop, which would end as a traceback.
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            if self.successor is not None:  # Until there is a keeper that passes them on.
                signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        SERVING.succession = self._succession
        SERVING.on_restart = self.restart
        await super().startup(sockets)
        self._succession.begin(self._loop)
        if self.told_to_stop:
            # Told now, uvicorn would leave what has just been started as it is.
            self._loop.call_soon(self.handle_exit, signal.SIGTERM, None)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        SERVING.begin_stop()
        self._succession.end(self.successor)
        seconds = DRAIN_SECONDS
        if self.successor is not None:
            seconds = LEAVING_SECONDS
            self.config.timeout_graceful_shutdown = int(seconds + 2 * CUT_SECONDS)
            await self._hand_over(self.successor)
        late = asyncio.get_running_loop().call_later(seconds, self._cut_off)
        try:
            await super().shutdown(sockets)
        finally:
            late.cancel()

    async def _hand_over(self, successor: Successor) -> None:
        """Whoever connects from now on waits for the next server."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(ARRIVAL_SECONDS)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._all_at_engines()
        await SERVING.hand_over(successor)
        asyncio.get_running_loop().add_reader(successor, self._hear, successor)

    async def _all_at_engines(self) -> None:
        """Until nobody waits any more, so that the next server need not know of them."""
        while len(self.server_state.tasks) > SERVING.in_flight(by_tasks=True):
            await asyncio.sleep(QUEUE_POLL_SECONDS)

    def _hear(self, successor: Successor) -> None:
        assert self._loop is not None
        if not successor.hear():
            # Nobody serves; finishing at leisure would keep everybody else waiting.
            self._loop.remove_reader(successor)
            self._hang_up()

    def _cut_off(self) -> None:
        """End the engines and with them what they answer; then hang up on whoever stalls."""
        assert self._loop is not None
        if self.successor is not None:  # The engines are to live.
            self._hang_up()
            return
        SERVING.cut_off()
        self._loop.call_later(CUT_SECONDS, self._hang_up)

    def _hang_up(self) -> None:
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
