"""One request to an engine and its answer back, byte for byte, as it comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from proxy_app import request_ids
from proxy_app.answer_head import line_of
from proxy_app.answer_headers import NO_FRAME, NOSNIFF
from proxy_app.errand import Errand
from proxy_app.error_shapes import error_body, error_event
from proxy_app.errors import AnswerCut, EngineNotReached, GatewayError, UpstreamGone
from proxy_app.incoming import LINES, ClientLink, Message, Receive, Scope, Send
from proxy_app.limit_headers import headers_in, lines_of
from proxy_app.process import Engine
from proxy_app.records import Record
from proxy_app.upstream import (
    HOP_BY_HOP,
    NAMES_NOTHING,
    StaleConnection,
    UpstreamResponse,
    forwardable,
)

_CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"cookie", b"proxy-authorization"))
"""What proves who the client is never reaches an engine."""

_KEPT_ON = b"x-conversation-id"
"""With it llama-server goes on when its client has left, and tells the answer to who knows it."""

_OURS = (
    frozenset((b"host", b"content-length", b"expect", request_ids.HEADER, _KEPT_ON)) | _CREDENTIALS
)

_OURS_EDITED = _OURS | {b"accept-encoding"}

_REQUEST_ID = request_ids.HEADER + b": "

_SAID_HERE = frozenset((request_ids.HEADER, NOSNIFF[0], b"date"))
"""What the gateway, or the server below it, writes into every answer by itself."""

_NOSNIFF = line_of(NOSNIFF)[0]
_NOT_PASSED = _SAID_HERE | HOP_BY_HOP | {b"content-length"}
"""Of a whole answer, whose length is written anew."""

_EVENT_STREAM = b"text/event-stream"
_CROSS_ORIGIN = b"access-control-"

SHORT_ANSWER = 64 * 1024
"""Bytes of an answer that are waited for without a task, once its head is here."""

LONGEST_EDITED_ANSWER = 64 * 1024 * 1024
"""Bytes. Only short lists are edited; anything longer is not one."""


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
    asked: UpstreamResponse | None = None,
) -> None:
    """Send the request, pass the answer on. `path` is the client's, for the shape of errors.

    What comes is noted in `record`. With a `link` most pieces of an event stream take no turn of
    the task: waking it for each would cost as much as the piece. `asked` is what the engine was
    asked already.

    Raises UpstreamGone or UpstreamTimeout before the answer began. Afterwards an event stream
    ends with an error event, and anything else raises AnswerCut.
    """
    async with await _begun(engine, errand, record.request_id, asked) as response:
        streaming = _is_event_stream(response.headers)
        edit = errand.edit if errand.edit is not None and _is_short_json(response) else None
        first = b""
        if not (streaming or edit):
            # Head and body go out together, and until then an engine's death has its own status.
            first = await response.read_chunk()
            whole = first and response.at_end
            if whole and link and answer_whole(response, first, errand, send, record, link):
                return
        headers = client_headers(response.headers)
        start: Message = {"type": "http.response.start", "status": response.status}
        if errand.accounts:
            standing = lines_of(errand.accounts)
            if link is not None:
                start[LINES] = standing
            else:
                headers += headers_in(standing)
        headers += ((request_ids.HEADER, record.request_id), NOSNIFF)
        if edit:
            record.answered(response.status, streamed=False)
            await _edited(response, start, headers, edit, send, record)
            return
        if streaming:
            headers.append((b"x-accel-buffering", b"no"))
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


def comes_soon(response: UpstreamResponse) -> bool:
    """Whether the rest of a short answer, whose head is here, is likely on its way already."""
    if not response.is_coming or _is_event_stream(response.headers):
        return False
    for name, value in response.headers:
        if name == b"content-length":
            return len(value) < 6 and value.isdigit() and int(value) <= SHORT_ANSWER
    return False


def answer_whole(
    response: UpstreamResponse,
    body: bytes,
    errand: Errand,
    send: Send | None,
    record: Record,
    link: ClientLink,
) -> bool:
    """Pass on an answer that is here as a whole in one go; False when it has to be sent."""
    if response.status != 200:
        return False
    lines = [request_ids.line(record.request_id), _NOSNIFF]
    for pair in response.headers:
        name, value = pair
        if name not in _NOT_PASSED:
            if name == b"content-type" and _EVENT_STREAM in value:
                return False
            if not name.startswith(_CROSS_ORIGIN):
                lines.append(line_of(pair)[0])
        elif name == b"connection" and value.lower() not in NAMES_NOTHING:
            return False  # It names others that end here.
    if errand.accounts:
        lines.append(errand.standing or lines_of(errand.accounts))
    if not link.answer(send, b"".join(lines), body):
        return False
    record.answered(200, streamed=False)
    record.piece(body)
    record.complete = True
    return True


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


async def _begun(
    engine: Engine, errand: Errand, request_id: bytes, asked: UpstreamResponse | None
) -> UpstreamResponse:
    """The answer whose head has come, of what was `asked` or is asked now."""
    if asked is None:
        return await _ask(engine, errand, request_id)
    try:
        return await asked.head()
    except StaleConnection:
        try:
            return await _ask(engine, errand, request_id, anew=True)
        except EngineNotReached as error:
            # It may have died of this very request.
            raise UpstreamGone(error.message) from error


async def _ask(
    engine: Engine, errand: Errand, request_id: bytes, *, anew: bool = False
) -> UpstreamResponse:
    pool, body, length = engine.pool, errand.body, errand.length
    assert pool is not None
    method, target, headers = errand.method, errand.target, errand.headers
    without, lines = _for_engine(engine, errand, request_id)
    if isinstance(body, bytes):
        return await pool.request(
            method, target, headers, body, errand.timeouts, without=without, lines=lines, anew=anew
        )
    return await pool.upload(
        method, target, headers, body, length, errand.timeouts, without=without, lines=lines
    )


def ask_at_once(
    engine: Engine, errand: Errand, request_id: bytes, on_news: Callable[[], None]
) -> UpstreamResponse | None:
    """Ask the engine over a connection that is there; None when there is none. See `EnginePool`."""
    pool, body, (without, lines) = engine.pool, errand.body, _for_engine(engine, errand, request_id)
    assert pool is not None and isinstance(body, bytes)
    method, target, headers = errand.method, errand.target, errand.headers
    return pool.ask(method, target, headers, body, errand.timeouts, on_news, without, lines)


def _for_engine(
    engine: Engine, errand: Errand, request_id: bytes
) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
    """Which of the client's headers the engine does not get, and which lines it does."""
    lines: tuple[bytes, ...] = (_REQUEST_ID + request_id,)
    if key := engine.spec.api_key:
        lines += (b"authorization: Bearer " + key.encode(),)
    # What is to be read must not come compressed.
    return _OURS if errand.edit is None else _OURS_EDITED, lines


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


def _is_short_json(response: UpstreamResponse) -> bool:
    found = dict(response.headers)
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
