"""The two workflows of the API's document, as a script would run them against a fresh server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.acceptance.conftest import FOX, SEA
from tests.ggufs import write_embedder, write_reciter
from tests.server import RunningServer, running_server

pytestmark = [pytest.mark.engine, pytest.mark.lan]

LIMIT = 120
EFFECT = {"added", "removed", "changed", "restarts", "stays", "effect", "dryRun"}


class Script:
    """Calls the API as curl does and checks the keys of each reply."""

    def __init__(self, server: RunningServer) -> None:
        self._url = server.url

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        keys: set[str] = frozenset(),  # type: ignore[assignment]
        status: int = 200,
    ) -> dict[str, Any]:
        reply = requests.request(method, self._url + path, json=body, timeout=LIMIT)
        assert reply.status_code == status, (path, reply.text)
        found: dict[str, Any] = reply.json()
        assert keys <= found.keys(), (path, keys - found.keys())
        return found

    def says(self, model: str) -> str:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}]}
        reply = self("POST", "/v1/chat/completions", body)
        text: str = reply["choices"][0]["message"]["content"]
        return text


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def script(fresh: RunningServer) -> Script:
    return Script(fresh)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_reciter(folder / "Fox-Instruct-f32.gguf", FOX)
    write_embedder(folder / "letters-f32.gguf")
    return folder


class Events:
    """What `/api/events` tells while it is listened to."""

    def __init__(self, url: str) -> None:
        self.progress: list[dict[str, Any]] = []
        self.completed = threading.Event()
        self._reply = requests.get(f"{url}/api/events", stream=True, timeout=LIMIT)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for line in self._reply.iter_lines():
            if line.startswith(b"data:"):
                envelope = json.loads(line[5:])
                if envelope["type"] == "configProgress":
                    self.progress.append(json.loads(envelope["data"]))
                    if self.progress[-1]["percentageComplete"] == 100:
                        self.completed.set()
                        return


def complete_model_setup(fresh: RunningServer, script: Script, folder: Path) -> None:
    detected = script(
        "GET",
        "/api/system/detection",
        keys={
            *("detectionQuality", "platform", "arch", "gpuDetected", "gpuTypes", "primaryGPU"),
            *("totalRAMGB", "availableRAMGB", "recommendedBackends", "supportedBackends"),
            *("recommendedContextSizes", "maxRecommendedContextSize", "recommendations"),
            "detectionTimestamp",
        },
    )
    assert {"primaryBackend", "fallbackBackend", "notes"} <= detected["recommendations"].keys()
    saved = {
        "gpuType": "nvidia",
        "backend": "cuda",
        "vramGB": 12.0,
        "ramGB": 32.0,
        "preferredContext": 65536,
        "throughputFirst": True,
        "enableJinja": True,
    }
    assert script("POST", "/api/settings/system", saved)["status"] == "saved"
    settings = script("GET", "/api/settings/system", keys={"settings"})["settings"]
    assert {name: settings[name] for name in saved} == saved
    assert settings["requireApiKey"] is False
    added = script(
        "POST",
        "/api/config/folders",
        {"folderPaths": [str(folder)], "recursive": True},
        keys={"status", "addedFolders", "errors"},
    )
    assert added["addedFolders"] == [str(folder)]
    events = Events(fresh.url)
    made = script(
        "POST",
        "/api/config/regenerate-from-db",
        {"options": {"enableJinja": True, "throughputFirst": True, "preferredContext": 65536}},
        keys={
            *("status", "totalModels", "foldersScanned", "scanSummary", "config", "source"),
            *("primaryFolder", "note", "autoRestart", *EFFECT),
        },
    )
    assert (made["totalModels"], made["foldersScanned"]) == (2, 1)
    assert made["primaryFolder"] == str(folder)
    assert {"folder", "status", "models"} <= made["scanSummary"][0].keys()
    assert "fox-instruct" in made["config"]
    # It is served by the time the answer is there.
    assert script.says("fox-instruct").startswith(FOX[:20])
    progress = script(
        "GET",
        "/api/setup/progress",
        keys={
            *("status", "current_step", "progress", "total_models", "processed_models"),
            *("current_model", "error", "completed", "started_at", "updated_at"),
        },
    )
    assert (progress["status"], progress["completed"], progress["error"]) == (
        "completed",
        True,
        None,
    )
    assert events.completed.wait(LIMIT)
    for told in events.progress:
        assert told.keys() == {"stage", "currentModel", "current", "total", "percentageComplete"}
    assert events.progress[-1]["stage"] == "Configuration generated successfully"


def configuration_management(script: Script, elsewhere: Path) -> None:
    file = write_reciter(elsewhere / "new-model-f32.gguf", SEA)
    write_reciter(elsewhere / "other-f32.gguf", SEA)
    body = {"filePath": str(file), "options": {"enableJinja": True}}
    preview = script("POST", "/api/config/add-model", body, keys={"status", "config", "modelInfo"})
    assert "--model" in preview["config"]["config"]["cmd"]
    added = script(
        "POST",
        "/api/config/append-model",
        body,
        keys={"status", "modelId", "modelInfo", "requiresRestart", "restartMessage", *EFFECT},
    )
    assert added["modelId"] == "new-model"
    assert added["added"] == ["new-model"]
    assert {"name", "size", "quantization", "isInstruct", "isEmbedding", "contextLength"} <= added[
        "modelInfo"
    ].keys()
    again = script(
        "POST",
        "/api/config/append-model",
        body,
        status=409,
        keys={"error", "details", "code", "existingModelId", "filePath"},
    )
    assert again["existingModelId"] == "new-model"
    assert script.says("new-model").startswith(SEA[:20])
    wanted = {"contextSize": 2048, "layers": 999, "batchSize": 1024}
    tried = script("POST", "/api/config/model/new-model?dry_run=1", wanted, keys=EFFECT)
    assert tried["dryRun"] is True
    assert tried["restarts"] == ["new-model"]
    updated = script(
        "POST",
        "/api/config/model/new-model",
        wanted,
        keys={"status", "model", "backup", "updated", "requiresRestart", "restartMessage", *EFFECT},
    )
    assert updated["updated"] == wanted
    assert updated["restarts"] == ["new-model"]
    config = script("GET", "/api/config", keys={"yaml", "config"})["config"]
    assert "--ctx-size" in config["models"]["new-model"]["cmd"]
    assert config["models"]["new-model"]["proxy"] == "http://127.0.0.1:${PORT}"
    assert "other" not in config["models"]
    assert script.says("new-model").startswith(SEA[:20])
    validated = script("POST", "/api/config/validate-models", keys={"removedModels", "message"})
    assert validated["removedModels"] == []
    cleaned = script(
        "POST",
        "/api/config/cleanup-duplicates",
        keys={"message", "duplicatesRemoved", "removedModels", "keptModels"},
    )
    assert cleaned["duplicatesRemoved"] == 0


def test_the_documents_workflows_run_one_after_the_other(
    fresh: RunningServer, script: Script, folder: Path, tmp_path: Path
) -> None:
    complete_model_setup(fresh, script, folder)
    configuration_management(script, tmp_path)


def test_folders_are_scanned_by_the_worker(script: Script, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    write_reciter(tmp_path / "top-f32.gguf", SEA)
    write_reciter(tmp_path / "below" / "deep-f32.gguf", SEA)
    missing = str(tmp_path / "missing")
    body = {"folderPaths": [str(tmp_path), missing], "recursive": False, "addToDatabase": False}
    keys = {"models", "scanSummary", "totalModels", "foldersScanned"}
    looked = script("POST", "/api/config/scan-folder", body, keys=keys)
    assert [model["filename"] for model in looked["models"]] == ["top-f32.gguf"]
    assert [one["status"] for one in looked["scanSummary"]] == ["success", "error"]
    assert str(tmp_path) not in [
        one["path"] for one in script("GET", "/api/config/folders")["folders"]
    ]
    added = script(
        "POST",
        "/api/config/scan-folder",
        {"folderPath": str(tmp_path), "recursive": True, "addToDatabase": True},
        keys=keys,
    )
    assert added["totalModels"] == 2
    assert {model["modelId"] for model in added["models"]} == {"top", "deep"}
    rows = script("GET", "/api/config/folders", keys={"folders", "lastScan", "version"})
    row = next(one for one in rows["folders"] if one["path"] == str(tmp_path))
    assert (row["modelCount"], row["recursive"], row["enabled"]) == (2, True, True)
    gone = script(
        "DELETE",
        "/api/config/folders",
        {"folderPaths": [str(tmp_path)]},
        keys={"status", "removedFolders", "remainingCount", *EFFECT},
    )
    assert sorted(gone["removed"]) == ["deep", "top"]
