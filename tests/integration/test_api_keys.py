from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from models_app import api_keys, changes
from models_app.models import ApiKey, ServerSettings
from proxy_app.key_rows import read_ring
from proxy_app.keys import KeyRing, note_use

pytestmark = pytest.mark.django_db


def names(ring: KeyRing) -> set[str]:
    return {key.caller.name for key in ring.keys.values()}


def test_a_made_key_is_shown_once_and_only_its_digest_is_kept() -> None:
    row, key = api_keys.create("laptop")
    assert key.startswith("sk-") and len(key) > 30
    kept = ApiKey.objects.values().get(pk=row.pk)
    assert key not in str(kept)
    assert kept["digest"] == api_keys.digest_of(key)
    assert kept["prefix"] == key[:8]  # Enough to know it again, and far from enough to use it.
    assert names(read_ring()) == {"laptop"}


def test_revoked_and_expired_keys_are_not_on_the_ring() -> None:
    revoked, _ = api_keys.create("revoked")
    api_keys.revoke(revoked)
    api_keys.create("expired", timezone.now() - timedelta(seconds=1))
    api_keys.create("good", timezone.now() + timedelta(days=1))
    assert names(read_ring()) == {"good"}


def test_the_shared_key_is_replaced_and_dropped() -> None:
    api_keys.set_shared("first key")
    api_keys.set_shared("second")
    assert list(read_ring().keys) == [bytes.fromhex(api_keys.digest_of("second"))]
    api_keys.set_shared("second")
    assert api_keys.has_shared()
    api_keys.forget_shared()
    assert not api_keys.has_shared()


@pytest.mark.parametrize("text", ["", " a", "ü", "a\nb", "x" * 513])
def test_a_text_no_header_could_carry_is_no_key(text: str) -> None:
    with pytest.raises(api_keys.KeyRejected):
        api_keys.set_shared(text)


def test_requiring_a_key_reaches_the_ring() -> None:
    assert not read_ring().required
    api_keys.require(True)
    assert read_ring().required


def counts(act: Callable[[], Any]) -> bool:
    before = changes.current_version()
    act()
    return changes.current_version() > before


@pytest.mark.django_db(transaction=True)
def test_what_changes_who_gets_in_counts_as_a_change_and_use_does_not() -> None:
    assert counts(lambda: api_keys.create("one"))
    row = ApiKey.objects.get()
    assert not counts(lambda: note_use([row.pk]))
    assert ApiKey.objects.get().last_used_at is not None
    assert counts(lambda: api_keys.revoke(row))


def test_the_admin_makes_a_key_and_shows_it_once(admin_client: Client) -> None:
    form = {"name": "laptop", "scopes": ["inference"], "queue_share": "1", "_save": "Save"}
    reply = admin_client.post("/admin/models_app/apikey/add/", form, follow=True)
    page = reply.content.decode()
    key = page.partition("<code>")[2].partition("</code>")[0]
    assert api_keys.digest_of(key) == ApiKey.objects.get().digest
    again = admin_client.get("/admin/models_app/apikey/").content.decode()
    assert key not in again and key[:8] in again


def test_the_admin_revokes_keys(admin_client: Client) -> None:
    row, _ = api_keys.create("laptop")
    data = {"action": "revoke", "_selected_action": [str(row.pk)]}
    admin_client.post("/admin/models_app/apikey/", data)
    assert not read_ring().keys


def test_the_admin_requires_no_key_while_there_is_none(admin_client: Client) -> None:
    row = ServerSettings.current()
    fields = ("health_check_timeout", "start_port", "default_ttl", "log_level", "max_wait")
    fields += ("min_residency", "queue_length", "preferred_context", "min_context")  # type: ignore[assignment]
    form = {name: str(getattr(row, name)) for name in fields}
    form |= {"preload": "[]", "macros": "{}", "allowed_origins": '["*"]', "require_api_key": "on"}
    url = f"/admin/models_app/serversettings/{row.pk}/change/"
    page = admin_client.post(url, form).content.decode()
    assert "Make an API key first" in page
    assert "is no origin" in page
