"""WebSockets under /upstream/<model>/…: passed on in both directions, as they come.

What goes one way is read only as fast as it can be sent on, so that a slow side holds up the
other instead of filling memory.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, cast

from channels.generic.websocket import AsyncWebsocketConsumer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from proxy_app import limits
from proxy_app.errors import GatewayError, ModelNotFound, NotServing, PathNotFound
from proxy_app.forward import engine_headers
from proxy_app.incoming import Scope
from proxy_app.key_guard import caller_of
from proxy_app.limit_book import Accounts, enter
from proxy_app.lineup import Served
from proxy_app.naming import split_upstream
from proxy_app.presented_key import without_key
from proxy_app.process import Engine
from proxy_app.reach import check_allowed, only_within, place_in_queue
from proxy_app.recording import Recording
from proxy_app.runner import Runner
from proxy_app.serving import SERVING

logger = logging.getLogger(__name__)

LONGEST_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message, in either direction."""

HANDSHAKE_SECONDS = 10.0

_GONE, _FAILED, _REFUSED = 1001, 1011, 4502
_SWITCHED = 101
"""The HTTP status of a handshake that went well."""
_LONGEST_REASON = 120
"""Bytes; a close frame has room for 123."""

_HANDSHAKE = b"sec-websocket-"
"""Headers of the client's own handshake; the engine gets one of its own."""


class UpstreamSocket(AsyncWebsocketConsumer):
    """One client's WebSocket, and the one to the engine that it is joined to."""

    channel_layer_alias = ""
    """None: nobody else sends to it, and waiting for that would end it whenever Redis does."""

    async def connect(self) -> None:
        self._engine_side: ClientConnection | None = None
        self._joined = asyncio.Event()
        # A task, because a model may take minutes to load and this must see its client leave.
        self._work = asyncio.get_running_loop().create_task(self._serve(), name="WebSocket")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self._joined.wait()
        if self._engine_side is not None:
            with suppress(ConnectionClosed):
                await self._engine_side.send(text_data if text_data is not None else bytes_data)  # type: ignore[arg-type]

    async def disconnect(self, code: int) -> None:
        self._joined.set()
        self._work.cancel()
        if self._engine_side is not None:
            # Not every code that can be received may be sent.
            usable = code if code == 1000 or 3000 <= code <= 4999 else _GONE
            await self._engine_side.close(usable)

    # ---- The engine's side -----------------------------------------------------------------

    async def _serve(self) -> None:
        try:
            await self._join()
        except GatewayError as error:
            await self._refuse(4000 + error.status, error.message)
        except InvalidHandshake as error:
            await self._refuse(_REFUSED, f"The engine refused the WebSocket: {error}")
        except (OSError, TimeoutError) as error:
            await self._refuse(_REFUSED, f"The engine cannot be reached: {error}")
        except Exception:
            logger.exception("A WebSocket could not be served")
            await self._refuse(_FAILED, "The server failed; its log says why.")
        finally:
            self._joined.set()

    async def _join(self) -> None:
        runner = SERVING.runner
        if runner is None:
            raise NotServing
        scope = cast(Scope, self.scope)
        if not scope["path"].startswith("/upstream/"):
            raise PathNotFound(scope["path"])
        caller = caller_of(scope)
        try:
            served, target = await _found(runner, _raw_path(scope))
        except ModelNotFound as error:
            raise only_within(error, caller, runner.lineup) from None
        model = served.entry.model_id
        check_allowed(caller, runner.lineup, model, "")
        accounts = SERVING.book.accounts_of(caller)
        enter(accounts)
        try:
            await self._join_engine(model, target, accounts)
        finally:
            limits.end(accounts)

    async def _join_engine(self, model: str, target: bytes, accounts: Accounts) -> None:
        runner, scope = SERVING.runner, cast(Scope, self.scope)
        assert runner is not None
        share, priority = place_in_queue(caller_of(scope), accounts)
        recording = Recording(SERVING.accounting, scope, model, model)
        with recording as record:
            try:
                with await runner.acquire(model, share, priority) as lease:
                    recording.granted(runner, lease)
                    async with _connection(lease.engine, target, scope) as engine_side:
                        self._engine_side = engine_side
                        await self.accept(engine_side.subprotocol)
                        record.answered(_SWITCHED, streamed=True)
                        self._joined.set()
                        await self._pass_on(engine_side)
            except asyncio.CancelledError:
                error = recording.taken_back()
                if error is not None:
                    raise error from None
                # Once joined, leaving is how a client ends it.
                record.complete = record.status == _SWITCHED
                recording.client_left()
                raise

    async def _pass_on(self, engine_side: ClientConnection) -> None:
        """Everything the engine says, until it or the client ends it."""
        try:
            while True:
                message = await engine_side.recv()
                if isinstance(message, str):
                    await self.send(text_data=message)
                else:
                    await self.send(bytes_data=message)
        except ConnectionClosed as error:
            said = error.rcvd
            if said is None:
                await self.close(_FAILED, "The engine broke off the connection.")
            else:
                await self.close(said.code if _may_send(said.code) else 1000, said.reason)

    async def _refuse(self, code: int, reason: str) -> None:
        if self._engine_side is None:
            await self.accept()
        short = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
        await self.close(code, short)


async def _found(runner: Runner, path: bytes) -> tuple[Served, bytes]:
    """The model and the path at its engine; a model may have been made a moment ago."""
    try:
        return split_upstream(runner, path)
    except ModelNotFound:
        await SERVING.look_again()
    return split_upstream(runner, path)


def _may_send(code: int) -> bool:
    return 1000 <= code < 5000 and code not in (1004, 1005, 1006, 1015)


def _raw_path(scope: Scope) -> bytes:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0]


def _connection(engine: Engine, target: bytes, scope: Scope) -> Any:
    """A WebSocket to the engine, not yet open."""
    assert engine.pool is not None
    query = without_key(scope["query_string"])
    place = f"ws://{engine.pool.host}:{engine.pool.port}{target.decode('latin-1')}"
    headers = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in engine_headers(scope["headers"], engine.spec.api_key)
        if not name.startswith(_HANDSHAKE) and name != b"origin"
    ]
    return connect(
        place + (f"?{query.decode('latin-1')}" if query else ""),
        additional_headers=headers,
        user_agent_header=None,
        subprotocols=[Subprotocol(name) for name in scope.get("subprotocols", ())] or None,
        compression=None,
        proxy=None,
        open_timeout=HANDSHAKE_SECONDS,
        ping_interval=None,
        max_size=LONGEST_MESSAGE,
    )
