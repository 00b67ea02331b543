"""Made-up requests for every operation that is described, with rights and without.

One of each runs with the tests; `make fuzz-access` sends at least 5,000 and tells what came back.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from celery import current_app
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, settings
from pytest_django.fixtures import Settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from models_app import api_keys, hf_token
from models_app.models import ModelFolder, ScanRun
from models_app.rights import EVERYTHING, Rights, Scope
from proxy_app.keys import Caller, Key, KeyRing
from proxy_app.serving import SERVING
from tests.integration.test_access_matrix import ACTORS, expected
from tests.routes import Route

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "1"))
"""Of each operation and key, unless fewer are possible."""
WRONG_ONES: Final = EXAMPLES // 8
"""As many more that the description does not allow: making them up takes long."""
IS_LONG: Final = EXAMPLES > 1
LEAST_OF_A_LONG_RUN: Final = 5_000

KEYS: Final = {
    "nobody": frozenset[Scope](),
    **{str(scope): frozenset({scope}) for scope in Scope},
    "everything": EVERYTHING,
}
FETCHES: Final = frozenset(
    ("update_binary", "force_update_binary", "install_engine", "browse_hub", "search_hub")
)
"""What asks other servers, were it let."""
NOT_SERVING: Final = 503
"""What needs engines, of which there are none in this process."""

Sent = Counter[tuple[str, int]]
"""How many requests of whom got which status."""


@pytest.fixture
def keys(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, transactional_db: None
) -> Iterator[None]:
    """An administrator, a key for each set of scopes, and a worker that finds nothing."""

    def send_task(name: str, args: tuple[int, ...] = (), **_: Any) -> None:
        ScanRun.objects.filter(pk__in=args).update(status=ScanRun.Status.COMPLETED)

    settings.CLARACORE_HF_ENDPOINT = "http://127.0.0.1:9"
    ring = [
        Key(
            bytes.fromhex(api_keys.digest_of(f"sk-{name}")),
            Caller(name, number, Rights(0, name, scopes)),
        )
        for number, (name, scopes) in enumerate(KEYS.items(), start=1_000_000)
        if scopes
    ]
    monkeypatch.setattr(current_app, "send_task", send_task)
    monkeypatch.setattr(SERVING.keys, "ring", KeyRing.of(False, ring, administered=True))
    yield
    hf_token.save("")


@pytest.mark.usefixtures("keys")
def test_no_request_gets_further_than_its_rights(registry: ModelFolder) -> None:
    told = {route: dict(zip(ACTORS, row, strict=True)) for route, row in expected().items()}
    sent: Sent = Counter()
    for operation in operations():
        by_actor = told[route_of(operation)]
        for name in KEYS:
            status = by_actor.get(name, 0)
            if status in (401, 403):
                drive(operation, name, status, sent)
            elif operation.definition.raw["operationId"] not in FETCHES:
                drive(operation, name, 0, sent)
    assert {name for name, _ in sent} == set(KEYS)
    assert {status for name, status in sent if name == "nobody"} <= {401, 404}
    if IS_LONG:
        print(f"\n{sent.total()} requests by {EXAMPLES} at most of each kind:")
        for (name, status), count in sorted(sent.items()):
            print(f"{name:10} {status} {count:6}")
        assert sent.total() >= LEAST_OF_A_LONG_RUN


def operations() -> list[Any]:
    schema = schemathesis.openapi.from_wsgi(
        "/api/schema", get_wsgi_application(), headers={"Authorization": "Bearer sk-inference"}
    )
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(found) > 50
    return found


def route_of(operation: Any) -> Route:
    parts = ("1" if part.startswith("{") else part for part in operation.path.split("/"))
    return Route("/".join(parts), operation.method.upper())


def drive(operation: Any, name: str, refused: int, sent: Sent) -> None:
    """Send what the description allows and, in a long run, also what it does not."""
    _drive(operation, name, refused, sent, GenerationMode.POSITIVE, EXAMPLES)
    if WRONG_ONES and operation.body:
        _drive(operation, name, refused, sent, GenerationMode.NEGATIVE, WRONG_ONES)


def _drive(
    operation: Any, name: str, refused: int, sent: Sent, mode: GenerationMode, most: int
) -> None:
    """`refused` is the status that every request has to get; 0: any but a refusal or a fault."""

    @settings(
        max_examples=most,
        derandomize=not IS_LONG,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer sk-{name}"} if KEYS[name] else {})
        status = answer.status_code
        sent[name, status] += 1
        said = f"{operation.label} by {name}: {status} {answer.text[:500]}"
        if refused:
            # What a made-up id makes of the path may be no route at all.
            assert status in (refused, 404), said
        else:
            assert status < 500 or status == NOT_SERVING, said
            # A made-up id may make a path of it that asks for another right.
            may_be_refused = "{" in operation.path or wants_to_go_before_others(case)
            assert status not in ((401,) if may_be_refused else (401, 403)), said

    send()


def wants_to_go_before_others(case: Any) -> bool:
    """A key is made by anybody, but its place in the queue is given by administrators."""
    body = case.body if isinstance(case.body, dict) else {}
    return case.operation.label == "POST /api/keys" and bool(
        body.keys() & {"priority", "queueShare"}
    )
