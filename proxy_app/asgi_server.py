"""uvicorn with our way of stopping: event streams end, requests finish, engines go, in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType

import uvicorn

from proxy_app.serving import DRAIN_SECONDS, SERVING

CUT_SECONDS = 5
"""How long connections may take to close once their requests were cut off."""


def configuration() -> uvicorn.Config:
    """What uvicorn is to serve, and how."""
    return uvicorn.Config(
        "claracore_site.asgi:application",
        http="httptools",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(DRAIN_SECONDS) + CUT_SECONDS,
    )


class Server(uvicorn.Server):
    """Stops on SIGINT or SIGTERM; a second one cuts off what is still running."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            SERVING.cut_off()
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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        SERVING.begin_stop()
        late = asyncio.get_running_loop().call_later(DRAIN_SECONDS, SERVING.cut_off)
        try:
            await super().shutdown(sockets)
        finally:
            late.cancel()
