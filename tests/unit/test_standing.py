from __future__ import annotations

import logging

import pytest

from proxy_app.standing import Standing, readiness


@pytest.fixture
def database() -> Standing:
    return Standing("database", "Models are served on.")


def test_it_is_ready_while_everything_can_be_reached(database: Standing) -> None:
    database.reached()
    assert readiness([database]) == {"status": "ready", "database": {"status": "ok"}}


def test_it_tells_what_is_lost_and_for_how_long(database: Standing) -> None:
    database.lost(OSError("connection refused"))
    broker = Standing("broker", "")
    assert readiness([database, broker]) == {
        "status": "degraded",
        "database": {"status": "lost", "seconds": 0},
        "broker": {"status": "ok"},
    }
    database.reached()
    assert readiness([database])["status"] == "ready"


def test_a_loss_and_a_return_are_logged_once_each(
    database: Standing, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            database.lost(OSError("connection refused\nIs the server running?"))
        for _ in range(3):
            database.reached()
    first, second = caplog.messages
    assert first == ("The database cannot be reached (connection refused). Models are served on.")
    assert second == "The database is back after 0 s."


def test_an_error_without_words_is_named_by_its_kind(
    database: Standing, caplog: pytest.LogCaptureFixture
) -> None:
    database.lost(TimeoutError())
    assert "(TimeoutError())" in caplog.text
