from __future__ import annotations

import json

import pytest

from models_app.rights import Scope
from proxy_app import access_errors, errors
from proxy_app.limits import Refusal

EXAMPLES = [
    (errors.InvalidRequest("The body is not JSON.", param="messages"), 400),
    (errors.ModelNotFound("qwen3-8b"), 404),
    (errors.PathNotFound("/v1/no/such"), 404),
    (errors.MethodNotAllowed("GET", "/v1/completions", "POST"), 405),
    (access_errors.CallerUnknown(), 503),
    (access_errors.UnknownHost("evil.example"), 403),
    (access_errors.ForeignPage(), 403),
    (access_errors.LooksLikeForm(), 415),
    (access_errors.GetChangesNothing("POST /api/models/unload"), 403),
    (access_errors.TwoStories(), 400),
    (access_errors.TooManyGuesses(2.5), 429),
    (access_errors.NotAllowed(Scope.MANAGE), 403),
    (access_errors.LimitReached(Refusal("requests a minute", 60, 2.5), []), 429),
    (access_errors.ModelNotAllowed("qwen3-8b"), 403),
    (access_errors.OnlyForAllModels(), 403),
    (errors.BodyTooLarge(1000), 413),
    (access_errors.KeyRequired(), 401),
    (errors.ModelBackingOff("qwen3-8b", "it ran out of memory", 3, 30), 503),
    (errors.RequestTimeout(60), 408),
    (errors.NoRoom("No space left on device"), 507),
    (errors.QueueFull("qwen3-8b", retry_after=2.2), 429),
    (errors.UpstreamGone("The engine closed the connection."), 502),
    (errors.EngineNotReached("The engine cannot be reached."), 502),
    (errors.EngineDiedMidStream("The engine closed the connection."), 502),
    (errors.ModelFailedToStart("qwen3-8b", "it ran out of memory", ["line"]), 502),
    (errors.NoEngine(), 503),
    (errors.NotServing(), 503),
    (errors.ModelUnloaded("qwen3-8b"), 503),
    (errors.ServerStopping(), 503),
    (errors.UpstreamTimeout("answer", 3), 504),
    (errors.RequestCancelled(), 410),
    (errors.RequestNotFound(7), 404),
]


def every_kind() -> set[type[errors.GatewayError]]:
    found: set[type[errors.GatewayError]] = set()
    todo = [errors.GatewayError]
    while todo:
        kinds = todo.pop().__subclasses__()
        found.update(kinds)
        todo.extend(kinds)
    ours = (errors.__name__, access_errors.__name__)
    return {kind for kind in found if kind.__module__ in ours}


def test_every_kind_of_error_has_an_example_here() -> None:
    assert {type(error) for error, _ in EXAMPLES} == every_kind()


def test_every_kind_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in every_kind()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(("error", "status"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_an_error_is_answered_in_both_dialects(error: errors.GatewayError, status: int) -> None:
    assert error.status == status
    assert json.loads(errors.openai_body(error)) == {
        "error": {
            "message": str(error),
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }
    api = errors.api_body(error)
    assert (api["error"], api["code"]) == (str(error), error.code.upper())
    assert isinstance(api["details"], str)


def test_client_mistakes_and_server_faults_have_different_types() -> None:
    for error, status in EXAMPLES:
        assert (error.type == "server_error") == (status >= 500)


def test_a_failed_start_carries_the_newest_log_lines_only() -> None:
    lines = [f"line {number}\n" for number in range(100)]
    error = errors.ModelFailedToStart("qwen3-8b", "it ran out of memory", lines)
    assert error.log_lines == [f"line {number}" for number in range(80, 100)]
    assert str(error).endswith("line 98\nline 99")
    assert errors.api_body(error)["details"].startswith("line 80\n")


def test_a_failed_start_without_log_says_only_the_reason() -> None:
    error = errors.ModelFailedToStart("qwen3-8b", "the command was not found")
    assert str(error) == "The model 'qwen3-8b' failed to start: the command was not found."


@pytest.mark.parametrize(("seconds", "header"), [(0.0, b"1"), (0.4, b"1"), (2.2, b"3")])
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, header: bytes) -> None:
    error = errors.QueueFull("qwen3-8b", retry_after=seconds)
    assert error.headers == [(b"retry-after", header)]


def test_an_unknown_wait_sends_no_retry_after() -> None:
    error = errors.QueueFull("qwen3-8b")
    assert error.headers == []
    assert "later" in str(error)


def test_an_engine_that_dies_mid_stream_is_also_a_gone_upstream() -> None:
    assert issubclass(errors.EngineDiedMidStream, errors.UpstreamGone)


def test_names_in_messages_keep_their_letters() -> None:
    body = errors.openai_body(errors.ModelNotFound("größe-7b"))
    assert "größe-7b" in body.decode()


def test_half_a_surrogate_pair_in_a_name_does_not_break_the_answer() -> None:
    body = errors.openai_body(errors.ModelNotFound("bad\ud800"))
    assert json.loads(body)["error"]["code"] == "model_not_found"
