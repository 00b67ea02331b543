"""The API driven by its own description: no server error, and no answer that is not described.

A short run in this process; `make fuzz` runs longer, against a real server.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from celery import current_app
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from models_app import hf_token
from models_app.models import ModelFolder, ScanRun

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OURS = (
    r"^/api/(config|settings|setup|system|models/\{name\}/plan"
    r"|binary/status|engines$|engines/(activate|rollback|prune|\{pk\}))"
)
"""Paths that need no engine, of which there is none in this process."""

EXAMPLES = 5


@pytest.fixture
def finding_nothing(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> None:
    """A worker whose scans end at once: a made-up folder may be the root of this machine."""

    def send_task(name: str, args: tuple[int]) -> None:
        ScanRun.objects.filter(pk=args[0]).update(status=ScanRun.Status.COMPLETED)

    monkeypatch.setattr(current_app, "send_task", send_task)


@pytest.fixture
def no_token() -> Iterator[None]:
    yield
    hf_token.save("")


@pytest.mark.usefixtures("finding_nothing", "no_token")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_a_described_one(registry: ModelFolder, mode: GenerationMode) -> None:
    django = get_wsgi_application()

    def at_this_machine(environ: Any, start_response: Any) -> Any:
        return django({**environ, "REMOTE_ADDR": "127.0.0.1"}, start_response)

    schema = schemathesis.openapi.from_wsgi("/api/schema", at_this_machine)
    operations = [
        result.ok()
        for result in schema.include(path_regex=OURS).get_all_operations()
        if isinstance(result, Ok)
    ]
    assert len(operations) > 20
    for operation in operations:
        if mode is GenerationMode.POSITIVE or operation.body:
            _drive(operation, mode)


def _drive(operation: Any, mode: GenerationMode) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def drive(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    drive()
