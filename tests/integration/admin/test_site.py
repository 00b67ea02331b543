"""The admin as a whole: what it lists, and that no page needs more than the policy allows."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from models_app import people
from models_app.models import ModelFolder, ServedModel
from models_app.rights import Role
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

    assert _tables(client) == {
        "models_app/apikey",
        "proxy_app/usagerow",
        "proxy_app/usagehour",
        "proxy_app/usageday",
    }


def test_what_is_listed_follows_a_role_at_once(client: Client) -> None:
    user = people.create("guest", "a long enough one", Role.USER)
    client.force_login(user)
    assert _tables(client) & {"models_app/servedmodel", "auth/user"} == set()

    people.set_role(user, Role.CURATOR)
    client.force_login(user)
    assert _tables(client) & {"models_app/servedmodel", "auth/user"} == {"models_app/servedmodel"}

    people.set_role(user, Role.ADMINISTRATOR)
    client.force_login(user)
    assert _tables(client) >= {"models_app/servedmodel", "auth/user"}


def test_a_right_given_by_itself_is_seen(client: Client) -> None:
    user = people.create("guest", "a long enough one", Role.USER)
    client.force_login(user)
    assert "models_app/gguffile" not in _tables(client)

    user.user_permissions.add(Permission.objects.get(codename="view_gguffile"))
    assert "models_app/gguffile" in _tables(client)


def _tables(client: Client) -> set[str]:
    return set(re.findall(r'href="/admin/(\w+/\w+)/"', text_of(client.get("/admin/"))))
