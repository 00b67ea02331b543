"""What a list says of how many rows there are."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from models_app.models import ModelGroup
from tests.integration.admin.pages import list_of, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def groups() -> list[str]:
    """More than a page holds."""
    names = [f"group {number:03d}" for number in range(120)]
    ModelGroup.objects.bulk_create(ModelGroup(name=name) for name in names)
    return names


def shown(client: Client, **query: str) -> list[str]:
    page = client.get(list_of(ModelGroup), query)
    return [group.name for group in page.context["cl"].result_list]


def counts(client: Client) -> int:
    """How many times the list is counted by a query of its own."""
    with CaptureQueriesContext(connection) as captured:
        shown(client)
    table = ModelGroup._meta.db_table
    return sum("COUNT(*)" in one["sql"] and table in one["sql"] for one in captured)


def test_a_list_is_counted_once_and_one_that_a_page_holds_by_reading_it(
    admin_client: Client, groups: list[str]
) -> None:
    assert counts(admin_client) == 1
    ModelGroup.objects.filter(name__gt=groups[19]).delete()
    assert counts(admin_client) == 0


def test_it_shows_a_list_page_by_page(admin_client: Client, groups: list[str]) -> None:
    assert shown(admin_client) == groups[:100]
    assert shown(admin_client, p="2") == groups[100:]
    assert shown(admin_client, all="") == groups
    assert "120 groups" in text_of(admin_client.get(list_of(ModelGroup)))


def test_a_page_that_does_not_exist_leads_back(admin_client: Client, groups: list[str]) -> None:
    assert admin_client.get(list_of(ModelGroup), {"p": "9"}).status_code == 302


def test_a_search_tells_how_many_there_are_in_all(admin_client: Client, groups: list[str]) -> None:
    text = text_of(admin_client.get(list_of(ModelGroup), {"q": "119"}))
    assert "1 result " in text and "120 total" in text


def test_a_search_in_vain_still_offers_what_can_be_done(
    admin_client: Client, groups: list[str]
) -> None:
    page = admin_client.get(list_of(ModelGroup), {"q": "nothing like it"})
    assert page.context["cl"].result_count == 0
    assert page.context["cl"].full_result_count == 120
    assert page.context["cl"].show_admin_actions
