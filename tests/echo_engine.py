"""An engine that says how each request arrived, over HTTP and over WebSockets.

    python -m tests.echo_engine PORT

Text on a WebSocket comes back as it is, bytes reversed. `close CODE REASON` closes it, `flood N`
sends N messages of 64 KiB, `die` ends the process.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FLOOD_BYTES = 65536


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await _http(scope, receive, send)
    elif scope["type"] == "websocket":
        await _websocket(scope, receive, send)


def _heard(scope: MutableMapping[str, Any]) -> dict[str, Any]:
    query = scope["query_string"].decode()
    return {
        "path": scope["raw_path"].decode() + (f"?{query}" if query else ""),
        "headers": {n.decode(): v.decode("latin-1") for n, v in scope["headers"]},
    }


async def _http(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    digest, size, first, more = sha256(), 0, b"", True
    while more:
        message = await receive()
        piece = message.get("body", b"")
        digest.update(piece)
        size += len(piece)
        first = (first + piece)[:4096]
        more = message.get("more_body", False)
    told = {
        **_heard(scope),
        "method": scope["method"],
        "length": size,
        "sha256": digest.hexdigest(),
        "body": first.decode("latin-1"),
    }
    body = json.dumps(told).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _websocket(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    if "refuse" in scope["path"]:
        await send({"type": "websocket.close"})
        return
    offered = scope.get("subprotocols", [])
    await send({"type": "websocket.accept", "subprotocol": offered[0] if offered else None})
    await send({"type": "websocket.send", "text": json.dumps(_heard(scope))})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            print(f"left with {message.get('code')}", file=sys.stderr, flush=True)
            return
        if message.get("bytes") is not None:
            await send({"type": "websocket.send", "bytes": message["bytes"][::-1]})
        elif await _obey(message["text"], send):
            return


async def _obey(text: str, send: Send) -> bool:
    """Do what a text asks for; True when that was the last."""
    word, _, rest = text.partition(" ")
    if word == "close":
        code, _, reason = rest.partition(" ")
        await send({"type": "websocket.close", "code": int(code), "reason": reason})
        return True
    if word == "die":
        os._exit(1)
    if word == "flood":
        for _ in range(int(rest)):
            await send({"type": "websocket.send", "bytes": b"x" * FLOOD_BYTES})
    else:
        await send({"type": "websocket.send", "text": text})
    return False


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), ws="wsproto", log_level="warning")
