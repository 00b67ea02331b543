"""Playground, Activity, Queue and Logs as a browser without JavaScript gets them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from models_app.models import VirtualModel
from proxy_app.models import UsageHour, UsageRow
from ui_app import activity

pytestmark = pytest.mark.django_db

PAGES = ("/ui/playground/", "/ui/activity/", "/ui/queue/", "/ui/logs/")


def make_row(model: str = "fox", **values: Any) -> UsageRow:
    defaults = {
        "at": timezone.now() - timedelta(minutes=5),
        "path": "/v1/chat/completions",
        "status": 200,
        "queue_ms": 100.0,
        "load_ms": 200.0,
        "first_ms": 400.0,
        "prompt_ms": 90.0,
        "generation_ms": 500.0,
        "total_ms": 1000.0,
    }
    return UsageRow.objects.create(model=model, **{**defaults, **values})


def signed_in(name: str, *, administrates: bool = False) -> Client:
    make = User.objects.create_superuser if administrates else User.objects.create_user
    user = make(name, password="correct horse")
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def administrator() -> Client:
    return signed_in("ada", administrates=True)


@pytest.fixture
def user(administrator: Client) -> Iterator[Client]:
    yield signed_in("uma")


def rows_of(reply: Any) -> list[str]:
    return [told.row.model for told in reply.context["told"]]


@pytest.mark.parametrize("path", PAGES)
def test_each_page_shows_itself_without_engines(administrator: Client, path: str) -> None:
    assert administrator.get(path).status_code == 200


@pytest.mark.parametrize("task", ["embeddings", "rerank", "transcription", "speech"])
def test_a_task_that_no_model_offers_says_so(administrator: Client, task: str) -> None:
    assert "No model offers this" in administrator.get(f"/ui/playground/{task}/").text


def test_who_only_uses_models_sees_their_own_requests(user: Client) -> None:
    mine = make_row("mine", person_id=User.objects.get(username="uma").pk)
    other = make_row("other", person_id=User.objects.get(username="ada").pk)
    make_row("nobody's")
    reply = user.get("/ui/activity/")
    assert rows_of(reply) == ["mine"]
    assert "person" not in reply.context["filters"].fields
    assert user.get(f"/ui/activity/{mine.pk}/").status_code == 200
    assert user.get(f"/ui/activity/{other.pk}/").status_code == 404
    text = user.get("/ui/activity/requests.csv").getvalue().decode()
    assert [row["model"] for row in csv.DictReader(io.StringIO(text))] == ["mine"]


def test_who_only_uses_models_cannot_ask_for_anothers_requests(user: Client) -> None:
    ada = User.objects.get(username="ada").pk
    make_row("other", person_id=ada)
    assert rows_of(user.get(f"/ui/activity/?person={ada}")) == []


def test_logs_are_for_those_who_manage(user: Client) -> None:
    assert user.get("/ui/logs/").status_code == 403


def test_requests_are_narrowed_by_everything_at_once(administrator: Client) -> None:
    ada = User.objects.get(username="ada").pk
    make_row("fox", person_id=ada, status=503, error="no_room")
    make_row("fox", person_id=ada)
    make_row("sea", person_id=ada, status=503, error="no_room")
    make_row("fox", status=503, error="no_room")
    make_row("fox", person_id=ada, status=503, at=timezone.now() - timedelta(days=40))
    query = f"model=fox&person={ada}&status=failed&period=30d"
    assert len(rows_of(administrator.get(f"/ui/activity/?{query}"))) == 1
    everything = f"model=fox&person={ada}&status=failed&period=all"
    assert len(rows_of(administrator.get(f"/ui/activity/?{everything}"))) == 2
    assert len(rows_of(administrator.get("/ui/activity/?person=none"))) == 1


def test_nonsense_in_the_address_is_no_error(administrator: Client) -> None:
    make_row()
    for query in ("before=x", "before=9.9.9", "person=abc", "period=ages", "since=soon", "key=-1"):
        assert administrator.get(f"/ui/activity/?{query}").status_code == 200


def test_every_request_is_on_exactly_one_page(administrator: Client) -> None:
    """Also those that came in the same moment."""
    moment = timezone.now() - timedelta(hours=1)
    UsageRow.objects.bulk_create(
        UsageRow(model=f"m{number}", path="/v1", at=moment) for number in range(120)
    )
    seen: list[str] = []
    before = ""
    while True:
        reply = administrator.get("/ui/activity/", {"before": before} if before else {})
        seen += rows_of(reply)
        before = reply.context["older"]
        if not before:
            break
    assert len(seen) == 120
    assert len(set(seen)) == 120


def test_the_bar_shows_where_all_of_the_time_went() -> None:
    segments = activity.segments_of(make_row())
    told = {part.phase: part.ms for part in segments}
    assert told == {"queue": 100, "load": 200, "prompt": 90, "generation": 500, "rest": 110}
    assert sum(part.width for part in segments) == pytest.approx(1000)
    assert segments[-1].x == pytest.approx(890)


def test_charts_have_a_value_for_every_hour(administrator: Client) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    for back, tokens in ((3, 10), (0, 30)):
        UsageHour.objects.create(
            model="fox",
            start=hour - timedelta(hours=back),
            requests=2,
            tokens_in=tokens,
            tokens_out=5,
            total_ms=3000,
        )
    told = administrator.get("/ui/activity/usage.json").json()
    assert told["step"] == 3600
    assert told["tokensIn"] == [*[0] * 21, 10, 0, 0, 30]
    assert told["seconds"][-4:] == [1.5, None, None, 1.5]
    assert told["start"][0] == (hour - timedelta(hours=24)).timestamp()


def test_a_name_in_the_spreadsheet_is_no_formula(administrator: Client) -> None:
    make_row("=cmd()")
    text = administrator.get("/ui/activity/requests.csv").getvalue().decode()
    [row] = csv.DictReader(io.StringIO(text))
    assert row["model"] == "'=cmd()"


def test_ending_a_request_that_is_gone_says_so(administrator: Client) -> None:
    reply = administrator.post("/ui/activity/end/", {"request": "7"}, follow=True)
    assert reply.redirect_chain == [("/ui/activity/", 302)]
    assert [message.level_tag for message in reply.context["messages"]] == ["error"]


def test_the_playgrounds_policy_lets_nothing_be_fetched_from_elsewhere(
    administrator: Client,
) -> None:
    policy = administrator.get("/ui/playground/").headers["Content-Security-Policy"]
    assert "img-src 'self' data: blob:" in policy
    assert "connect-src 'self'" in policy
    assert "http" not in policy


def test_a_virtual_model_can_be_talked_to(administrator: Client) -> None:
    VirtualModel.objects.create(name="best", members=["fox"])
    choices = administrator.get("/ui/playground/").context["choices"]
    assert [(one.model_id, one.label) for one in choices] == [("best", "best")]


def test_the_dashboard_tells_failures_from_what_clients_stopped(administrator: Client) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    UsageHour.objects.create(start=hour, model="fox", requests=9, errors=2, stopped=3)
    context = administrator.get("/ui/dashboard/").context
    assert (context["requests_day"], context["errors_day"], context["stopped_day"]) == (9, 2, 3)
