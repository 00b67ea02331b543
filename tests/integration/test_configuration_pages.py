"""The configuration's pages as a browser without JavaScript gets them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.test import Client

from models_app import catalog, live, people, revisions
from models_app.config_yaml import render
from models_app.models import AuditEntry, Revision, ServedModel, ServerSettings
from models_app.rights import Role

pytestmark = pytest.mark.django_db

PAGE = "/ui/configuration/"
TEXT = "/ui/configuration/text/"
HISTORY = "/ui/configuration/history/"


def values_of(client: Client) -> dict[str, str]:
    """What the form of settings would send as it is."""
    form = client.get(PAGE).context["form"]
    found: dict[str, str] = {}
    for field in form:
        value = field.value()
        value = "" if value is None else field.field.prepare_value(value)
        found[field.html_initial_name] = str(value)
        if value is not False:
            found[field.html_name] = "on" if value is True else str(value)
    return found


def text_form(client: Client, text: str) -> dict[str, str]:
    return {"base": client.get(TEXT).context["form"]["base"].value(), "text": text}


def present() -> str:
    return render(catalog.build())


@pytest.fixture
def curator() -> Client:
    people.create("root", "correct horse 9", Role.ADMINISTRATOR)
    client = Client()
    client.force_login(people.create("cleo", "correct horse 9", Role.CURATOR))
    return client


# ---- Settings ----------------------------------------------------------------------------------


def test_a_look_tells_what_would_be_saved_and_saves_nothing(client: Client) -> None:
    sent = {**values_of(client), "max_wait": "33", "side_by_side": "on"}
    text = client.post(f"{PAGE}?dry_run=1", sent).content.decode()
    assert "Longest wait" in text
    assert re.search(r"change-old\">20<.*change-new\">33<", text, re.DOTALL)
    assert "No model is touched." in text
    assert ServerSettings.current().max_wait == 20
    assert not AuditEntry.objects.exists()


def test_what_was_changed_is_saved_and_nothing_else(client: Client) -> None:
    sent = {**values_of(client), "max_wait": "33", "preload": "", "macros": "a: 1\nb: x y"}
    ServerSettings.objects.update(queue_length=9)  # by somebody else, meanwhile
    assert client.post(PAGE, sent).status_code == 302
    row = ServerSettings.current()
    assert (row.max_wait, row.queue_length) == (33, 9)
    assert row.macros == {"a": "1", "b": "x y"}


def test_who_changes_what_somebody_else_just_changed_is_told(client: Client) -> None:
    sent = {**values_of(client), "max_wait": "33"}
    ServerSettings.objects.update(max_wait=44)
    reply = client.post(PAGE, sent)
    assert reply.status_code == 422
    assert "Somebody set this to 44 meanwhile" in reply.content.decode()
    assert ServerSettings.current().max_wait == 44
    sent["initial-max_wait"] = "44"  # as the page now has it
    assert client.post(PAGE, sent).status_code == 302
    assert ServerSettings.current().max_wait == 33


def test_two_who_wish_the_same_do_not_contradict_each_other(client: Client) -> None:
    sent = {**values_of(client), "max_wait": "33"}
    ServerSettings.objects.update(max_wait=33)
    assert client.post(f"{PAGE}?dry_run=1", sent).status_code == 302
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_body_mib": "0"}, "greater than or equal to 1"),
        ({"preload": "nobody"}, "There is no model “nobody”"),
        ({"macros": "no colon"}, "Write a name, a colon and a text"),
        ({"start_pauses": "1, two"}, "Write numbers with commas"),
        ({"require_api_key": "on"}, "Make an API key first"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(
    client: Client, changes: dict[str, str], words: str
) -> None:
    reply = client.post(PAGE, {**values_of(client), **changes})
    assert reply.status_code == 422
    assert words in reply.content.decode()


def test_curators_see_the_settings_and_change_none(curator: Client) -> None:
    ServerSettings.current()
    ServerSettings.objects.update(macros={"hf_token": "hf_secret", "threads": "8"})
    text = curator.get(PAGE).content.decode()
    assert "An administrator decides about these." in text
    assert "threads: 8" in text
    assert "hf_secret" not in text
    assert "hf_secret" not in curator.get(TEXT).content.decode()
    for path in (PAGE, f"{PAGE}?dry_run=1", TEXT, f"{TEXT}check/"):
        assert curator.post(path, {"max_wait": "1"}).status_code == 403


# ---- config.yaml -------------------------------------------------------------------------------


def test_a_mistake_is_shown_at_its_line(client: Client) -> None:
    text = "models:\n  fox:\n    cmd: run ${PORT}\n    ttl: soon\n"
    reply = client.post(f"{TEXT}?dry_run=1", text_form(client, text))
    shown = reply.content.decode()
    assert reply.status_code == 422
    assert "Line 4:" in shown
    assert '<mark id="bad-line">4</mark>' in shown
    assert client.post(f"{TEXT}check/", {"text": text}).status_code == 200
    assert not AuditEntry.objects.exists()
    assert "<mark>4      ttl: soon</mark>" in shown
    checked = client.post(f"{TEXT}check/", {"text": text}).content.decode()
    assert 'data-line="4"' in checked
    assert not ServedModel.objects.exists()


def test_an_edit_shows_its_difference_and_then_is_taken_in(client: Client) -> None:
    wanted = present().replace("models: {}", "models:\n  fox:\n    cmd: run --port ${PORT}")
    sent = text_form(client, wanted)
    shown = client.post(f"{TEXT}?dry_run=1", sent).content.decode()
    assert "1 model is new." in shown
    assert re.search(r'class="added">\+.*cmd: run --port', shown)
    assert not ServedModel.objects.exists()
    assert client.post(TEXT, sent).status_code == 302
    assert ServedModel.objects.get().cmd == "run --port ${PORT}"


class Serving:
    """The serving side, with one model loaded."""

    def loaded_models(self) -> frozenset[str]:
        return frozenset({"own"})

    def catch_up(self) -> None:
        pass

    def served(self) -> None:
        return None


@pytest.fixture
def loaded() -> Iterator[None]:
    live.register(Serving())
    yield
    live.register(None)


@pytest.mark.usefixtures("loaded")
def test_what_restarts_is_told_before_it_is_saved(client: Client) -> None:
    for name in ("own", "idle"):
        ServedModel.objects.create(model_id=name, cmd="run-it --port ${PORT}")
    edited = present().replace("run-it", "run-other")
    text = client.post(f"{TEXT}?dry_run=1", text_form(client, edited)).content.decode()
    restarting = text.partition("Restarting:")[2].partition("</p>")[0]
    assert ">own<" in restarting
    assert "idle" not in restarting
    assert "1 model starts otherwise next time, 1 model restarts once its requests are done" in text
    assert not ServedModel.objects.exclude(cmd="run-it --port ${PORT}").exists()


def test_what_changed_while_an_edit_was_written_stays(client: Client) -> None:
    revisions.keep()
    wanted = present().replace("models: {}", "models:\n  fox:\n    cmd: run --port ${PORT}")
    sent = text_form(client, wanted)
    ServedModel.objects.create(model_id="sea", cmd="run --port ${PORT}")
    shown = client.post(f"{TEXT}?dry_run=1", sent).content.decode()
    assert "Somebody else changed the same" not in shown
    assert client.post(TEXT, sent).status_code == 302
    assert sorted(catalog.build().models) == ["fox", "sea"]


def test_an_edit_that_contradicts_another_says_so_before_it_wins(client: Client) -> None:
    ServedModel.objects.create(model_id="sea", cmd="run --port ${PORT}")
    revisions.keep()
    sent = text_form(client, present().replace("run --port", "walk --port"))
    ServedModel.objects.update(cmd="swim --port ${PORT}")
    shown = client.post(f"{TEXT}?dry_run=1", sent).content.decode()
    assert "Somebody else changed the same meanwhile" in shown
    assert "model sea" in shown


# ---- History -----------------------------------------------------------------------------------


def make_history() -> Revision:
    ServedModel.objects.create(model_id="sea", cmd="run --port ${PORT}")
    first = revisions.keep()
    assert first is not None
    ServedModel.objects.update(cmd="walk --port ${PORT}")
    revisions.keep()
    return first


def test_the_history_leads_back(client: Client) -> None:
    first = make_history()
    assert "started with another command: sea" in client.get(HISTORY).content.decode()
    path = f"{HISTORY}{first.pk}/"
    shown = client.post(f"{path}?dry_run=1").content.decode()
    assert "1 model starts otherwise next time." in shown
    assert not AuditEntry.objects.exists()
    assert ServedModel.objects.get().cmd == "walk --port ${PORT}"
    assert Revision.objects.count() == 2
    client.post(path, {"back": "1"})
    assert ServedModel.objects.get().cmd == "run --port ${PORT}"


def test_a_curator_looks_and_does_not_go_back(curator: Client) -> None:
    path = f"{HISTORY}{make_history().pk}/"
    assert curator.get(path).status_code == 200
    assert curator.post(path, {"back": "1"}).status_code == 403


@pytest.mark.parametrize(("act", "kind"), [("apply", "applied"), ("dismiss", "dismissed")])
def test_an_edit_that_waits_is_applied_or_dismissed(client: Client, act: str, kind: str) -> None:
    first = make_history()
    edit = present().replace("walk", "swim")
    waiting = Revision.objects.create(
        kind=Revision.Kind.WAITING, yaml=edit, summary=["model sea"], digest="d", base=first
    )
    for path in (PAGE, HISTORY):
        assert f"{HISTORY}{waiting.pk}/" in client.get(path).content.decode()
    path = f"{HISTORY}{waiting.pk}/"
    assert "starts otherwise" in client.post(f"{path}?dry_run=1").content.decode()
    client.post(path, {act: "1"})
    waiting.refresh_from_db()
    assert waiting.kind == kind
    swims = "swim" in ServedModel.objects.get().cmd
    assert swims is (act == "apply")


def test_a_user_sees_none_of_it() -> None:
    people.create("root", "correct horse 9", Role.ADMINISTRATOR)
    client = Client()
    client.force_login(people.create("ulla", "correct horse 9", Role.USER))
    for path in (PAGE, TEXT, HISTORY):
        assert client.get(path).status_code == 403
