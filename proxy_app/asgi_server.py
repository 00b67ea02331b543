"""uvicorn with our way of stopping: event streams end, requests finish, engines go, in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType

import uvicorn

from proxy_app.http_protocol import Protocol
from proxy_app.serving import DRAIN_SECONDS, SERVING

CUT_SECONDS = 1.0
"""How long answers may take to end by themselves once their engines were stopped."""

ARRIVAL_SECONDS = 0.25
"""From a connection to its request. One that is closed before that is a request without an answer:
who sent it sees a reset."""


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

    restarting = False
    """It stops only to be run anew; its engines go on."""

    _loop: asyncio.AbstractEventLoop | None = None

    def restart(self) -> None:
        """Stop as on SIGTERM, but leave the engines to the next run."""
        self.restarting = True
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
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
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        SERVING.on_restart = self.restart
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        SERVING.begin_stop()
        late = asyncio.get_running_loop().call_later(DRAIN_SECONDS, self._cut_off)
        try:
            if self.restarting:
                await self._let_arrive()
            await super().shutdown(sockets)
        finally:
            late.cancel()

    async def _let_arrive(self) -> None:
        """Hear whom was let in a moment ago; whoever comes from now on waits for the next run."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(ARRIVAL_SECONDS)

    def _cut_off(self) -> None:
        """End the engines and with them what they answer; then hang up on whoever stalls."""
        assert self._loop is not None
        if self.restarting:  # The engines are to live.
            self._hang_up()
            return
        SERVING.cut_off()
        self._loop.call_later(CUT_SECONDS, self._hang_up)

    def _hang_up(self) -> None:
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
