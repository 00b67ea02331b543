"""Errors in the shape that the client of each path understands (pure).

OpenAI's object everywhere, Anthropic's under /v1/messages, `{"error","details","code"}` under /api.
"""

from __future__ import annotations

import json
from typing import Any

from proxy_app.errors import GatewayError, api_body, openai_body

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(path: str, error: GatewayError) -> bytes:
    """The body of a whole answer."""
    if path.startswith("/api/"):
        return _json(api_body(error))
    if _is_anthropic(path):
        return _json(_anthropic(error))
    return openai_body(error)


def error_event(path: str, error: GatewayError) -> bytes:
    """The last event of a stream that cannot go on."""
    return as_event(path, error_body(path, error))


def as_event(path: str, body: bytes) -> bytes:
    """An error's body as a server-sent event."""
    if _is_anthropic(path):
        return b"event: error\ndata: " + body + b"\n\n"
    if path.startswith("/v1/responses"):
        return b"event: error\ndata: " + _responses_event(body) + b"\n\n"
    return b"data: " + body + b"\n\n"


def _responses_event(body: bytes) -> bytes:
    """What the Responses API calls an error event, beside the object that makes clients raise."""
    try:
        fields = json.loads(body)["error"]
        event = {"type": "error", "sequence_number": 0, **_flat(fields), "error": fields}
    except (ValueError, KeyError, TypeError):
        return body
    return _json(event)


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields.get(name) for name in ("code", "message", "param")}


def _is_anthropic(path: str) -> bool:
    return path.startswith("/v1/messages")


def _anthropic(error: GatewayError) -> dict[str, Any]:
    kind = _ANTHROPIC_TYPES.get(error.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}}


def _json(value: Any) -> bytes:
    # A client may send half of a surrogate pair in a model's name; UTF-8 has no bytes for it.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
