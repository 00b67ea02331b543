"""The short way through the gateway, for requests about which there is no question.

A task for each request, and a chain of coroutines from the connection to the engine and back, cost
more than all else that is done for a small answer. So a request is taken here, as soon as it has
come, if nothing about it has to be waited for: its body is here, it brings a key that is known, its
model's engine is ready, has a place free and a connection open. It is written to the engine at
once, and when all of a short answer is here, that is written to the client.

Whatever is otherwise goes the long way (`gateway.py`): before anything was done, as if nobody had
looked, or with the answer that the engine has begun, which a task then goes on with.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from models_app.rights import Scope as Right
from proxy_app import limits, paths, remote_media, rerank
from proxy_app.accounting import Accounting
from proxy_app.bodies import model_of, read_head, rewrite
from proxy_app.errand import Errand, errand_of
from proxy_app.errors import GatewayError
from proxy_app.forward import answer_whole, ask_at_once, comes_soon
from proxy_app.incoming import ClientLink, Receive, Scope, Send
from proxy_app.key_guard import caller_of
from proxy_app.lease import Lease
from proxy_app.limit_book import LimitBook
from proxy_app.limit_headers import lines_of_first
from proxy_app.lineup import Served
from proxy_app.naming import resolve
from proxy_app.reach import check_allowed
from proxy_app.recording import Recording
from proxy_app.records import CLIENT_LEFT, Clocks
from proxy_app.reservation import Wish, tokens_wanted
from proxy_app.runner import Runner
from proxy_app.upstream import UpstreamResponse

logger = logging.getLogger(__name__)

_PATHS: Final = frozenset(paths.BY_BODY) - rerank.PATHS
_JSON: Final = b"application/json"

_Wanted = tuple[Served, Errand, int]
"""Of whom, what, and how many tokens it may use."""

GoOn = Callable[["Trip", Receive, Send], Awaitable[None]]


class Trip:
    """A request on its way, from the engine's having been asked to its answer's end."""

    __slots__ = (
        "_express",
        "_is_over",
        "accounts",
        "errand",
        "lease",
        "link",
        "recording",
        "response",
        "scope",
        "served",
        "wanted",
    )

    response: UpstreamResponse

    def __init__(
        self,
        express: Express,
        scope: Scope,
        link: ClientLink,
        served: Served,
        errand: Errand,
        wanted: int,
        lease: Lease,
        recording: Recording,
    ) -> None:
        self._express = express
        self._is_over = True  # Until it has departed.
        self.scope = scope
        self.link = link
        self.served = served
        self.errand = errand
        self.accounts = errand.accounts
        self.wanted = wanted
        """Tokens reserved."""
        self.lease = lease
        self.recording = recording

    def depart(self, response: UpstreamResponse) -> None:
        """The engine was asked; this will be its answer."""
        self.response = response
        self._is_over = False

    def news(self) -> None:
        """The answer has come, or what became of it."""
        if self._is_over:
            return
        response, record, link = self.response, self.recording.record, self.link
        if comes_soon(response):  # Engines write head and body one after the other.
            response.on_news = self.news
            return
        try:
            body = response.whole
            done = body and answer_whole(response, body, self.errand, None, record, link)
        except Exception:
            # The long way meets it again, and knows what to do.
            logger.exception("An answer could not be passed on at once.")
            done = False
        if done:
            self._leave_express()
            self._give_back()
        else:
            self._hand_over()

    def leave(self) -> None:
        """The client left."""
        if not self._is_over:
            self._leave_express()
            self.recording.record.status = CLIENT_LEFT
            self.response.close()
            self._give_back()

    def cancel(self) -> None:
        """Somebody takes the request back; a task tells the client."""
        asyncio.get_running_loop().call_soon(self._cancel)

    def _cancel(self) -> None:
        if not self._is_over:
            self._hand_over()

    def _give_back(self) -> None:
        self.lease.give_back()
        try:
            self._express.accounting.records.end(self.recording.record)
        finally:
            limits.end(self.accounts, self.wanted)

    def _hand_over(self) -> None:
        self._leave_express()
        self.response.on_news = None
        task, record = self.link.begin_task(self._go_on), self.recording.record
        # Cancelled before its first step, it would give nothing back.
        record.cancel = partial(asyncio.get_running_loop().call_soon, task.cancel)
        if record.taken_back:
            record.cancel()

    async def _go_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._express.go_on(self, receive, send)

    def _leave_express(self) -> None:
        self._is_over = True
        self.link.on_leave = None
        self._express.under_way -= 1


class Express:
    """Takes the requests that need no task."""

    def __init__(
        self, runner: Runner, accounting: Accounting, book: LimitBook, go_on: GoOn
    ) -> None:
        """`go_on` does the rest for a trip that turned out to need a task."""
        self._runner = runner
        self._book = book
        self.accounting = accounting
        self.go_on = go_on
        self.under_way = 0
        """Requests at engines that have no task."""

    def take(self, scope: Scope, link: ClientLink) -> bool:
        """Answer a request, whose guards let it pass; False when it has to go the long way."""
        if scope["path"] not in _PATHS or scope["method"] != "POST" or not _is_json(scope):
            return False
        try:
            wanted = self._wanted(scope, link)
        except GatewayError:
            return False
        return wanted is not None and self._admit(scope, link, wanted)

    def _wanted(self, scope: Scope, link: ClientLink) -> _Wanted | None:
        """What is asked for, if an engine can be asked for it at once. Raises GatewayError."""
        runner, caller, body = self._runner, caller_of(scope), bytes(link.body)
        lineup = runner.lineup
        if len(body) > lineup.rules.max_body:
            return None
        head = read_head(body)
        if head.stream:
            return None
        asked = model_of(head)
        served = resolve(runner, asked)
        model = served.entry.model_id
        engine = runner.ready_engine(model)
        if engine is None or engine.pool is None or not engine.pool.has_idle:
            return None
        check_allowed(caller, lineup, model, asked)
        if not caller.rights.may(Right.ADMIN):
            remote_media.check(body)
        wish: Wish | None = head
        if served.rewrite and served.rewrite.changes(asked):
            body, wish = rewrite(body, served.rewrite, asked), None
            if not caller.rights.may(Right.ADMIN):
                remote_media.check(body)
        errand = errand_of(scope, scope["raw_path"], body, served)
        errand.asked_for = asked
        accounts = errand.accounts = self._book.accounts_of(caller)
        tokens = 0
        if accounts:
            tokens = tokens_wanted(scope["path"], body, served.room, wish)
        return served, errand, tokens

    def _admit(self, scope: Scope, link: ClientLink, wanted: _Wanted) -> bool:
        served, errand, tokens = wanted
        # Read once, for the limits, the seat and the record.
        clocks = now, today = time.monotonic(), time.time()
        accounts = errand.accounts
        if accounts:
            if len(accounts) == 1 and limits.admit_first(accounts[0], now, today, tokens):
                errand.standing = lines_of_first(accounts[0].limits)
            elif limits.admit(accounts, now, today, tokens) is not None:
                return False  # The long way is refused as well, and told why.
        lease = trip = None
        try:
            lease = self._runner.admit(served.entry.model_id, now)
            if lease is not None:
                trip = self._depart(scope, link, wanted, lease, clocks)
        finally:
            if trip is None:
                limits.take_back(accounts, tokens)
                if lease is not None:
                    lease.give_back()
        return trip is not None

    def _depart(
        self, scope: Scope, link: ClientLink, wanted: _Wanted, lease: Lease, clocks: Clocks
    ) -> Trip | None:
        """Ask the engine; None when it cannot be asked at once after all."""
        served, errand, tokens = wanted
        model = served.entry.model_id
        recording = Recording(self.accounting, scope, errand.asked_for, model, clocks)
        record, response = recording.record, None
        trip = Trip(self, scope, link, served, errand, tokens, lease, recording)
        try:
            response = ask_at_once(lease.engine, errand, record.request_id, trip.news)
        except GatewayError:
            return None
        finally:
            if response is None:
                self.accounting.records.forget(record)
        if response is None:
            return None
        recording.granted(self._runner, lease)
        record.untold, record.cancel = errand.untold, trip.cancel
        record.asked = len(link.body)
        link.body, link.on_leave = b"", trip.leave
        self.under_way += 1
        trip.depart(response)
        return trip


def _is_json(scope: Scope) -> bool:
    """Whether it says so once, and is no form in any case."""
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return len(kinds) == 1 and kinds[0].startswith(_JSON)
