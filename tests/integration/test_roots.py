"""Models come from named folders: who may name them, and that no link leads out of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from models_app import acting, adding, folders, roots, scan_runs
from models_app.looking import look
from models_app.models import GgufFile, ModelFolder, ServedModel
from models_app.rights import Role, of_person
from models_app.scan import scan
from models_app.walk import walk
from tests.ggufs import write_projector, write_reciter

CURATOR = of_person(7, "curator", Role.CURATOR)

pytestmark = pytest.mark.django_db


@pytest.fixture
def tracked(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    write_reciter(folder / "fox-f32.gguf", "The quick brown fox.")
    folders.add(folder)
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    write_reciter(folder / "secret-f32.gguf", "Nobody should read this.")
    return folder


@pytest.fixture
def as_curator() -> Iterator[None]:
    with acting.on_behalf_of(CURATOR):
        yield


@pytest.fixture
def curator(client: Client) -> Client:
    User.objects.create_superuser("boss", password="word")
    client.force_login(User.objects.create_user("curator", is_staff=True))
    return client


def post(client: Client, path: str, body: dict[str, Any]) -> tuple[int, str]:
    reply = client.post(path, json.dumps(body), content_type="application/json")
    return reply.status_code, reply.content.decode()


@pytest.mark.usefixtures("tracked", "as_curator")
def test_a_curator_stays_within_the_roots(tracked: Path, elsewhere: Path) -> None:
    """S9: the first implementation reads, and makes, whatever folder it is told."""
    (tracked / "link").symlink_to(elsewhere)
    outside = (elsewhere, tracked / ".." / "elsewhere", tracked / "link", Path("/etc"), Path("/"))
    for path in outside:
        with pytest.raises(folders.FolderError, match="CLARACORE_MODEL_ROOTS"):
            folders.add(path)
    for path in (elsewhere / "secret-f32.gguf", Path("/etc/passwd"), tracked / "link" / "x.gguf"):
        with pytest.raises(adding.CannotAdd, match="CLARACORE_MODEL_ROOTS"):
            adding.add(str(path))
    assert ModelFolder.objects.count() == 1


@pytest.mark.usefixtures("tracked", "as_curator")
def test_what_is_outside_is_not_even_told_to_be_there(elsewhere: Path) -> None:
    there, missing = elsewhere, elsewhere / "missing"
    told = []
    for path in (there, missing):
        with pytest.raises(folders.FolderError) as error:
            folders.add(path)
        told.append(str(error.value).replace(str(path), "IT"))
    assert told[0] == told[1]


@pytest.mark.usefixtures("tracked", "as_curator")
def test_what_lies_within_may_be_named(tracked: Path, settings: Settings, elsewhere: Path) -> None:
    (tracked / "below").mkdir()
    roots.check(tracked)
    roots.check(tracked / "below")
    settings.CLARACORE_MODEL_ROOTS = [str(elsewhere)]
    assert folders.add(elsewhere)


def test_an_administrator_adds_roots(elsewhere: Path) -> None:
    assert folders.add(elsewhere)
    with acting.on_behalf_of(CURATOR):
        roots.check(elsewhere / "below")


def test_a_root_is_no_prefix_of_a_name(tracked: Path, tmp_path: Path) -> None:
    (tmp_path / "models-of-others").mkdir()
    with acting.on_behalf_of(CURATOR), pytest.raises(roots.OutsideRoots):
        roots.check(tmp_path / "models-of-others")


@pytest.mark.parametrize(
    ("path", "body", "made"),
    [
        ("/api/config/folders", {"folderPaths": ["{}"]}, 400),
        ("/api/config/generate-all", {"folderPath": "{}"}, 400),
        ("/api/config/scan-folder", {"folderPath": "{}"}, 200),
        ("/api/config/scan-folder", {"folderPath": "{}", "addToDatabase": True}, 200),
        ("/api/config/add-model", {"filePath": "{}/secret-f32.gguf"}, 404),
        ("/api/config/append-model", {"filePath": "{}/secret-f32.gguf"}, 404),
    ],
)
def test_the_api_keeps_a_curator_within(
    curator: Client,
    tracked: Path,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: dict[str, Any],
    made: int,
) -> None:
    monkeypatch.setattr(scan_runs, "request_look", lambda *_: pytest.fail("It was looked into."))
    filled = json.loads(json.dumps(body).replace("{}", str(elsewhere)))
    status, text = post(curator, path, filled)
    assert status == made, text
    assert "CLARACORE_MODEL_ROOTS" in text
    assert "secret" not in text.replace("secret-f32.gguf lies outside", "")
    assert list(ModelFolder.objects.values_list("path", flat=True)) == [str(tracked)]
    assert not ServedModel.objects.filter(file__path__contains="secret").exists()


def test_the_page_keeps_a_curator_within(curator: Client, tracked: Path, elsewhere: Path) -> None:
    reply = curator.post("/ui/folders/", {"path": str(elsewhere)})
    assert reply.status_code == 422
    assert "CLARACORE_MODEL_ROOTS" in reply.content.decode()
    assert ModelFolder.objects.count() == 1


@pytest.mark.parametrize("path", ["/etc", "/\0", "..", "~"])
def test_looking_through_folders_stays_within(curator: Client, tracked: Path, path: str) -> None:
    reply = curator.get("/ui/setup/browse/", {"path": path})
    assert reply.status_code == 200
    assert str(tracked) in reply.text or "such a name" in reply.text
    assert "passwd" not in reply.text and "systemd" not in reply.text


def test_a_link_out_of_the_roots_is_not_followed(tracked: Path, elsewhere: Path) -> None:
    (tracked / "out").symlink_to(elsewhere)
    (tracked / "file-f32.gguf").symlink_to(elsewhere / "secret-f32.gguf")
    (tracked / "chain").symlink_to(tracked / "out")
    scan([ModelFolder.objects.get()])
    assert [Path(path).name for path in GgufFile.objects.values_list("path", flat=True)] == [
        "fox-f32.gguf"
    ]
    problem = ModelFolder.objects.get().problem
    assert str(elsewhere) in problem and "Track that folder" in problem
    _, models = look([(str(tracked), True)], lambda progress: None)
    assert [model["filename"] for model in models] == ["fox-f32.gguf"]


def test_a_link_to_another_root_is_followed(tracked: Path, elsewhere: Path) -> None:
    (tracked / "file-f32.gguf").symlink_to(elsewhere / "secret-f32.gguf")
    assert len(walk(str(tracked), roots=roots.roots([str(elsewhere)])).files) == 2


@pytest.mark.parametrize("tracked_before", [True, False])
def test_a_file_added_by_its_path_takes_nothing_along_from_outside(
    tmp_path: Path, elsewhere: Path, tracked_before: bool
) -> None:
    """What lies beside it is read as well, so that it has its projector at once."""
    models = tmp_path / "models"
    models.mkdir()
    fox = write_reciter(models / "fox-f32.gguf", "The quick brown fox.")
    projector = write_projector(elsewhere / "mmproj-f16.gguf")
    (models / "mmproj-f16.gguf").symlink_to(projector)
    if tracked_before:
        folders.add(models)
    assert adding.add(str(fox)).projector_file() is None
    assert list(GgufFile.objects.values_list("path", flat=True)) == [str(fox)]


def test_a_projector_is_never_taken_from_outside(tracked: Path, elsewhere: Path) -> None:
    """Projectors and drafts are paired among what scans found, so a link out gives none."""
    (tracked / "mmproj-fox-f16.gguf").symlink_to(elsewhere / "secret-f32.gguf")
    scan([ModelFolder.objects.get()])
    assert not GgufFile.objects.filter(path__contains="mmproj").exists()
