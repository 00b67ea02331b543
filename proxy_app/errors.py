"""What can go wrong between a client and an engine, each with its answer to the client.

Every class names an HTTP status, a code a program can compare and OpenAI's error type. The message
is for the person reading it and says what to do next.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, ClassVar

LAST_LOG_LINES = 20
"""How many of an engine's newest log lines an error carries."""


class GatewayError(Exception):
    """Base of every error the gateway answers with; `str(error)` is the message for the client."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "server_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        details: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """`param` names the field at fault; `retry_after` is in seconds, None if unknown."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.details = details
        self.retry_after = retry_after
        self.request_id = b""
        """The request it answers, where one is recorded."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The response headers this error adds: `Retry-After` in whole seconds, rounded up."""
        if self.retry_after is None:
            return []
        return [(b"retry-after", b"%d" % max(1, math.ceil(self.retry_after)))]


class InvalidRequest(GatewayError):
    """The request cannot be understood; sending it again unchanged will fail again."""

    status = 400
    code = "invalid_request"
    type = "invalid_request_error"


class ModelNotFound(GatewayError):
    """No model answers to that id or alias."""

    status = 404
    code = "model_not_found"
    type = "invalid_request_error"

    def __init__(self, model: str, similar: Sequence[str] = ()) -> None:
        """`similar` are names that come close to what was asked for."""
        hint = (
            f"Did you mean {' or '.join(similar)}?"
            if similar
            else "GET /v1/models lists the models that do."
        )
        super().__init__(f"The model '{model}' does not exist. {hint}", param="model")
        self.model = model
        self.similar = similar


class PathNotFound(GatewayError):
    """Nothing answers at that path."""

    status = 404
    code = "not_found"
    type = "invalid_request_error"

    def __init__(self, path: str) -> None:
        super().__init__(f"There is nothing at {path}.")


class MethodNotAllowed(GatewayError):
    """The path is known, the method is not."""

    status = 405
    code = "method_not_allowed"
    type = "invalid_request_error"

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{path} answers {allowed}, not {method}.")
        self.allowed = allowed

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"allow", self.allowed.encode())]


class NotServing(GatewayError):
    """The process that was asked owns no engines."""

    status = 503
    code = "not_serving"

    def __init__(self) -> None:
        super().__init__(
            "This development server shows pages but runs no engines. "
            "Use `manage.py serve` for inference."
        )


class BodyTooLarge(GatewayError):
    """The request body is longer than the gateway takes."""

    status = 413
    code = "body_too_large"
    type = "invalid_request_error"

    def __init__(self, limit: int) -> None:
        """`limit` is the longest body taken, in bytes."""
        super().__init__(f"The request body is longer than the {limit} bytes this server takes.")
        self.limit = limit

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        # The server would otherwise read the rest, however long, to find the next request.
        return [(b"connection", b"close")]


class RequestTimeout(GatewayError):
    """The client stopped sending in the middle of its request."""

    status = 408
    code = "request_timeout"
    type = "invalid_request_error"

    def __init__(self, limit: float) -> None:
        """`limit` is how long it may pause, in seconds."""
        super().__init__(f"The rest of the request did not come within {limit:g} s.")

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"connection", b"close")]


class NoRoom(GatewayError):
    """An upload could not be kept on this machine's disk."""

    status = 507
    code = "no_room"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The upload could not be kept on the server's disk: {reason}. "
            "Free some room in its home folder, or send less."
        )


class QueueFull(GatewayError):
    """More requests wait for this model than may; the client should come back later."""

    status = 429
    code = "queue_full"
    type = "rate_limit_error"

    def __init__(self, model: str, retry_after: float | None = None) -> None:
        when = f"in {math.ceil(retry_after)} s" if retry_after is not None else "later"
        super().__init__(
            f"Too many requests are waiting for '{model}'. Try again {when}.",
            param="model",
            retry_after=retry_after,
        )
        self.model = model


class UpstreamGone(GatewayError):
    """The engine closed the connection, or could not be reached at all."""

    status = 502
    code = "engine_gone"


class EngineNotReached(UpstreamGone):
    """Nothing of the request reached the engine, so it may be asked of another."""

    code = "engine_not_reached"


class EngineDiedMidStream(UpstreamGone):
    """The engine broke off after its answer had begun, so the answer is incomplete."""

    code = "engine_died_mid_stream"


class ModelFailedToStart(GatewayError):
    """The engine did not come up; the message ends with the last lines of its log."""

    status = 502
    code = "model_failed_to_start"

    def __init__(
        self,
        model: str,
        reason: str,
        log_lines: Sequence[str] = (),
        *,
        retry_after: float | None = None,
    ) -> None:
        lines = [line.rstrip() for line in log_lines[-LAST_LOG_LINES:]]
        message = f"The model '{model}' failed to start: {reason}."
        if lines:
            message += " The engine's last log lines:\n" + "\n".join(lines)
        super().__init__(
            message, param="model", details="\n".join(lines) or None, retry_after=retry_after
        )
        self.model = model
        self.reason = reason
        self.log_lines = lines


class ModelBackingOff(GatewayError):
    """The engine failed again and again; it is left alone for a while before the next try."""

    status = 503
    code = "model_backing_off"

    def __init__(self, model: str, reason: str, failures: int, retry_after: float) -> None:
        super().__init__(
            f"The model '{model}' failed to start {failures} times in a row: {reason}. It is tried "
            f"again in {math.ceil(retry_after)} s, or at once when it is loaded by hand or its "
            "configuration changes.",
            param="model",
            retry_after=retry_after,
        )
        self.model = model
        self.reason = reason


class NoEngine(GatewayError):
    """There is no llama-server on this machine to run a model with."""

    status = 503
    code = "no_engine"

    def __init__(
        self,
        message: str = (
            "No llama-server was found. Install one, put it on PATH, or name it in"
            " CLARACORE_LLAMA_SERVER."
        ),
    ) -> None:
        super().__init__(message)


class ServerStopping(GatewayError):
    """This server is shutting down or restarting and takes no new work."""

    status = 503
    code = "server_stopping"

    def __init__(self, retry_after: float | None = 5) -> None:
        super().__init__(
            "The server is stopping. Try again when it is back.", retry_after=retry_after
        )


class ModelUnloaded(GatewayError):
    """Somebody unloaded the model while this request waited for it."""

    status = 503
    code = "model_unloaded"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The model '{model}' was unloaded while this request waited. Send it again.",
            param="model",
            retry_after=1,
        )
        self.model = model


class RequestCancelled(GatewayError):
    """Somebody who watches over this server ended the request; clients should not repeat it."""

    status = 410
    code = "request_cancelled"
    type = "invalid_request_error"

    def __init__(self) -> None:
        super().__init__(
            "This request was cancelled on the server. Ask whoever runs it before sending it again."
        )


class RequestNotFound(GatewayError):
    """No live request has that number."""

    status = 404
    code = "request_not_found"
    type = "invalid_request_error"

    def __init__(self, number: int) -> None:
        super().__init__(f"No request {number} is under way. GET /api/requests/live lists them.")


class UpstreamTimeout(GatewayError):
    """The engine kept silent longer than its limit for that phase."""

    status = 504
    code = "engine_timeout"

    def __init__(self, phase: str, limit: float) -> None:
        """`phase` completes "the engine did not …"; `limit` is in seconds."""
        super().__init__(
            f"The engine did not {phase} within {limit:g} s. Raise the limit or look at its log."
        )
        self.limit = limit


class AnswerCut(Exception):
    """An answer broke off after it had begun; only closing the connection can still say so."""


def openai_body(error: GatewayError) -> bytes:
    """The error object that OpenAI's clients understand, as JSON."""
    fields = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    # A client may send half of a surrogate pair in a model's name; UTF-8 has no bytes for it.
    return json.dumps({"error": fields}, ensure_ascii=False).encode(errors="replace")


def api_body(error: GatewayError) -> dict[str, Any]:
    """The error object of `/api/…`; `details` is an empty string when there is nothing to add.

    Codes are in capitals there, as its document has them, and OpenAI's lower case elsewhere.
    """
    return {"error": error.message, "details": error.details or "", "code": error.code.upper()}
