"""The gateway: the ASGI app under /v1 and the llama-server paths.

A request walks through here without touching the database: its model's name is read from the
body, the runner grants an engine, the answer streams back as it comes. It is a plain ASGI app
because both Django's handler (which spools bodies to disk) and Channels' HTTP consumer (which
keeps sending after the client left) would stand in the way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from models_app.rights import Scope as Right
from proxy_app import limits, listing, noting, orders, paths, remote_media, rerank, untold
from proxy_app.accounting import Accounting
from proxy_app.bodies import (
    checked_name,
    model_of,
    model_of_query,
    read_head,
    rewrite,
)
from proxy_app.engine_json import BEGINNING, may_be_json
from proxy_app.errand import Errand, errand_of
from proxy_app.errors import (
    AnswerCut,
    EngineNotReached,
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    PathNotFound,
)
from proxy_app.express import Trip
from proxy_app.forward import answer, answer_error, answer_json, end_stream, forward
from proxy_app.hosts import refuse_to_change
from proxy_app.incoming import (
    LINK,
    ClientLeft,
    ClientLink,
    ClientWatch,
    Receive,
    Scope,
    Send,
    body_pieces,
    read_body,
)
from proxy_app.key_guard import caller_of
from proxy_app.keys import is_local
from proxy_app.lease import Lease
from proxy_app.limit_book import LimitBook, enter
from proxy_app.lineup import Served
from proxy_app.loading_feedback import LoadingFeedback
from proxy_app.multipart import FieldFinder, boundary_of, is_form
from proxy_app.naming import resolve, split_upstream
from proxy_app.reach import allowed_items, check_allowed, only_within, place_in_queue, visible
from proxy_app.recording import Recording
from proxy_app.reservation import Wish, tokens_wanted
from proxy_app.runner import Runner
from proxy_app.spool import Spool, spliced
from proxy_app.standing import Standing, readiness

logger = logging.getLogger(__name__)

T = TypeVar("T")

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


async def _in_vain() -> None:
    return None


class Gateway:
    """Answers inference requests with the engines of one runner."""

    def __init__(
        self,
        runner: Runner,
        uploads: Path,
        accounting: Accounting,
        look_again: Callable[[], Awaitable[None]] = _in_vain,
        book: LimitBook | None = None,
        standings: Sequence[Standing] = (),
    ) -> None:
        """`uploads` is the folder where large bodies wait for their engine. `look_again` reads a
        configuration that may have changed a moment ago. `book` knows what keys and people
        with limits have used. `standings` are of what `/health/ready` tells."""
        self._book = book or LimitBook()
        self._runner = runner
        self._accounting = accounting
        self._look_again = look_again
        self._standings = standings
        self._uploads = uploads
        self._started = int(time.time())
        fixed: dict[str, Handler] = {
            "/v1/models": self._models,
            "/running": self._running,
            "/info": self._info,
            "/unload": self._unload,
            "/health": self._health,
            "/health/live": self._health,
            "/health/ready": self._ready,
        }
        self._handlers: dict[str, tuple[str, Handler]] = {
            **dict.fromkeys(paths.BY_BODY, ("POST", self._infer)),
            **dict.fromkeys(paths.BY_QUERY, ("", self._by_query)),
            **{path: (method, fixed[path]) for path, method in paths.FIXED.items()},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._dispatch(scope, receive, send)
        except (GatewayError, AnswerCut, ClientLeft) as error:
            await _tell(scope, send, error)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        handler = self._handlers.get(path) or self._handlers.get(path.rstrip("/"))
        if handler is None:
            if path.startswith("/upstream/"):
                await self._upstream(scope, receive, send)
                return
            if path.startswith("/v1/models/"):
                await self._model(scope, send)
                return
            if path == "/upstream":
                await self._to_models(scope, send)
                return
            raise PathNotFound(path)
        method, act = handler
        # The server sends no body after HEAD. What has an effect is not for asking.
        asks = scope["method"] == "HEAD" and method == "GET" and act != self._unload
        if method and scope["method"] != method and not asks:
            raise MethodNotAllowed(scope["method"], path, method)
        await act(scope, receive, send)

    # ---- Inference -----------------------------------------------------------------------

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        content_type = _content_type(scope)
        if is_form(content_type):
            _check_place(scope, scope["path"])
            await self._infer_form(content_type, scope, receive, send)
            return
        lineup = self._runner.lineup
        body = await read_body(scope, receive, lineup.rules.max_body)
        head = read_head(body)
        asked = (not head.model and model_of_query(scope["query_string"])) or model_of(head)
        served = await self._found(scope, lambda: resolve(self._runner, asked))
        if not caller_of(scope).rights.may(Right.ADMIN):
            remote_media.check(body)
        edit: Callable[[bytes], bytes] | None = None
        wish: Wish | None = head
        if scope["path"].rstrip("/") in rerank.PATHS:
            edit = partial(rerank.merged, body)
        if served.rewrite and served.rewrite.changes(asked):
            # What is set there may be how much it asks for.
            body, wish = rewrite(body, served.rewrite, asked), None
            if not caller_of(scope).rights.may(Right.ADMIN):
                remote_media.check(body)  # Curators choose what is set.
        errand = errand_of(scope, scope["raw_path"].rstrip(b"/"), body, served)
        errand.edit, errand.wish, errand.asked_for = edit, wish, asked
        events = head.stream and scope["path"].rstrip("/") in paths.STREAM_EVENTS
        del head, wish  # They hold the body as it came, also where another one is sent.
        if events and lineup.rules.heartbeat:
            await self._serve_patiently(served, errand, scope, receive, send)
        else:
            await self._serve(served, errand, scope, receive, send)

    async def _infer_form(
        self, content_type: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """A form with files: kept on disk, its model read as it comes by."""
        finder = FieldFinder(boundary_of(content_type), b"model")
        with Spool(self._uploads) as spool:
            async for piece in body_pieces(scope, receive, self._runner.lineup.rules.max_body):
                finder.feed(piece)
                await spool.append(piece)
            finder.end()
            asked = _model_of_form(finder, scope["query_string"])
            served = await self._found(scope, lambda: resolve(self._runner, asked))
            named = served.rewrite.model_name.encode()
            changes = [(finder.span, named)] if named and finder.value is not None else []
            errand = errand_of(scope, scope["raw_path"].rstrip(b"/"), b"", served)
            errand.body, errand.asked_for = spliced(spool, changes), asked
            errand.length = spool.size + sum(
                len(text) - (end - start) for (start, end), text in changes
            )
            await self._serve(served, errand, scope, receive, send)

    async def _by_query(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = model_of_query(scope["query_string"])
        if not asked:
            raise InvalidRequest(
                f"The request names no model. Ask for {scope['path']}?model=<an id from "
                "/v1/models>.",
                param="model",
            )
        served = await self._found(scope, lambda: resolve(self._runner, asked))
        self._check_load(served, asked, scope)
        await self._pass(served, asked, scope["raw_path"].rstrip(b"/"), scope, receive, send)

    async def _upstream(self, scope: Scope, receive: Receive, send: Send) -> None:
        served, rest = await self._found(
            scope, lambda: split_upstream(self._runner, scope["raw_path"])
        )
        self._check_load(served, "", scope)
        await self._pass(served, "", rest, scope, receive, send)

    async def _pass(
        self, served: Served, asked: str, target: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Whatever the request is, untouched, to a path at the engine."""
        with Spool(self._uploads) as spool:
            async for piece in body_pieces(scope, receive, self._runner.lineup.rules.max_body):
                await spool.append(piece)
            text = b""
            if spool.size and not caller_of(scope).rights.may(Right.ADMIN):
                remote_media.check_headers(scope["headers"])
                if is_form(_content_type(scope)):
                    _check_place(scope, target.decode("latin-1"))
                text = await _checked_text(spool)
            errand = errand_of(scope, target, spool.whole(), served)
            errand.asked_for = asked
            if spool.on_disk:
                errand.body, errand.length = spliced(spool, ()), spool.size
                errand.untold = untold.prompt_guess(text)
            await self._serve(served, errand, scope, receive, send)
        if paths.manages(scope["path"], scope["method"]):
            await noting.note(scope, "models")

    def _check_load(self, served: Served, asked: str, scope: Scope) -> None:
        """Raises GetChangesNothing when anybody's read would have to load the model.

        ModelNotAllowed goes first, as the other names the model.
        """
        model = served.entry.model_id
        check_allowed(caller_of(scope), self._runner.lineup, model, asked)
        if not self._runner.is_up(model):
            refuse_to_change(
                scope, self._friends, f"This one would load {model}: POST /api/models/{model}/load."
            )

    def _friends(self) -> Collection[bytes]:
        return self._runner.lineup.rules.origins

    async def _serve_patiently(
        self, served: Served, errand: Errand, scope: Scope, receive: Receive, send: Send
    ) -> None:
        path, seconds = scope["path"], self._runner.lineup.rules.heartbeat
        async with LoadingFeedback(send, path, seconds) as feedback:
            try:
                await self._serve(served, errand, scope, receive, feedback)
            except GatewayError as error:
                await answer_error(feedback, path, error)

    async def _serve(
        self, served: Served, errand: Errand, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Every request that an engine answers comes through here."""
        caller = caller_of(scope)
        check_allowed(caller, self._runner.lineup, served.entry.model_id, errand.asked_for)
        accounts = errand.accounts = self._book.accounts_of(caller)
        if not accounts:
            await self._answer(served, errand, scope, receive, send)
            return
        wanted = tokens_wanted(scope["path"], errand.body, served.room, errand.wish)
        enter(accounts, wanted)
        try:
            await self._answer(served, errand, scope, receive, send)
        finally:
            limits.end(accounts, wanted)

    async def go_on(self, trip: Trip, receive: Receive, send: Send) -> None:
        """See through what began on the express way and needs a task."""
        try:
            try:
                await self._answer(trip.served, trip.errand, trip.scope, receive, send, trip)
            finally:
                limits.end(trip.accounts, trip.wanted)
        except (GatewayError, AnswerCut, ClientLeft) as error:
            await _tell(trip.scope, send, error)

    async def _answer(
        self,
        served: Served,
        errand: Errand,
        scope: Scope,
        receive: Receive,
        send: Send,
        trip: Trip | None = None,
    ) -> None:
        """With a trip, the engine was asked already."""
        model, path = served.entry.model_id, scope["path"]
        link: ClientLink | None = scope.get(LINK)
        watch = ClientWatch(receive, link)
        if trip is None:
            recording = Recording(self._accounting, scope, errand.asked_for or model, model)
            asked = None
        else:
            recording, asked = trip.recording, trip.response
        with recording as record:
            record.untold = errand.untold
            record.asked = errand.length or _length(errand.body)
            try:
                with watch, await self._lease(errand, scope, model, recording, trip) as lease:
                    try:
                        await forward(lease.engine, errand, path, send, record, link, asked)
                    except EngineNotReached:
                        # It died a moment ago, and the next one can be asked as well.
                        if not await lease.renew():
                            raise
                        await forward(lease.engine, errand, path, send, record, link)
            except asyncio.CancelledError:
                error = recording.taken_back()
                if error is None:
                    raise
                if not record.status:
                    raise error from None
                if not record.streamed:
                    raise AnswerCut(error.message) from error
                await end_stream(path, send, error, record)
            if watch.left:
                recording.client_left()

    async def _lease(
        self, errand: Errand, scope: Scope, model: str, recording: Recording, trip: Trip | None
    ) -> Lease:
        """A place at the engine; a trip has one already."""
        if trip is not None:
            return trip.lease
        share, priority = place_in_queue(caller_of(scope), errand.accounts)
        lease = await self._runner.acquire(model, share, priority)
        recording.granted(self._runner, lease)
        return lease

    async def _found(self, scope: Scope, find: Callable[[], T]) -> T:
        """What is found under a name; a model may have been made since somebody last looked."""
        try:
            return find()
        except ModelNotFound:
            await self._look_again()
        try:
            return find()
        except ModelNotFound as error:
            raise only_within(error, caller_of(scope), self._runner.lineup) from None

    # ---- Small answers -------------------------------------------------------------------

    async def _models(self, scope: Scope, receive: Receive, send: Send) -> None:
        lineup = visible(caller_of(scope), self._runner.lineup)
        await answer_json(send, listing.models(lineup, self._started))

    async def _model(self, scope: Scope, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(scope["method"], scope["path"], "GET")
        name = checked_name(scope["path"].removeprefix("/v1/models/").rstrip("/"))
        caller = caller_of(scope)
        found = await self._found(
            scope,
            lambda: listing.find(visible(caller, self._runner.lineup), name, self._started),
        )
        await answer_json(send, found)

    async def _running(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = listing.running(self._runner)
        await answer_json(send, allowed_items(caller_of(scope), self._runner.lineup, found))

    async def _info(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = listing.info(self._runner)
        await answer_json(send, allowed_items(caller_of(scope), self._runner.lineup, found))

    async def _unload(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse_to_change(scope, self._friends, "This one unloads models: POST /api/models/unload.")
        await orders.unload_all(self._runner, caller_of(scope))
        await noting.note(scope, "models")
        await answer(send, 200, b"OK", b"text/plain; charset=utf-8")

    async def _to_models(self, scope: Scope, send: Send) -> None:
        """Where a person finds what can be put behind /upstream/."""
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(scope["method"], scope["path"], "GET")
        await answer(send, 302, b"", b"text/plain; charset=utf-8", [(b"location", b"/ui/models/")])

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, b"OK", b"text/plain; charset=utf-8")

    async def _ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        """200 even when something is lost: models are served all the same, and the body says so.

        What is lost is told to those who have any right, or ask on this machine.
        """
        told = readiness(self._standings)
        if not caller_of(scope).rights.scopes and not is_local(scope):
            told = {"status": told["status"]}
        await answer_json(send, told)


async def _tell(scope: Scope, send: Send, error: Exception) -> None:
    """Tell a client what became of its request."""
    if isinstance(error, GatewayError):
        await answer_error(send, scope["path"], error)
    elif isinstance(error, AnswerCut):
        # Returning without the last piece makes the server close the connection.
        logger.warning("An answer was cut off: %s", error)


async def _checked_text(spool: Spool) -> bytes:
    """What may be JSON. Raises InvalidRequest for what would have the engine fetch something."""
    start = b"".join([piece async for piece in spool.read(0, min(BEGINNING, spool.size))])
    if not may_be_json(start):
        return b""
    text = b"".join([piece async for piece in spool.read(0, spool.size)])
    remote_media.check(text)
    return text


def _length(body: object) -> int:
    return len(body) if isinstance(body, bytes) else 0


def _check_place(scope: Scope, path: str) -> None:
    """Raises InvalidRequest for a form where JSON belongs, which is judged and counted by that."""
    if not paths.takes_forms(path) and not caller_of(scope).rights.may(Right.ADMIN):
        raise InvalidRequest("Forms are for sound and pictures. Send JSON here.")


def _content_type(scope: Scope) -> bytes:
    """Raises InvalidRequest when there are two: an engine may believe the other one.

    So it does when `Connection` has the gateway leave it out.
    """
    for name, value in scope["headers"]:
        if name == b"connection" and b"content-type" in value.lower():
            raise InvalidRequest("Connection names Content-Type. Leave that out.")
    found = [value for name, value in scope["headers"] if name == b"content-type"]
    if len(found) > 1:
        raise InvalidRequest("The request has two Content-Types. Send one.")
    return bytes(found[0]) if found else b""


def _model_of_form(finder: FieldFinder, query: bytes) -> str:
    """Raises InvalidRequest when neither the form nor the query names a model."""
    name = (finder.value or b"").strip().decode(errors="replace") or model_of_query(query)
    if not name:
        raise InvalidRequest(
            "The form names no model. Add a field 'model' with an id from /v1/models.",
            param="model",
        )
    return checked_name(name)
