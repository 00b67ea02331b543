"""What is done past Django is in the audit log as well."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync

from models_app.models import AuditEntry
from models_app.rights import EVERYTHING, Rights
from proxy_app import noting
from proxy_app.key_guard import CALLER
from proxy_app.keys import Caller

pytestmark = pytest.mark.django_db


def test_it_says_who_unloaded_and_from_where() -> None:
    caller = Caller("script", 7, Rights(3, "ann", EVERYTHING))
    scope = {"method": "GET", "path": "/unload", "client": ("10.0.0.9", 5), CALLER: caller}
    async_to_sync(noting.note)(scope, "models")
    noted = AuditEntry.objects.get()
    assert (noted.who, noted.person_id, noted.key_id) == ("ann", 3, 7)
    assert (noted.kind, noted.what, noted.address) == ("models", "GET /unload", "10.0.0.9")
