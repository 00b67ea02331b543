"""The days' sums are added up from the hours': of each key and person what their requests used."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db.models import Sum

from proxy_app.entries import Entry
from proxy_app.models import UsageDay, UsageHour
from proxy_app.usage import take_over

pytestmark = pytest.mark.django_db


def entry(hour: int, key: int, *, day: int = 5, model: str = "qwen") -> Entry:
    at = datetime(2026, 3, day, hour, 59, 59, tzinfo=UTC).timestamp() + 0.999
    return Entry(
        at, model, "/v1/chat/completions", key_id=key, person_id=key % 2, status=200, tokens_in=hour
    )


def test_several_hours_of_a_key_are_one_day() -> None:
    entries = [entry(hour, key) for hour in (0, 7, 23) for key in (1, 2)]
    assert take_over(entries, "a", 0, 10)
    hours = UsageHour.objects.values_list("start", "key_id", "requests", "tokens_in")
    assert sorted(hours) == [
        (datetime(2026, 3, 5, hour, tzinfo=UTC), key, 1, hour)
        for hour in (0, 7, 23)
        for key in (1, 2)
    ]
    days = UsageDay.objects.values_list("start", "key_id", "person_id", "requests", "tokens_in")
    day = datetime(2026, 3, 5, tzinfo=UTC)
    assert sorted(days) == [(day, 1, 1, 3, 30), (day, 2, 0, 3, 30)]


def test_what_comes_later_is_added_and_days_and_models_are_kept_apart() -> None:
    assert take_over([entry(23, 1), entry(0, 1, day=6)], "a", 0, 10)
    assert take_over([entry(22, 1), entry(22, 1, model="gemma")], "a", 10, 20)
    days = UsageDay.objects.values_list("start", "model", "requests", "tokens_in")
    assert sorted(days) == [
        (datetime(2026, 3, 5, tzinfo=UTC), "gemma", 1, 22),
        (datetime(2026, 3, 5, tzinfo=UTC), "qwen", 2, 45),
        (datetime(2026, 3, 6, tzinfo=UTC), "qwen", 1, 0),
    ]


def test_days_and_hours_hold_the_same() -> None:
    assert take_over([entry(n % 24, n % 5, day=1 + n % 3) for n in range(200)], "a", 0, 10)
    totals = [
        table.objects.aggregate(requests=Sum("requests"), tokens=Sum("tokens_in"))
        for table in (UsageHour, UsageDay)
    ]
    assert totals[0] == totals[1]
    assert totals[0]["requests"] == 200
