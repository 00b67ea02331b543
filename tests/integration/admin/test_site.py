"""The admin as a whole: what it lists, and that no page needs more than the policy allows."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from models_app.models import ModelFolder, ServedModel
from tests.integration.admin.pages import list_of, text_of

pytestmark = pytest.mark.django_db


def test_tables_stand_under_headings_that_say_what_they_are_for(admin_client: Client) -> None:
    page = text_of(admin_client.get("/admin/"))

    headings = re.findall(r'<h2 id="nav-[^"]*">([^<]*)</h2>', page)
    assert headings[:4] == ["Serving", "Files", "Configuration", "This machine"]
    assert "ClaraCore" in page and "Django" not in page


def test_a_list_names_the_column_of_every_value(
    admin_client: Client, registry: ModelFolder
) -> None:
    page = text_of(admin_client.get(list_of(ServedModel)))

    assert re.search(r'<td data-label="Kind" class="field-kind">', page)
    assert page.count('data-label="Kind"') == ServedModel.objects.count()


def test_a_user_sees_their_keys_and_usage_only(client: Client, django_user_model: type) -> None:
    user = django_user_model.objects.create(username="guest")  # type: ignore[attr-defined]
    client.force_login(user)

    page = text_of(client.get("/admin/"))
    tables = set(re.findall(r'href="/admin/(\w+/\w+)/"', page))
    assert tables == {
        "models_app/apikey",
        "proxy_app/usagerow",
        "proxy_app/usagehour",
        "proxy_app/usageday",
    }
