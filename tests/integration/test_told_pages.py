"""Pages that show what the owner of the engines tells, told here by the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from models_app import people
from models_app.models import GgufFile, ModelFolder, ServedModel
from models_app.rights import Role
from proxy_app import questions
from proxy_app.errors import NotServing

pytestmark = pytest.mark.django_db

Tell = Callable[..., None]


@pytest.fixture
def tell() -> Iterator[Tell]:
    """`tell(status, …)`: what every page that asks is told of the models."""

    def say(*statuses: dict[str, Any]) -> None:
        told = {"statuses": statuses, "needs": {}, "devices": (), "tokens_lately": 0}
        answers = {"statuses": statuses, "overview": told}

        def answer(name: str) -> Any:
            if name not in answers:
                raise NotServing
            return answers[name]

        questions.ask_elsewhere(answer)

    yield say
    questions.ask_elsewhere(None)


def status(model: str, state: str = "stopped", problem: str = "") -> dict[str, Any]:
    return {"id": model, "state": state, "inFlight": 0, "queued": 0, "problem": problem}


def make_file(name: str, kind: str, **values: Any) -> GgufFile:
    folder, _made = ModelFolder.objects.get_or_create(path="/srv/models")
    return GgufFile.objects.create(
        folder=folder,
        path=f"/srv/models/{name}.gguf",
        relative_path=f"{name}.gguf",
        size=2**28,
        mtime_ns=1,
        kind=kind,
        last_seen_at=timezone.now(),
        **values,
    )


def make_model(name: str, kind: str = "chat") -> ServedModel:
    return ServedModel.objects.create(model_id=name, file=make_file(name, kind))


def read(client: Client, path: str) -> str:
    reply = client.get(path)
    assert reply.status_code == 200
    return reply.content.decode()


# ---- The dashboard's warnings --------------------------------------------------------------------


def test_the_dashboard_warns_of_models_that_could_not_be_loaded(client: Client, tell: Tell) -> None:
    model = make_model("fox")
    tell(status("fox", problem="The engine has no such architecture. Update it."))
    text = read(client, "/ui/dashboard/")
    assert "fox could not be loaded" in text
    assert "Update it." in text
    assert f'href="/ui/models/{model.pk}/">Look at it' in text
    tell(status("fox", "ready"))
    assert "could not be loaded" not in read(client, "/ui/dashboard/")


def test_many_models_that_could_not_be_loaded_are_one_warning(client: Client, tell: Tell) -> None:
    names = [f"fox-{number}" for number in range(4)]
    for name in names:
        make_model(name)
    tell(*(status(name, problem="No memory.") for name in names))
    text = read(client, "/ui/dashboard/")
    assert "4 models could not be loaded" in text
    assert "fox-0, fox-1, fox-2, fox-3" in text
    assert 'href="/ui/models/?state=problem"' in text


def test_the_dashboard_warns_of_a_folder_that_cannot_be_read(client: Client, tell: Tell) -> None:
    tell()
    folder = ModelFolder.objects.create(path="/srv/gone", problem="It is no longer there.")
    text = read(client, "/ui/dashboard/")
    assert "/srv/gone needs you" in text
    assert 'href="/ui/setup/#folders"' in text
    ModelFolder.objects.filter(pk=folder.pk).update(enabled=False)
    assert "needs you" not in read(client, "/ui/dashboard/")


def test_who_only_uses_models_is_not_warned_of_what_others_mend(tell: Tell) -> None:
    make_model("fox")
    tell(status("fox", problem="/srv/models/fox.gguf is broken."))
    people.create("root", "correct horse 9", Role.ADMINISTRATOR)
    client = Client()
    client.force_login(people.create("ulla", "correct horse 9", Role.USER))
    assert "could not be loaded" not in read(client, "/ui/dashboard/")


# ---- Trying models -------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["cards", "table"])
def test_every_model_can_be_tried_from_the_list(client: Client, tell: Tell, view: str) -> None:
    make_model("fox")
    tell(status("fox"))
    assert 'href="/ui/playground/?model=fox"' in read(client, f"/ui/models/?view={view}")


@pytest.mark.parametrize(
    ("kind", "page"),
    [
        ("embedding", "embeddings/"),
        ("reranker", "rerank/"),
        ("speech", "speech/"),
        ("chat", ""),
        ("audio", ""),
    ],
)
def test_a_model_is_tried_where_it_can_do_something(
    client: Client, tell: Tell, kind: str, page: str
) -> None:
    make_model("one", kind)
    make_model("fox")
    tell(status("one"), status("fox"))
    reply = client.get("/ui/playground/?model=one", follow=True)
    assert reply.request["PATH_INFO"] == f"/ui/playground/{page}"
    assert reply.context["chosen"] == "one"


def test_the_list_of_models_to_talk_to_says_which_ones_see_and_hear(
    client: Client, tell: Tell
) -> None:
    make_model("fox")
    for name, senses in (("eye", {"sees": True}), ("ear", {"sees": False, "hears": True})):
        projector = make_file(f"mmproj-{name}", "projector", facts=senses)
        file = make_file(name, "chat", projector=projector)
        ServedModel.objects.create(model_id=name, file=file)
    tell(status("eye"), status("ear"), status("fox"))
    text = read(client, "/ui/playground/")
    assert "eye · sees<" in text
    assert "ear · hears<" in text
    assert "fox<" in text
