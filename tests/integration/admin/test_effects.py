"""After a change the admin says which loaded models it restarts, and which stay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from models_app import live
from models_app.models import ServedModel, ServerSettings
from tests.integration.admin.pages import act, form_of, page_of, text_of

pytestmark = pytest.mark.django_db


class Loaded:
    """A server on which two models are up."""

    def loaded_models(self) -> frozenset[str]:
        return frozenset({"fox-1b", "big"})

    def catch_up(self) -> None:
        """It serves what is there at once."""

    def served(self) -> None:
        """Nobody kept what it serves."""


@pytest.fixture
def loaded() -> Iterator[None]:
    live.register(Loaded())
    yield
    live.register(None)


def save(client: Client, row: object, **changes: object) -> str:
    address = page_of(row)
    return text_of(client.post(address, {**form_of(client, address), **changes}, follow=True))


def test_what_restarts_and_what_stays_is_told(
    admin_client: Client, fox: ServedModel, loaded: None
) -> None:
    page = save(admin_client, fox, cmd="serve --port ${PORT}")

    assert "Restarting: fox-1b." in page
    assert "1 model restarts once its requests are done" in page
    assert "1 model stays loaded" in page


def test_what_touches_no_engine_tells_nothing(
    admin_client: Client, fox: ServedModel, loaded: None
) -> None:
    page = save(admin_client, fox, description="Quick and brown")

    assert "Restarting" not in page and "stays loaded" not in page


def test_a_disabled_model_is_told_to_go(
    admin_client: Client, fox: ServedModel, loaded: None
) -> None:
    assert "1 model goes" in act(admin_client, "disable", fox)


def test_settings_tell_what_they_restart(
    admin_client: Client, fox: ServedModel, loaded: None
) -> None:
    ServedModel.objects.filter(pk=fox.pk).update(cmd="serve --port ${PORT} --threads ${threads}")
    ServerSettings.objects.update(macros={"threads": "1"})

    page = save(admin_client, ServerSettings.current(), macros='{"threads": "2"}')

    assert "Restarting: fox-1b." in page
