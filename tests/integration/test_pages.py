"""The pages as a browser without JavaScript gets them, in a process without engines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app.models import (
    GgufFile,
    ModelAlias,
    ModelFolder,
    ScanRun,
    ServedModel,
    ServerSettings,
)
from ui_app.model_cards import Card, State, cards, listed
from ui_app.runtime import Now

pytestmark = pytest.mark.django_db

HOSTILE = "\"><script>alert('x')</script>&{{ 1 }}"


@pytest.fixture
def folder() -> ModelFolder:
    return ModelFolder.objects.create(path="/srv/models")


def make_file(folder: ModelFolder, name: str = "tiny.gguf", **values: Any) -> GgufFile:
    defaults = {
        "size": 253 * 2**20,
        "mtime_ns": 1,
        "kind": "chat",
        "quantization": "Q4_K_M",
        "parameters": 268_098_176,
        "context_length": 32768,
        "last_seen_at": timezone.now(),
    }
    return GgufFile.objects.create(
        folder=folder, path=f"{folder.path}/{name}", relative_path=name, **{**defaults, **values}
    )


def make_model(model_id: str, file: GgufFile | None = None, **values: Any) -> ServedModel:
    return ServedModel.objects.create(model_id=model_id, file=file, **values)


def status(model_id: str, state: str, **values: Any) -> dict[str, Any]:
    """One entry of the runner's list."""
    return {"id": model_id, "state": state, "inFlight": 0, "queued": 0, "problem": "", **values}


def only_card(*statuses: dict[str, Any]) -> Card:
    (card,) = cards(listed(), Now(statuses=statuses, has_engines=True))
    return card


def shown(card: Card) -> str:
    return render_to_string("ui/models/_card.html", {"card": card, "may": {"manage": True}})


def page(client: Client, query: str = "") -> str:
    return read(client, f"/ui/models/{query}")


def setup(client: Client) -> str:
    return read(client, "/ui/setup/")


def read(client: Client, path: str) -> str:
    reply = client.get(path)
    assert reply.status_code == 200
    return reply.content.decode()


# ---- The page ----------------------------------------------------------------------------------


def test_an_empty_database_leads_to_a_folder(client: Client) -> None:
    text = setup(client)
    assert "No models yet" in text
    assert 'name="path"' in text


def test_where_no_suggestion_fits_the_smallest_model_is_offered(client: Client) -> None:
    assert "Models that fit this machine" in setup(client)
    settings = ServerSettings.current()
    settings.ram_gb = 1
    settings.save()
    text = setup(client)
    assert "Models that fit this machine" not in text and "Hugging Face" not in text
    assert "A model to begin with" in text and "has no room for the models" in text
    assert 'name="repository" value="starter"' in text


def test_folders_without_models_say_what_to_do(client: Client, folder: ModelFolder) -> None:
    text = setup(client)
    assert "No model was found in your folders." in text
    assert "Scan now" in text
    assert "/srv/models" in text


def test_a_model_shows_the_facts_of_its_file(client: Client, folder: ModelFolder) -> None:
    model = make_model("tiny", make_file(folder))
    ModelAlias.objects.create(alias="small", model=model)
    text = read(client, f"/ui/models/{model.pk}/")
    for fact in ("Q4_K_M", "268M", "253.0 MiB", "32,768 tokens", "Chat", "small"):
        assert fact in text
    assert f"/admin/models_app/servedmodel/{model.pk}/change/" in text


def test_a_model_shows_what_its_template_was_taught(folder: ModelFolder) -> None:
    make_model("able", make_file(folder, facts={"tools": True, "reasoning": True}))
    assert "tools, reasoning" in [fact.value for fact in only_card().facts]
    GgufFile.objects.update(facts={"tools": True, "reasoning": False})
    assert "tools" in [fact.value for fact in only_card().facts]
    GgufFile.objects.update(facts={})
    assert "Chat skills" not in [fact.label for fact in only_card().facts]


def test_a_split_model_has_the_size_of_all_its_parts(folder: ModelFolder) -> None:
    first = make_file(folder, "big-00001-of-00002.gguf", size=2**30)
    make_file(folder, "big-00002-of-00002.gguf", size=2**30, kind="part", first_part=first)
    make_model("big", first)
    assert "2.0 GiB" in [fact.value for fact in only_card().facts]


def test_a_projector_makes_a_chat_model_see(folder: ModelFolder) -> None:
    projector = make_file(folder, "mmproj.gguf", kind="projector")
    make_model("seeing", make_file(folder, projector=projector))
    assert "Chat, with images" in [fact.value for fact in only_card().facts]


def test_a_model_of_an_unknown_kind_is_shown_too(client: Client, folder: ModelFolder) -> None:
    make_model("odd", make_file(folder, kind="other", parameters=None, context_length=None))
    make_model("bare", make_file(folder, "bare.gguf", kind="", quantization=""))
    make_model("own", None, cmd="serve-it --port ${PORT}")
    text = page(client)
    assert "Other" in text
    own = ServedModel.objects.get(model_id="own")
    assert "a command of its own" in read(client, f"/ui/models/{own.pk}/")


def test_the_number_of_queries_does_not_grow_with_the_models(
    client: Client, folder: ModelFolder
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            page(client)
        return len(captured)

    make_model("first", make_file(folder))
    page(client)
    few = queries()
    for number in range(20):
        model = make_model(f"model-{number}", make_file(folder, f"{number}.gguf"))
        ModelAlias.objects.create(alias=f"alias-{number}", model=model)
        model.projector = make_file(folder, f"mmproj-{number}.gguf", kind="projector")
        model.save()
    assert queries() == few


def test_files_that_cannot_be_served_have_their_reason(client: Client, folder: ModelFolder) -> None:
    make_file(folder, "cut.gguf", state="unreadable", problem="The file ends too early.")
    for number in (2, 3):
        make_file(
            folder,
            f"big-0000{number}-of-00003.gguf",
            state="incomplete",
            problem="Part 1 of 3 is missing.",
        )
    text = page(client)
    assert "cut.gguf" in text
    assert "The file ends too early." in text
    assert text.count("Part 1 of 3 is missing.") == 1


def test_a_folder_tells_its_counts_and_its_problem(client: Client, folder: ModelFolder) -> None:
    ModelFolder.objects.update(problem="old/ cannot be read.", last_scanned_at=timezone.now())
    make_model("tiny", make_file(folder))
    make_file(folder, "mmproj.gguf", kind="projector")
    make_file(folder, "gone.gguf", state="vanished", problem="The file is no longer there.")
    text = " ".join(setup(client).split())
    assert "1 model, 2 files · scanned" in text
    assert "old/ cannot be read." in text


def test_a_running_scan_shows_how_far_it_is(client: Client, folder: ModelFolder) -> None:
    ScanRun.objects.create(
        status="running", step="Reading files", total=12, processed=3, current="a/b.gguf"
    )
    text = setup(client)
    assert "Reading files: 3 of 12" in text
    assert 'max="12" value="3"' in text
    assert "a/b.gguf" in text
    assert '<meta http-equiv="refresh" content="3; url=/ui/setup/">' in text


def test_a_failed_scan_says_why(client: Client, folder: ModelFolder) -> None:
    ScanRun.objects.create(status="failed", problem="The worker died.")
    text = setup(client)
    assert "The last scan failed." in text
    assert "The worker died." in text


def test_hostile_names_stay_text(client: Client, folder: ModelFolder) -> None:
    file = make_file(folder, f"{HOSTILE}.gguf", quantization=HOSTILE[:32])
    model = make_model(HOSTILE, file, name=f"{HOSTILE} by name")
    ModelAlias.objects.create(alias=f"{HOSTILE} too", model=model)
    make_file(folder, f"{HOSTILE}/cut.gguf", state="unreadable", problem=HOSTILE)
    ModelFolder.objects.create(path=f"/srv/{HOSTILE}", problem=HOSTILE)
    ScanRun.objects.create(status="failed", problem=HOSTILE)
    for path in ("/ui/models/", "/ui/models/?view=table", f"/ui/models/{model.pk}/", "/ui/setup/"):
        text = read(client, path)
        assert "<script>alert" not in text
        assert "&quot;&gt;&lt;script&gt;" in text
        assert "{{ 1 }}" in text


PAGES = ("/ui/dashboard/", "/ui/models/", "/ui/setup/", "/ui/setup/browse/", "/ui/components/")


@pytest.mark.parametrize("path", PAGES)
def test_no_script_or_style_stands_in_a_page(
    client: Client, folder: ModelFolder, path: str
) -> None:
    make_model("tiny", make_file(folder))
    reply = client.get(path)
    text = reply.content.decode()
    assert all('src="' in tag for tag in re.findall(r"<script[^>]*>", text))
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)
    assert "script-src 'self'" in reply["Content-Security-Policy"]


@pytest.mark.parametrize("path", PAGES)
def test_every_id_stands_once_and_every_label_leads_somewhere(
    client: Client, folder: ModelFolder, path: str
) -> None:
    for name in ("one", "two"):
        make_model(name, make_file(folder, f"{name}.gguf"))
    make_file(folder, "cut.gguf", state="unreadable", problem="Cut.")
    text = read(client, path)
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    wanted = re.findall(r'\s(?:for|form|aria-labelledby|data-copy)="([^"]+)"', text)
    assert set(wanted) <= set(ids)


def test_the_texts_of_the_scripts_are_served(client: Client) -> None:
    reply = client.get("/ui/texts.js")
    assert reply.status_code == 200
    assert "gettext" in reply.content.decode()


def test_without_engines_the_page_says_so_and_offers_no_loading(
    client: Client, folder: ModelFolder
) -> None:
    make_model("tiny", make_file(folder))
    text = page(client)
    assert "This server shows pages only" in text
    assert 'data-state="offline"' in text
    assert 'name="load"' not in text


# ---- The states of a model ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "label", "button"),
    [
        ("stopped", "Stopped", "Load"),
        ("starting", "Loading", "Cancel"),
        ("ready", "Ready", "Unload"),
        ("stopping", "Unloading", "Unloading…"),
    ],
)
def test_each_state_has_its_word_and_its_button(
    folder: ModelFolder, state: str, label: str, button: str
) -> None:
    make_model("tiny", make_file(folder))
    text = shown(only_card(status("tiny", state)))
    assert f'data-state="{state}"' in text
    assert f'<span data-slot="state">{label}</span>' in text
    assert f">{button}<span" in text
    assert ('name="load"' in text) == (state in ("stopped", "stopping"))


def test_a_loading_model_tells_for_how_long(folder: ModelFolder) -> None:
    make_model("tiny", make_file(folder))
    card = only_card(status("tiny", "starting", elapsed=12.7))
    assert card.is_busy
    assert "12 s" in shown(card)


def test_a_working_model_tells_what_runs_and_waits(folder: ModelFolder) -> None:
    make_model("tiny", make_file(folder))
    assert only_card(status("tiny", "ready", inFlight=2, queued=1)).work == "2 running · 1 waiting"
    assert only_card(status("tiny", "ready", inFlight=1)).work == "1 running"
    assert only_card(status("tiny", "ready")).work == ""


def test_a_model_that_failed_to_load_tells_the_reason_and_can_be_tried_again(
    folder: ModelFolder,
) -> None:
    make_model("tiny", make_file(folder))
    text = shown(only_card(status("tiny", "stopped", problem="there is not enough memory")))
    assert "there is not enough memory" in text
    assert "Load tries again" in text
    assert "logs/engines/tiny.log" in text
    assert 'name="load"' in text


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ("vanished", "The file is no longer there."),
        ("unreadable", "Wrong magic."),
        ("incomplete", "Part 2 of 2 is missing."),
    ],
)
def test_a_model_whose_file_went_bad_tells_why(
    folder: ModelFolder, state: str, problem: str
) -> None:
    make_model("tiny", make_file(folder, state=state, problem=problem))
    card = only_card()
    text = shown(card)
    assert card.state is State.UNAVAILABLE
    assert problem in text
    assert "in its settings" in text
    assert 'name="load"' not in text


def test_a_model_without_a_file_tells_why() -> None:
    make_model("tiny")
    assert only_card().problem == "Its file is no longer in a tracked folder."


def test_a_bad_file_does_not_matter_to_a_model_with_its_own_command(folder: ModelFolder) -> None:
    file = make_file(folder, state="vanished", problem="The file is no longer there.")
    make_model("tiny", file, cmd="serve-it")
    assert only_card(status("tiny", "stopped")).state is State.STOPPED


def test_an_engine_that_still_runs_is_shown_whatever_became_of_its_file(
    folder: ModelFolder,
) -> None:
    make_model("tiny", make_file(folder, state="vanished", problem="The file is no longer there."))
    assert only_card(status("tiny", "stopping")).state is State.STOPPING


def test_what_is_switched_off_says_so(folder: ModelFolder) -> None:
    make_model("a", make_file(folder), enabled=False)
    hidden = ModelFolder.objects.create(path="/srv/hidden", enabled=False)
    make_model("b", make_file(hidden))
    by_itself, by_folder = cards(listed(), Now(has_engines=True))
    assert by_itself.state is by_folder.state is State.DISABLED
    assert by_folder.problem == "Its folder is switched off."


def test_a_name_that_only_repeats_the_file_is_not_shown(folder: ModelFolder) -> None:
    model = make_model("tiny", make_file(folder), name="tiny")
    assert only_card().title == ""
    model.name = "The small one"
    model.save()
    assert only_card().title == "The small one"


# ---- The forms ---------------------------------------------------------------------------------


def test_adding_a_folder_tracks_it_and_asks_for_a_scan(client: Client, tmp_path: Path) -> None:
    reply = client.post("/ui/folders/", {"path": f"  {tmp_path} "})
    assert (reply.status_code, reply["Location"]) == (302, "/ui/setup/#folders")
    (added,) = ModelFolder.objects.all()
    assert added.path == str(tmp_path)
    (run,) = ScanRun.objects.all()
    assert [folder.path for folder in run.folders.all()] == [str(tmp_path)]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "This field is required."),
        ("models", "is not an absolute path"),
        ("/does/not/exist", "does not exist"),
        ("/etc/hostname", "is not a folder"),
        ("/a\0b", "Null characters are not allowed."),
    ],
)
def test_a_folder_that_cannot_be_added_is_explained_at_the_field(
    client: Client, path: str, reason: str
) -> None:
    reply = client.post("/ui/folders/", {"path": path})
    text = reply.content.decode()
    assert reply.status_code == 422
    assert reason in text
    assert 'aria-invalid="true"' in text
    assert 'aria-describedby="id_path_error"' in text
    assert 'id="id_path_error"' in text
    assert not ModelFolder.objects.exists()


def test_scan_now_asks_for_one_scan_however_often_it_is_pressed(
    client: Client, folder: ModelFolder
) -> None:
    for _ in range(2):
        reply = client.post("/ui/scan/")
        assert (reply.status_code, reply["Location"]) == (302, "/ui/setup/#folders")
    assert ScanRun.objects.count() == 1


@pytest.mark.parametrize("act", ["load", "unload"])
@pytest.mark.parametrize("name", ["nobody", "", HOSTILE])
def test_acting_on_an_unknown_model_says_so_on_the_page(
    client: Client, act: str, name: str
) -> None:
    reply = client.post("/ui/models/act/", {act: name}, follow=True)
    assert reply.status_code == 200
    text = reply.content.decode()
    assert "does not exist" in text
    assert "<script>alert" not in text


@pytest.mark.parametrize("path", ["/ui/models/act/", "/ui/scan/", "/ui/folders/"])
def test_a_form_s_address_opened_by_hand_leads_to_the_page(client: Client, path: str) -> None:
    reply = client.get(path)
    assert (reply.status_code, reply["Location"]) in ((302, "/ui/models/"), (302, "/ui/setup/"))
    assert not ScanRun.objects.exists()


@pytest.mark.parametrize("path", ["/ui/models/act/", "/ui/scan/", "/ui/folders/"])
def test_a_form_without_its_token_is_refused(path: str) -> None:
    assert Client(enforce_csrf_checks=True).post(path).status_code == 403


def test_the_page_itself_takes_no_posts(client: Client) -> None:
    assert client.post("/ui/models/").status_code == 405


# ---- The list ----------------------------------------------------------------------------------


def shown_models(client: Client, query: str) -> list[str]:
    return re.findall(r'data-model="([^"]+)"', page(client, query))


@pytest.fixture
def three(folder: ModelFolder) -> None:
    make_model("small", make_file(folder, "a.gguf", size=10, kind="embedding"))
    make_model("big", make_file(folder, "b.gguf", size=30), pinned=True)
    make_model("middle", make_file(folder, "hidden/c.gguf", size=20), enabled=False)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["big", "middle", "small"]),
        ("?sort=size", ["big", "middle", "small"]),
        ("?q=hidden", ["middle"]),
        ("?q=HIDDEN+mid", ["middle"]),
        ("?q=nothing", []),
        ("?kind=embedding", ["small"]),
        ("?state=pinned", ["big"]),
        ("?state=off", ["middle"]),
        ("?state=nonsense&kind=nonsense&sort=nonsense&page=x", ["big", "middle", "small"]),
        ("?view=table&page=99", ["big", "middle", "small"]),
    ],
)
def test_the_list_is_searched_filtered_and_sorted_by_its_address(
    client: Client, query: str, expected: list[str]
) -> None:
    assert shown_models(client, query) == expected


def test_a_long_list_comes_in_pages(client: Client, folder: ModelFolder) -> None:
    for number in range(50):
        make_model(f"model-{number:02}", make_file(folder, f"{number}.gguf"))
    assert len(shown_models(client, "")) == 48
    assert "1 to 48 of 50" in page(client)
    assert shown_models(client, "?page=2") == ["model-48", "model-49"]


def test_a_model_is_pinned_and_let_go_from_where_one_is(
    client: Client, folder: ModelFolder
) -> None:
    model = make_model("tiny", make_file(folder))
    for pinned in (True, False):
        reply = client.post("/ui/models/act/", {"pin": "tiny", "next": "/ui/models/?q=t"})
        assert reply["Location"] == "/ui/models/?q=t"
        model.refresh_from_db()
        assert model.pinned is pinned
    reply = client.post("/ui/models/act/", {"pin": "tiny", "next": "//evil.example/ui/"})
    assert reply["Location"].startswith("/ui/models/")


# ---- First steps -------------------------------------------------------------------------------


def test_the_start_is_the_setup_until_there_is_something(client: Client) -> None:
    assert client.get("/ui/")["Location"] == "/ui/setup/"
    make_model("tiny")
    assert client.get("/ui/")["Location"] == "/ui/dashboard/"


def test_old_addresses_lead_to_the_new_pages(client: Client) -> None:
    assert client.get("/ui/models")["Location"] == "/ui/models/"
    assert client.get("/ui/setup")["Location"] == "/ui/setup/"
    for old in ("activity", "downloader", "config", "logs", "demo"):
        assert client.get(f"/ui/{old}").status_code in (301, 302)


def test_a_way_to_tune_is_saved_and_shown(client: Client, folder: ModelFolder) -> None:
    text = setup(client)
    assert "Quick answers" in text and "Long texts" in text
    assert client.post("/ui/setup/tune/", {"aim": "long"}).status_code == 302
    settings = ServerSettings.current()
    assert settings.throughput_first is False
    assert 'value="long" checked' in setup(client)
    client.post("/ui/setup/tune/", {"aim": "nonsense"})
    assert ServerSettings.current().preferred_context == settings.preferred_context


def test_the_ways_to_tune_are_told_of_the_model_to_chat_with_first(
    client: Client, folder: ModelFolder
) -> None:
    for name, size in (("whale", 9), ("ant", 1)):
        file = make_file(folder, f"{name}.gguf", size=size * 2**30)
        ServedModel.objects.create(model_id=name, file=file)
    reply = client.get("/ui/setup/")
    assert reply.context["first"].model_id == "ant"
    assert [aim["example"].model_id for aim in reply.context["aims"]] == ["ant"] * 3
    ServedModel.objects.update(cmd="own-server --port ${PORT}")
    assert [aim["example"] for aim in client.get("/ui/setup/").context["aims"]] == [None] * 3


def test_a_folder_is_let_go(client: Client, folder: ModelFolder) -> None:
    client.post(f"/ui/folders/{folder.pk}/remove/")
    assert not ModelFolder.objects.exists()


def test_looking_through_folders_ends_where_models_cannot_be(
    client: Client, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    (models / "inner").mkdir(parents=True)
    (models / "a.gguf").touch()
    (models / "out").symlink_to("/etc")
    ModelFolder.objects.create(path=str(models))
    text = read(client, f"/ui/setup/browse/?path={models}")
    assert "inner" in text and "1 model file directly in it" in text
    for path in ("/etc", f"{models}/out", f"{models}/../../../etc", "/", "/root/.ssh"):
        text = read(client, f"/ui/setup/browse/?path={path}")
        assert "is not shown" in text or "is hidden" in text
        assert "folder-link" not in text
