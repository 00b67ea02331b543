"""WebSockets: refused with a reason until an engine needs them."""

from __future__ import annotations

from channels.generic.websocket import AsyncWebsocketConsumer


class UpstreamSocket(AsyncWebsocketConsumer):
    """Closes with 4404: nothing here speaks WebSocket."""

    async def connect(self) -> None:
        await self.accept()
        await self.close(code=4404, reason="Nothing answers WebSockets at this path.")
