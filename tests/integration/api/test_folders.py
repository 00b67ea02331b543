from __future__ import annotations

from pathlib import Path

import pytest

from models_app.models import ModelFolder, ScanRun, ServedModel
from tests.ggufs import write_reciter
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.django_db

NEVER = "0001-01-01T00:00:00Z"


def test_without_folders_the_list_is_empty_and_was_never_scanned(api: Api) -> None:
    assert api("get", "/api/config/folders") == {
        "folders": [],
        "lastScan": NEVER,
        "version": "1.0",
        "totalCount": 0,
    }


def test_each_folder_counts_its_models(registry: ModelFolder, api: Api) -> None:
    listed = api("get", "/api/config/folders/")
    assert listed["totalCount"] == 1
    folder = listed["folders"][0]
    assert folder.keys() >= {"path", "addedAt", "lastScanned", "modelCount", "recursive", "enabled"}
    assert (folder["path"], folder["modelCount"]) == (registry.path, 2)
    assert folder["lastScanned"] == listed["lastScan"] != NEVER


@pytest.mark.parametrize(("sent", "kept"), [(True, True), (False, False), (None, True)])
def test_it_tracks_folders_as_deep_as_told(
    api: Api, models: Path, sent: bool | None, kept: bool
) -> None:
    body = {"folderPaths": [str(models), "/nowhere/at/all"], "recursive": sent}
    added = api("post", "/api/config/folders", body)
    assert added["status"] == "Folders added to database"
    assert added["addedFolders"] == [str(models)]
    assert added["errors"] == ["Folder does not exist: /nowhere/at/all"]
    assert ModelFolder.objects.get().recursive is kept
    assert ScanRun.objects.get(pk=added["scanId"]).folders.get().path == str(models)


def test_a_dry_run_tracks_nothing(api: Api, models: Path) -> None:
    body = {"folderPaths": [str(models), "/nowhere"]}
    tried = api("post", "/api/config/folders?dry_run=1", body)
    assert tried["addedFolders"] == [str(models)]
    assert tried["errors"] == ["Folder does not exist: /nowhere"]
    assert (tried["scanId"], tried["dryRun"], tried["added"]) == (None, True, [])
    assert not ModelFolder.objects.exists()
    assert not ScanRun.objects.exists()


def test_what_enabling_a_folder_serves_is_told(registry: ModelFolder, api: Api) -> None:
    ModelFolder.objects.update(enabled=False)
    tried = api("post", "/api/config/folders?dry_run=1", {"folderPaths": [registry.path]})
    assert tried["added"] == ["fox-instruct", "sea"]
    registry.refresh_from_db()
    assert not registry.enabled
    added = api("post", "/api/config/folders", {"folderPaths": [registry.path]})
    assert added["added"] == tried["added"]


def test_tracking_it_again_changes_how_deep(registry: ModelFolder, api: Api) -> None:
    ModelFolder.objects.update(enabled=False)
    api("post", "/api/config/folders", {"folderPaths": [registry.path], "recursive": False})
    registry.refresh_from_db()
    assert (registry.recursive, registry.enabled) == (False, True)


def test_without_any_folder_that_exists_it_says_so(api: Api, tmp_path: Path) -> None:
    file = write_reciter(tmp_path / "a.gguf", "Hello.")
    paths = ["/nowhere", str(file), "relative"]
    reply = api("post", "/api/config/folders", {"folderPaths": paths}, 400)
    assert reply["error"] == "No valid folders found"
    assert reply["details"][0] == "Folder does not exist: /nowhere"
    assert len(reply["details"]) == 3
    assert not ModelFolder.objects.exists()


@pytest.mark.parametrize("method", ["post", "delete"])
@pytest.mark.parametrize("body", [{}, {"folderPaths": []}, {"folderPaths": None}])
def test_paths_are_required(api: Api, method: str, body: object) -> None:
    assert api(method, "/api/config/folders", body, 400)["error"] == "folderPaths is required"


def test_a_folder_that_goes_takes_its_models_along(registry: ModelFolder, api: Api) -> None:
    body = {"folderPaths": [registry.path, "/unknown"]}
    tried = api("delete", "/api/config/folders?dry_run=1", body)
    assert ModelFolder.objects.count() == 1
    gone = api("delete", "/api/config/folders", body)
    assert {**gone, "dryRun": True} == tried
    assert gone["status"] == "Folders removed from database"
    assert (gone["removedFolders"], gone["remainingCount"]) == ([registry.path], 0)
    assert gone["removed"] == ["fox-instruct", "sea"]
    assert gone["effect"] == "2 models go."
    assert not ServedModel.objects.exists()
