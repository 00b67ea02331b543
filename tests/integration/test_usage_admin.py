from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client

from proxy_app.models import UsageDay, UsageHour, UsageRow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def rows(db: None) -> None:
    UsageRow.objects.create(at=NOON, model="fox", path="/v1/completions", status=200, tokens_out=7)
    UsageRow.objects.create(at=NOON, model="sea", path="/v1/completions", status=499)
    UsageHour.objects.create(start=NOON, model="fox", requests=1, tokens_out=7)
    UsageDay.objects.create(start=NOON, model="fox", requests=1, tokens_out=7)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("table", ["usagerow", "usagehour", "usageday"])
def test_usage_is_shown_and_cannot_be_changed(admin_client: Client, table: str) -> None:
    place = f"/admin/proxy_app/{table}/"
    page = admin_client.get(place)
    assert page.status_code == 200
    assert "fox" in page.text
    assert admin_client.get(f"{place}add/").status_code == 403
    first = page.context["cl"].result_list[0]
    assert admin_client.get(f"{place}{first.pk}/change/").status_code == 200
    assert admin_client.post(f"{place}{first.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.usefixtures("rows")
def test_requests_are_filtered(admin_client: Client) -> None:
    for ending, models in (("well", ["fox"]), ("left", ["sea"]), ("failed", [])):
        page = admin_client.get(f"/admin/proxy_app/usagerow/?ended={ending}")
        assert [row.model for row in page.context["cl"].result_list] == models
    page = admin_client.get("/admin/proxy_app/usagerow/?q=fox")
    assert [row.model for row in page.context["cl"].result_list] == ["fox"]
