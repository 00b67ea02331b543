"""Starts and stops the serving parts with the ASGI server."""

from __future__ import annotations

import logging

from proxy_app.incoming import Receive, Scope, Send
from proxy_app.serving import Serving

logger = logging.getLogger(__name__)


class Lifespan:
    """The ASGI lifespan protocol for one Serving."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._serving.start()
        except Exception as error:
            logger.exception("The server could not start")
            await self._serving.stop()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._serving.stop()
        await send({"type": "lifespan.shutdown.complete"})
