"""One request to an engine and its answer back, byte for byte, as it comes."""

from __future__ import annotations

import json
from typing import Any

from proxy_app.errors import AnswerCut, GatewayError, api_body, openai_body
from proxy_app.incoming import Receive, Scope, Send
from proxy_app.process import Engine
from proxy_app.upstream import forwardable

_CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"cookie", b"proxy-authorization"))
"""What proves who the client is never reaches an engine."""

_OURS = frozenset((b"host", b"content-length", b"expect")) | _CREDENTIALS

_EVENT_STREAM = b"text/event-stream"
_CROSS_ORIGIN = b"access-control-"


def engine_headers(scope: Scope, api_key: str) -> list[tuple[bytes, bytes]]:
    """The client's headers that an engine may see, and the key it asks for."""
    headers = [pair for pair in forwardable(scope["headers"]) if pair[0] not in _OURS]
    if api_key:
        headers.append((b"authorization", b"Bearer " + api_key.encode()))
    return headers


def client_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The engine's headers that a client may see.

    Which pages may read an answer is the gateway's to say; llama-server says all of them.
    """
    return [pair for pair in forwardable(headers) if not pair[0].startswith(_CROSS_ORIGIN)]


async def forward(engine: Engine, scope: Scope, target: bytes, body: bytes, send: Send) -> None:
    """Send the request, pass the answer on.

    Raises UpstreamGone or UpstreamTimeout before the answer began. Afterwards an event stream
    ends with an error event, and anything else raises AnswerCut.
    """
    assert engine.pool is not None
    async with await engine.pool.request(
        scope["method"].encode(), target, engine_headers(scope, engine.spec.api_key), body
    ) as response:
        headers = client_headers(response.headers)
        streaming = _is_event_stream(headers)
        if streaming:
            headers.append((b"x-accel-buffering", b"no"))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        try:
            more = True
            while more:
                chunk = await response.read_chunk()
                # Said with the last piece, the end costs no message of its own.
                more = not response.at_end
                await send({"type": "http.response.body", "body": chunk, "more_body": more})
        except GatewayError as error:
            if not streaming:
                raise AnswerCut(str(error)) from error
            await send({"type": "http.response.body", "body": _error_event(error)})


def _is_event_stream(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-type" and _EVENT_STREAM in value for name, value in headers)


def _error_event(error: GatewayError) -> bytes:
    return b"data: " + openai_body(error) + b"\n\n"


async def answer(
    send: Send,
    status: int,
    body: bytes,
    content_type: bytes = b"application/json",
    extra: list[tuple[bytes, bytes]] | None = None,
) -> None:
    """One whole response of our own."""
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        *(extra or ()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, value: Any, status: int = 200) -> None:
    """One JSON response of our own, compact."""
    await answer(send, status, json.dumps(value, separators=(",", ":")).encode())


async def answer_refusal(scope: Scope, receive: Receive, send: Send, error: GatewayError) -> None:
    """Turn a request away before it is routed, in the shape its path speaks."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4000 + error.status})
    elif scope["path"].startswith("/api/"):
        body = json.dumps(api_body(error), separators=(",", ":")).encode()
        await answer(send, error.status, body, extra=error.headers)
    else:
        await answer_error(send, error)


async def answer_error(send: Send, error: GatewayError) -> None:
    """An error as OpenAI's clients understand it."""
    await answer(send, error.status, openai_body(error), extra=error.headers)
