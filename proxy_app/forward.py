"""One request to an engine and its answer back, byte for byte, as it comes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from proxy_app import request_ids
from proxy_app.answer_headers import NO_FRAME, NOSNIFF
from proxy_app.error_shapes import error_body, error_event
from proxy_app.errors import AnswerCut, GatewayError
from proxy_app.incoming import LINES, ClientLink, Message, Receive, Scope, Send
from proxy_app.limit_headers import headers_in, lines_of
from proxy_app.limits import Account
from proxy_app.process import Engine
from proxy_app.records import Record
from proxy_app.reservation import Wish
from proxy_app.upstream import UpstreamResponse, UpstreamTimeouts, forwardable

_CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"cookie", b"proxy-authorization"))
"""What proves who the client is never reaches an engine."""

_OURS = frozenset((b"host", b"content-length", b"expect", request_ids.HEADER)) | _CREDENTIALS

_SAID_HERE = frozenset((request_ids.HEADER, NOSNIFF[0], b"date"))
"""What the gateway, or the server below it, writes into every answer by itself."""

_EVENT_STREAM = b"text/event-stream"
_CROSS_ORIGIN = b"access-control-"

LONGEST_EDITED_ANSWER = 64 * 1024 * 1024
"""Bytes. Only short lists are edited; anything longer is not one."""


@dataclass(slots=True)
class Errand:
    """What an engine is asked for, on behalf of a client."""

    method: bytes
    target: bytes
    """Path and query at the engine."""
    headers: list[tuple[bytes, bytes]]
    """The client's own, as received."""
    body: bytes | AsyncIterable[bytes]
    timeouts: UpstreamTimeouts
    length: int = 0
    """Bytes of a body that comes in pieces."""
    asked_for: str = ""
    """The model's name as the client wrote it; empty: its id."""
    accounts: Sequence[Account] = ()
    """Of the key and its person, whose limits the answer tells; none without limits."""
    wish: Wish | None = None
    """How much it asks for, if that was read of the body."""
    untold: int = 0
    """About how many tokens its prompt has, if the engine will not tell all (`untold.py`)."""
    edit: Callable[[bytes], bytes] | None = None
    """Changes a whole JSON answer; None passes it on as it comes."""


def engine_headers(headers: list[tuple[bytes, bytes]], api_key: str) -> list[tuple[bytes, bytes]]:
    """The client's headers that an engine may see, and the key it asks for."""
    kept = forwardable(headers, _OURS)
    if api_key:
        kept.append((b"authorization", b"Bearer " + api_key.encode()))
    return kept


def client_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The engine's headers that a client may see.

    Which pages may read an answer is the gateway's to say; llama-server says all of them.
    """
    return [
        pair for pair in forwardable(headers, _SAID_HERE) if not pair[0].startswith(_CROSS_ORIGIN)
    ]


async def forward(
    engine: Engine,
    errand: Errand,
    path: str,
    send: Send,
    record: Record,
    link: ClientLink | None = None,
) -> None:
    """Send the request, pass the answer on. `path` is the client's, for the shape of errors.

    What comes is noted in `record`. With a `link` most pieces of an event stream take no turn of
    the task: waking it for each would cost as much as the piece.

    Raises UpstreamGone or UpstreamTimeout before the answer began. Afterwards an event stream
    ends with an error event, and anything else raises AnswerCut.
    """
    async with await _ask(engine, errand, record.request_id) as response:
        headers = client_headers(response.headers)
        start: Message = {"type": "http.response.start", "status": response.status}
        if errand.accounts:
            standing = lines_of(errand.accounts)
            if link is not None:
                start[LINES] = standing
            else:
                headers += headers_in(standing)
        headers += ((request_ids.HEADER, record.request_id), NOSNIFF)
        streaming = _is_event_stream(headers)
        if errand.edit is not None and _is_short_json(response, headers):
            record.answered(response.status, streamed=False)
            await _edited(response, start, headers, errand.edit, send, record)
            return
        first = b""
        if streaming:
            headers.append((b"x-accel-buffering", b"no"))
        else:
            # Head and body go out together, and until then an engine's death has its own status.
            first = await response.read_chunk()
        record.answered(response.status, streamed=streaming)
        start["headers"] = headers
        await send(start)
        if link is not None and streaming and _comes_in_chunks(response.status, headers):
            response.hand_on(partial(_pass_on, link, record))
        try:
            await _pass_body(response, first, send, record)
        except GatewayError as error:
            if not streaming:
                raise AnswerCut(str(error)) from error
            record.error = error.code
            await end_stream(path, send, error, record)


async def _pass_body(response: UpstreamResponse, first: bytes, send: Send, record: Record) -> None:
    """`first` is what was read of it already."""
    chunk = first or await response.read_chunk()
    while True:
        record.piece(chunk)
        # Said with the last piece, the end costs no message of its own.
        more = not response.at_end
        record.complete = not more
        await send({"type": "http.response.body", "body": chunk, "more_body": more})
        if not more:
            return
        chunk = await response.read_chunk()


def _pass_on(link: ClientLink, record: Record, piece: bytes) -> bool:
    if not link.pass_on(piece):
        return False
    record.piece(piece)
    return True


async def end_stream(path: str, send: Send, error: GatewayError, record: Record) -> None:
    """End an event stream that has begun with an error event."""
    # Behind half a line the event would be read as that line's rest.
    gap = b"" if not record.size or record.tail.endswith(b"\n\n") else b"\n\n"
    await send({"type": "http.response.body", "body": gap + error_event(path, error)})


async def _ask(engine: Engine, errand: Errand, request_id: bytes) -> UpstreamResponse:
    assert engine.pool is not None
    headers = engine_headers(errand.headers, engine.spec.api_key)
    headers.append((request_ids.HEADER, request_id))
    if errand.edit is not None:
        # What is to be read must not come compressed.
        headers = [pair for pair in headers if pair[0] != b"accept-encoding"]
    method, target, body = errand.method, errand.target, errand.body
    if isinstance(body, bytes):
        return await engine.pool.request(method, target, headers, body, errand.timeouts)
    return await engine.pool.upload(method, target, headers, body, errand.length, errand.timeouts)


async def _edited(
    response: UpstreamResponse,
    start: Message,
    headers: list[tuple[bytes, bytes]],
    edit: Callable[[bytes], bytes],
    send: Send,
    record: Record,
) -> None:
    """Pass on a whole answer, changed; nothing was sent before all of it has arrived."""
    pieces, size = [], 0
    async for piece in response:
        pieces.append(piece)
        size += len(piece)
        if size > LONGEST_EDITED_ANSWER:
            raise AnswerCut(f"An answer to edit was longer than {LONGEST_EDITED_ANSWER} bytes.")
    whole = b"".join(pieces)
    record.piece(whole)
    body = edit(whole)
    kept = [pair for pair in headers if pair[0] != b"content-length"]
    kept.append((b"content-length", b"%d" % len(body)))
    start["headers"] = kept
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _is_short_json(response: UpstreamResponse, headers: list[tuple[bytes, bytes]]) -> bool:
    found = dict(headers)
    return (
        response.status == 200
        and b"json" in found.get(b"content-type", b"")
        and b"content-encoding" not in found
    )


def _is_event_stream(headers: list[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:
        if name == b"content-type":
            return _EVENT_STREAM in value
    return False


def _comes_in_chunks(status: int, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the server sends the answer in chunks: it has a body, of a length nobody knows."""
    return status == 200 and not any(name == b"content-length" for name, _ in headers)


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
        NOSNIFF,
        NO_FRAME,
        *(extra or ()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, value: Any, status: int = 200) -> None:
    """One JSON response of our own, compact."""
    await answer(send, status, json.dumps(value, separators=(",", ":")).encode())


async def answer_refusal(scope: Scope, receive: Receive, send: Send, error: GatewayError) -> None:
    """Turn a request away before it is routed."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4000 + error.status})
    else:
        await answer_error(send, scope["path"], error)


async def answer_error(send: Send, path: str, error: GatewayError) -> None:
    """An error in the shape that clients of its path understand."""
    extra = error.headers
    if error.request_id:
        extra = [*extra, (request_ids.HEADER, error.request_id)]
    await answer(send, error.status, error_body(path, error), extra=extra)
