"""Made-up requests for every operation that is described, with rights and without.

They go to a real server, past all that stands before its pages. One of each runs with the tests;
`make fuzz-access` sends at least 5,000 and tells what came back.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from models_app.rights import EVERYTHING, Scope
from tests.acceptance.conftest import FOX
from tests.fuzz_api import LEFT_OUT
from tests.ggufs import write_reciter
from tests.integration.test_access_matrix import ACTORS, expected
from tests.management import in_home
from tests.routes import Route
from tests.server import RunningServer, running_server, wait_until

pytestmark = pytest.mark.engine

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

MAKE: Final = """
import json
from models_app import api_keys
from models_app.models import ApiKey
texts = {{}}
for number, (name, scopes) in enumerate({wanted!r}.items(), start=1_000_000):
    key, texts[name] = api_keys.create(name, scopes=scopes)
    ApiKey.objects.filter(pk=key.pk).update(id=number)
print(json.dumps(texts))
"""
"""Their numbers are none that would be made up: who may do everything may revoke keys."""

Sent = Counter[tuple[str, int]]
"""How many requests of whom got which status."""


@dataclass
class Target:
    """A server with an administrator, and a key of each kind."""

    server: RunningServer
    keys: dict[str, str]

    def headers(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[name]}"} if name in self.keys else {}

    def knows_its_keys(self) -> bool:
        return all(self.status_of(name, "/api/me") in (200, 403) for name in self.keys)

    def status_of(self, name: str, path: str) -> int:
        address = f"{self.server.url}{path}"
        return requests.get(address, headers=self.headers(name), timeout=60).status_code


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    write_reciter(tmp_path / "fox-f32.gguf", FOX)
    env = {
        "CLARACORE_ADMIN_PASSWORD": "correct horse 9",
        "CLARACORE_HF_ENDPOINT": "http://127.0.0.1:9",
    }
    with running_server(tmp_path, env=env) as server:
        wanted = {name: sorted(map(str, scopes)) for name, scopes in KEYS.items() if scopes}
        made = Target(server, json.loads(in_home(server.home, MAKE.format(wanted=wanted))))
        wait_until(made.knows_its_keys, "the keys", server.said)
        yield made


def test_no_request_gets_further_than_its_rights(target: Target) -> None:
    told = {route: dict(zip(ACTORS, row, strict=True)) for route, row in expected().items()}
    sent: Sent = Counter()
    for operation in operations(target):
        by_actor = told[route_of(operation)]
        for name in KEYS:
            status = by_actor.get(name, 0)
            if status in (401, 403):
                drive(operation, target, name, status, sent)
            elif not is_left_out(operation.definition.raw["operationId"]):
                drive(operation, target, name, 0, sent)
    assert target.knows_its_keys()
    assert target.status_of("nobody", "/api/me") == 401
    assert {name for name, _ in sent} == set(KEYS)
    assert {status for name, status in sent if name == "nobody"} <= {401, 404}
    if IS_LONG:
        print(f"\n{sent.total()} requests by {EXAMPLES} at most of each kind:")
        for (name, status), count in sorted(sent.items()):
            print(f"{name:10} {status} {count:6}")
        assert sent.total() >= LEAST_OF_A_LONG_RUN


def is_left_out(name: str) -> bool:
    """What reads folders of this machine, has no end, or asks a hub, of which there is none."""
    return name in ("browse_hub", "search_hub") or re.fullmatch(LEFT_OUT, name) is not None


def operations(target: Target) -> list[Any]:
    schema = schemathesis.openapi.from_url(
        f"{target.server.url}/api/schema/", headers=target.headers("inference")
    )
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(found) > 50
    return found


def route_of(operation: Any) -> Route:
    parts = ("1" if part.startswith("{") else part for part in operation.path.split("/"))
    return Route("/".join(parts), operation.method.upper())


def drive(operation: Any, target: Target, name: str, refused: int, sent: Sent) -> None:
    """Send what the description allows and, in a long run, also what it does not."""
    _drive(operation, target, name, refused, sent, GenerationMode.POSITIVE, EXAMPLES)
    if WRONG_ONES and operation.body:
        _drive(operation, target, name, refused, sent, GenerationMode.NEGATIVE, WRONG_ONES)


def _drive(
    operation: Any,
    target: Target,
    name: str,
    refused: int,
    sent: Sent,
    mode: GenerationMode,
    most: int,
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
        answer = case.call(headers=target.headers(name), timeout=120)
        status = answer.status_code
        sent[name, status] += 1
        said = f"{operation.label} by {name}: {status} {answer.text[:500]}"
        if refused:
            # What a made-up id makes of the path may be no route at all.
            assert status in (refused, 404), said
        else:
            assert status < 500, said
            # A made-up id may make a path of it that asks for another right.
            may_be_refused = "{" in operation.path or would_make_a_key(operation, name)
            assert status not in ((401,) if may_be_refused else (401, 403)), said

    send()


def would_make_a_key(operation: Any, name: str) -> bool:
    """Keys are made by people, and by administrators' keys."""
    return operation.label == "POST /api/keys" and Scope.ADMIN not in KEYS[name]
