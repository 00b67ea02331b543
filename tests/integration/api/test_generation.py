"""Scans, and setting models up from them, by calls that wait for the worker."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from models_app.models import ModelFolder, ScanRun, ServedModel, ServerSettings
from tests.ggufs import cut, write_embedder, write_projector, write_reciter, write_split
from tests.integration.api.conftest import Api

REGENERATE = "/api/config/regenerate-from-db"
GENERATE = "/api/config/generate-all"
SCAN = "/api/config/scan-folder"
M = {
    *("modelId", "filename", "name", "size", "sizeFormatted", "path", "relativePath"),
    *("quantization", "isInstruct", "isDraft", "isEmbedding", "contextLength", "numLayers"),
    "isMoE",
}

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def holding(models: Path) -> Path:
    """A chat model, one in three parts below, an embedder, a projector and a broken file."""
    write_reciter(models / "Fox-Instruct-f32.gguf", "Hello there.")
    (models / "below").mkdir()
    write_split(models / "below" / "big", 3)
    write_embedder(models / "letters-f32.gguf")
    write_projector(models / "mmproj-x.gguf")
    cut(write_reciter(models / "short.gguf", "Hello there."), -1000)
    return models


# ---- scan-folder --------------------------------------------------------------------------------


def test_a_look_finds_models_and_stores_nothing(api: Api, holding: Path) -> None:
    body = {"folderPaths": [str(holding), "/nowhere"], "recursive": True, "addToDatabase": False}
    reply = api("post", SCAN, body)
    assert reply.keys() >= {"models", "scanSummary", "totalModels", "foldersScanned"}
    assert (reply["added"], reply["dryRun"]) == ([], False)
    assert (reply["totalModels"], reply["foldersScanned"]) == (3, 2)
    assert all(model.keys() == M for model in reply["models"])
    by_name = {model["filename"]: model for model in reply["models"]}
    fox = by_name["Fox-Instruct-f32.gguf"]
    assert (fox["modelId"], fox["relativePath"]) == ("fox-instruct-f32", "Fox-Instruct-f32.gguf")
    assert (fox["isInstruct"], fox["isEmbedding"], fox["quantization"]) == (True, False, "F32")
    assert by_name["letters-f32.gguf"]["isEmbedding"] is True
    whole = next(model for name, model in by_name.items() if "-00001-of-" in name)
    parts = list((holding / "below").iterdir())
    assert whole["size"] == sum(part.stat().st_size for part in parts)
    summary, missing = reply["scanSummary"]
    assert {**summary, "folder": "", "models": 0}.items() >= {"status": "success"}.items()
    assert (summary["folder"], summary["models"], summary["problems"]) == (str(holding), 3, 1)
    assert (missing["folder"], missing["status"], missing["models"]) == ("/nowhere", "error", 0)
    assert missing["error"]
    assert not ModelFolder.objects.exists()
    assert not ServedModel.objects.exists()


def test_a_look_stays_above_when_told(api: Api, holding: Path) -> None:
    reply = api("post", SCAN, {"folderPath": str(holding), "recursive": False})
    assert reply["totalModels"] == 2


def test_folders_that_are_added_are_served(api: Api, holding: Path) -> None:
    body = {"folderPaths": [str(holding), "/nowhere"], "addToDatabase": True}
    reply = api("post", SCAN + "/", body)
    assert reply["totalModels"] == 3
    assert all(model.keys() == M for model in reply["models"])
    assert {model["modelId"] for model in reply["models"]} == {
        model.model_id for model in ServedModel.objects.all()
    }
    assert [one["status"] for one in reply["scanSummary"]] == ["success", "error"]
    assert reply["added"] == sorted(model["modelId"] for model in reply["models"])
    assert ModelFolder.objects.get().path == str(holding)
    below = api("post", SCAN, {"folderPath": str(holding / "below"), "addToDatabase": True})
    assert below["totalModels"] == 1
    assert below["models"][0]["relativePath"].startswith("below/")
    assert ModelFolder.objects.count() == 1


def test_a_dry_run_of_a_scan_only_looks(api: Api, holding: Path) -> None:
    body = {"folderPath": str(holding), "addToDatabase": True}
    reply = api("post", f"{SCAN}?dry_run=1", body)
    assert (reply["totalModels"], reply["added"], reply["dryRun"]) == (3, [], True)
    assert not ModelFolder.objects.exists()
    assert not ServedModel.objects.exists()


@pytest.mark.parametrize("body", [{}, {"folderPath": ""}, {"folderPaths": []}])
def test_a_scan_needs_a_folder(api: Api, body: object) -> None:
    assert api("post", SCAN, body, 400)["error"] == "folderPath or folderPaths is required"


def test_relative_paths_are_told_of(api: Api) -> None:
    reply = api("post", SCAN, {"folderPath": "models"})
    assert reply["scanSummary"][0]["status"] == "error"


# ---- regenerate-from-db -------------------------------------------------------------------------


def test_all_models_of_the_folders_are_set_up(api: Api, holding: Path) -> None:
    api("post", "/api/config/folders", {"folderPaths": [str(holding)], "recursive": True})
    options = {
        "enableJinja": True,
        "throughputFirst": False,
        "minContext": 512,
        "preferredContext": 1024,
        "forceBackend": "cpu",
        "forceVRAM": 0.0,
        "forceRAM": 24,
        "enableParallel": True,
    }
    reply = api("post", REGENERATE, {"options": options})
    assert reply["status"] == "Configuration regenerated using CLI autosetup function"
    assert (reply["totalModels"], reply["foldersScanned"]) == (3, 1)
    assert (reply["primaryFolder"], reply["ignoredOptions"]) == (str(holding), ["enableParallel"])
    assert "fox-instruct" in reply["config"]
    assert reply["source"] and reply["note"] and reply["autoRestart"]
    saved = ServerSettings.current()
    assert (saved.preferred_context, saved.min_context, saved.backend) == (1024, 512, "cpu")
    assert (saved.throughput_first, saved.ram_gb, saved.vram_gb) == (False, 24.0, None)


def test_what_options_leave_out_is_as_saved(registry: ModelFolder, api: Api) -> None:
    ServerSettings.objects.update(preferred_context=2048, throughput_first=False)
    zeros = {"preferredContext": 0, "minContext": 0, "forceBackend": "", "forceRAM": 0}
    for body in (None, {}, {"options": zeros}, {"options": {"enableJinja": True}}):
        api("post", REGENERATE, body)
    saved = ServerSettings.current()
    assert (saved.preferred_context, saved.throughput_first) == (2048, False)


def test_what_was_chosen_for_a_model_stays_unless_reset(registry: ModelFolder, api: Api) -> None:
    ServedModel.objects.filter(model_id="sea").update(context=512)
    ServedModel.objects.filter(model_id="fox-instruct").delete()
    api("post", REGENERATE, {})
    assert ServedModel.objects.get().context == 512
    tried = api("post", REGENERATE + "?dry_run=1", {"reset": True})
    assert (tried["added"], tried["changed"]) == (["fox-instruct"], ["sea"])
    assert ServedModel.objects.get().context == 512
    api("post", REGENERATE, {"reset": True})
    assert [model.context for model in ServedModel.objects.all()] == [None, None]


def test_without_folders_it_says_what_to_do(api: Api, models: Path) -> None:
    reply = api("post", REGENERATE, {}, 400)
    assert reply["error"] == "No folders in database. Add folders first using /api/config/folders"
    ModelFolder.objects.create(path=str(models), enabled=False)
    assert api("post", REGENERATE, {}, 400)["error"] == "No enabled folders in database"


def test_folders_without_models_are_told_of(api: Api, models: Path) -> None:
    ServedModel.objects.create(model_id="hand", cmd="sleep 9 ${PORT}")
    ModelFolder.objects.create(path=str(models))
    reply = api("post", REGENERATE, {}, 404)
    assert reply["error"] == "No models found in any enabled folders"
    assert reply["scanSummary"][0]["folder"] == str(models)
    assert ServedModel.objects.get().model_id == "hand"


# ---- generate-all -------------------------------------------------------------------------------


def test_one_folder_is_set_up(api: Api, holding: Path) -> None:
    body = {"folderPath": str(holding), "options": {"preferredContext": 1024, "forceVRAM": 10.0}}
    reply = api("post", GENERATE, body)
    assert reply.keys() >= {"status", "message", "config", "source"}
    assert (reply["totalModels"], "fox-instruct" in reply["config"]) == (3, True)
    assert len(reply["added"]) == 3
    assert ServerSettings.current().vram_gb == 10.0


def test_an_empty_folder_changes_nothing_else(api: Api, models: Path) -> None:
    """The first implementation replaced the whole configuration by a stub."""
    ServedModel.objects.create(model_id="hand", cmd="sleep 9 ${PORT}")
    reply = api("post", GENERATE, {"folderPath": str(models)})
    assert (reply["totalModels"], "hand" in reply["config"]) == (0, True)


def test_a_folder_that_is_not_there_is_not_made(api: Api, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert "does not exist" in api("post", GENERATE, {"folderPath": str(missing)}, 404)["error"]
    assert not missing.exists()
    api("post", GENERATE, {"folderPath": "relative"}, 400)
    assert api("post", GENERATE, {}, 400)["error"] == "folderPath is required"


# ---- Waiting, and progress ----------------------------------------------------------------------


@pytest.fixture
def idle_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from celery import current_app

    monkeypatch.setattr(current_app, "send_task", lambda name, args: None)


def test_a_worker_that_is_too_slow_is_told_of(
    registry: ModelFolder, api: Api, idle_worker: None
) -> None:
    for path, body in ((REGENERATE, {}), (SCAN, {"folderPath": registry.path})):
        reply = api("post", path + "?wait=0", body, 503)
        assert reply["code"] == "NOT_DONE_YET"
        assert reply["runId"] == ScanRun.objects.first().pk  # type: ignore[union-attr]
    api("post", REGENERATE + "?wait=soon", {}, 400)


def test_a_worker_that_is_gone_is_told_of(
    registry: ModelFolder, api: Api, idle_worker: None
) -> None:
    waiting = ScanRun.objects.create()
    ScanRun.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    reply = api("post", REGENERATE, {}, 503)
    assert (reply["code"], reply["runId"]) == ("WORKER_GONE", waiting.pk)
    assert "Celery worker" in reply["error"]


def test_a_scan_that_fails_says_why(
    registry: ModelFolder, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from celery import current_app

    def fail(name: str, args: list[int]) -> None:
        ScanRun.objects.update(status="failed", problem="The worker died 3 times.")

    monkeypatch.setattr(current_app, "send_task", fail)
    reply = api("post", REGENERATE, {}, 500)
    assert (reply["error"], reply["code"]) == ("The worker died 3 times.", "SCAN_FAILED")
    progress = api("get", "/api/setup/progress")
    assert (progress["status"], progress["error"]) == ("error", "The worker died 3 times.")


def test_progress_goes_from_idle_to_completed(registry: ModelFolder, api: Api) -> None:
    idle = api("get", "/api/setup/progress/")
    assert (idle["status"], idle["completed"], idle["error"]) == ("idle", False, None)
    assert idle["started_at"] == "0001-01-01T00:00:00Z"
    run = ScanRun.objects.create(
        status="running", step="Reading files", current="a.gguf", total=10, processed=6
    )
    half = api("get", "/api/setup/progress")
    assert (half["status"], half["progress"], half["id"]) == ("processing", 61.0, run.pk)
    assert (half["total_models"], half["processed_models"]) == (10, 6)
    assert (half["current_step"], half["current_model"]) == ("Reading files", "a.gguf")
    api("post", REGENERATE, {})
    done = api("get", "/api/setup/progress")
    assert (done["status"], done["progress"], done["completed"]) == ("completed", 100.0, True)


def test_a_dry_run_of_setting_up_a_folder_changes_nothing(api: Api, holding: Path) -> None:
    body = {"folderPath": str(holding), "options": {"preferredContext": 1024}}
    reply = api("post", "/api/config/generate-all?dry_run=1", body)
    assert (reply["dryRun"], reply["scanSummary"], reply["backup"]) == (True, [], "")
    assert not ModelFolder.objects.exists()
    assert not ScanRun.objects.exists()
    assert ServerSettings.current().preferred_context != 1024
    missing = {"folderPath": str(holding / "missing")}
    assert api("post", "/api/config/generate-all?dry_run=1", missing, 404)["code"] == (
        "FOLDER_NOT_FOUND"
    )
