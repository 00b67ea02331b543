"""A page or a REST call while the database is away says when to come back; it is no mistake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.transaction import TransactionManagementError
from django.test import Client

from models_app.database_away import is_away
from proxy_app.database_thread import DatabaseLost
from proxy_app.keys import KeyRing
from proxy_app.serving import SERVING

PAGES = ("/ui/", "/ui/models/", "/admin/", "/admin/models_app/servedmodel/", "/ui/setup/")
CALLS = ("/api/keys", "/api/usage?by=hour", "/api/requests?limit=20", "/api/config/folders")


@pytest.fixture
def lost(db: None) -> Iterator[None]:
    """Every query fails, as when PostgreSQL is gone."""

    def fail(*_: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    with connection.execute_wrapper(fail):
        yield


@pytest.mark.usefixtures("lost")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_to_be_tried_again(page: str) -> None:
    reply = Client(SERVER_NAME="localhost", raise_request_exception=False).get(page)
    assert reply.status_code == 503
    assert int(reply["Retry-After"]) > 0
    assert "database" in reply.content.decode().lower()


@pytest.mark.usefixtures("lost")
@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("keys_known", [True, False])
def test_a_call_is_to_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, path: str, keys_known: bool
) -> None:
    """Whether the view is what fails, or who asks is not known either."""
    if keys_known:
        monkeypatch.setattr(SERVING.keys, "ring", KeyRing.of(False, [], administered=False))
    reply = Client(SERVER_NAME="localhost", raise_request_exception=False).get(path)
    assert reply.status_code == 503
    assert int(reply["Retry-After"]) > 0
    assert reply.json()["code"] == "DATABASE_AWAY"


def test_what_came_of_a_lost_database_is_no_mistake_either() -> None:
    try:
        try:
            raise OperationalError("gone")
        except OperationalError:
            raise TransactionManagementError("broken transaction")  # noqa: B904
    except TransactionManagementError as error:
        assert is_away(error)
    assert is_away(DatabaseLost("nobody answers"))
    assert not is_away(ValueError("a slip"))
    assert not is_away(None)
