from __future__ import annotations

import json

from proxy_app.access_errors import KeyRequired
from proxy_app.error_shapes import error_body, error_event
from proxy_app.errors import EngineDiedMidStream, ModelNotFound, QueueFull


def test_each_path_gets_the_shape_its_clients_know() -> None:
    error = ModelNotFound("x")
    openai = json.loads(error_body("/v1/chat/completions", error))["error"]
    assert (openai["code"], openai["type"]) == ("model_not_found", "invalid_request_error")
    anthropic = json.loads(error_body("/v1/messages/count_tokens", error))
    assert anthropic["type"] == "error"
    assert anthropic["error"]["type"] == "not_found_error"
    assert set(json.loads(error_body("/api/models", error))) == {"error", "details", "code"}


def test_anthropics_types_follow_the_status() -> None:
    def kind(error: object) -> str:
        return str(json.loads(error_body("/v1/messages", error))["error"]["type"])  # type: ignore[arg-type]

    assert kind(KeyRequired()) == "authentication_error"
    assert kind(QueueFull("x")) == "rate_limit_error"
    assert kind(EngineDiedMidStream("gone")) == "api_error"


def test_a_streams_last_event_is_one_that_clients_raise() -> None:
    error = EngineDiedMidStream("The engine is gone.")
    assert error_event("/v1/messages", error).startswith(b'event: error\ndata: {"type":"error"')
    assert error_event("/v1/completions", error).startswith(b'data: {"error":')
    name, data = error_event("/v1/responses", error).decode().strip().split("\n")
    event = json.loads(data.removeprefix("data: "))
    assert name == "event: error"
    assert event["type"] == "error"
    assert event["message"] == event["error"]["message"] == "The engine is gone."
