"""One request's record while it is served: begun, and ended however the work ends."""

from __future__ import annotations

import asyncio
from types import TracebackType

from proxy_app import request_ids
from proxy_app.accounting import Accounting
from proxy_app.errors import AnswerCut, GatewayError, RequestCancelled
from proxy_app.incoming import Scope
from proxy_app.key_guard import caller_of
from proxy_app.lease import Lease
from proxy_app.records import CLIENT_LEFT, Clocks, Record
from proxy_app.runner import Runner


class Recording:
    """Use it around everything that is done for a request; gives its record."""

    __slots__ = ("_accounting", "_task", "record")

    def __init__(
        self,
        accounting: Accounting,
        scope: Scope,
        asked_for: str,
        model: str,
        clocks: Clocks | None = None,
    ) -> None:
        """`clocks` as `Record`."""
        self._accounting = accounting
        client, caller = scope.get("client"), caller_of(scope)
        record = accounting.records.begin(
            scope["path"], asked_for, model, client[0] if client else "", clocks
        )
        record.whose = caller
        if own := request_ids.brought(scope["headers"]):
            record.request_id = own
        record.key_id = caller.key_id or 0
        record.person_id = caller.rights.person_id
        self.record = record

    def __enter__(self) -> Record:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self.record.cancel = task.cancel
        return self.record

    def granted(self, runner: Runner, lease: Lease) -> None:
        """It was let through to an engine."""
        record, model = self.record, self.record.model
        loading = runner.loading_seconds(model, record.arrived)
        self._accounting.granted(record, lease.granted, loading, runner.gpus(model))

    def taken_back(self) -> RequestCancelled | None:
        """After a CancelledError: what to tell the client, if it was this server's doing.

        None: it was not, and the cancellation has to go on.
        """
        if not self.record.taken_back or self._task.uncancel():
            return None
        self.record.error = RequestCancelled.code
        return RequestCancelled()

    def client_left(self) -> None:
        """The client did not wait for the end."""
        if not self.record.complete:
            self.record.status = CLIENT_LEFT

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        record = self.record
        if isinstance(error, GatewayError):
            record.status, record.error = error.status, error.code
            error.request_id = record.request_id
        elif isinstance(error, AnswerCut):
            cause = error.__cause__
            record.error = cause.code if isinstance(cause, GatewayError) else "answer_cut"
        elif isinstance(error, asyncio.CancelledError):
            if not record.complete and record.status != CLIENT_LEFT:
                record.error = "cut_off"
        elif error is not None:
            record.status, record.error = record.status or 500, GatewayError.code
        self._accounting.records.end(record)
