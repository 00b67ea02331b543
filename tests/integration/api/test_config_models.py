from __future__ import annotations

from pathlib import Path

import pytest

from models_app.models import GgufFile, ModelFolder, Revision, ServedModel, ServerSettings
from models_app.scan import scan
from tests.ggufs import cut, write_embedder, write_projector, write_reciter, write_split
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.django_db


def cmd(api: Api, model: str) -> str:
    text: str = api("get", "/api/config")["config"]["models"][model]["cmd"]
    return text


# ---- POST /api/config/model/<id> ----------------------------------------------------------------


def test_it_changes_the_documented_fields(registry: ModelFolder, api: Api) -> None:
    ServedModel.objects.filter(model_id="fox-instruct").update(model_id="owner/fox")
    body = {"contextSize": 512, "layers": 999, "cacheType": "q4_0", "batchSize": 2048}
    for path in ("/api/config/model/owner/fox", "/api/config/model/owner%2Ffox/"):
        reply = api("post", path, body)
        assert reply["status"] == "Model parameters updated successfully"
        assert (reply["model"], reply["updated"]) == ("owner/fox", body)
        assert reply["requiresRestart"] is True
        assert reply["restartMessage"]
    model = ServedModel.objects.get(model_id="owner/fox")
    assert (model.context, model.gpu_layers, model.cache_type) == (512, 999, "q4_0")
    assert model.batch_size == 2048
    assert "--cache-type-k q4_0" in cmd(api, "owner/fox")


def test_only_what_is_sent_changes(registry: ModelFolder, api: Api) -> None:
    before = cmd(api, "sea")
    reply = api("post", "/api/config/model/fox-instruct", {"contextSize": 512})
    assert reply["changed"] == ["fox-instruct"]
    model = ServedModel.objects.get(model_id="fox-instruct")
    assert (model.context, model.gpu_layers, model.cache_type) == (512, None, "")
    assert cmd(api, "sea") == before
    backup = Revision.objects.get(pk=int(reply["backup"].split()[-1]))
    assert "--ctx-size 512\n" not in backup.yaml
    api("post", "/api/config/model/fox-instruct", {"contextSize": None, "name": "A fox"})
    model.refresh_from_db()
    assert (model.context, model.name) == (None, "A fox")


def test_a_trial_changes_nothing(registry: ModelFolder, api: Api) -> None:
    reply = api("post", "/api/config/model/fox-instruct?dry_run=1", {"contextSize": 512})
    assert (reply["dryRun"], reply["changed"], reply["backup"]) == (True, ["fox-instruct"], "")
    assert ServedModel.objects.get(model_id="fox-instruct").context is None
    assert not Revision.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {"contextSize": 0},
        {"contextSize": 255},
        {"contextSize": "8192"},
        {"layers": -1},
        {"cacheType": "q9"},
        {"cacheType": 4},
        {"batchSize": 0},
        {"batchSize": 10**6},
        {"gpus": "CUDA77"},
        {"gpus": 1},
        {"unlisted": "yes"},
        {},
        {"temperature": 0.5},
    ],
)
def test_values_that_cannot_be_are_refused(
    registry: ModelFolder, api: Api, body: dict[str, object]
) -> None:
    api("post", "/api/config/model/fox-instruct", body, 400)
    assert ServedModel.objects.get(model_id="fox-instruct").context is None


def test_a_model_that_is_not_there_is_not_found(registry: ModelFolder, api: Api) -> None:
    reply = api("post", "/api/config/model/no/such", {"contextSize": 512}, 404)
    assert reply["error"] == "model not found"


BY_HAND = """\
/opt/llama-server --port ${PORT}
  # --ctx-size 1 was too small
  --ctx-size 4096 -ngl 0 --batch-size-something 3
  --system 'use --ctx-size 9' --model /m/a.gguf
"""


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            {"contextSize": 8192, "layers": 5},
            BY_HAND.replace("--ctx-size 4096 -ngl 0", "--ctx-size 8192 -ngl 5"),
        ),
        ({"batchSize": 64}, BY_HAND + "--batch-size 64\n"),
        ({"cacheType": "q8_0"}, BY_HAND + "--cache-type-k q8_0\n--cache-type-v q8_0\n"),
        (
            {"contextSize": None},
            BY_HAND.replace("--ctx-size 4096 ", " ").replace("   -ngl", " -ngl"),
        ),
    ],
)
def test_a_command_of_its_own_keeps_all_else(
    api: Api, body: dict[str, object], wanted: str
) -> None:
    """The first implementation replaced whole lines, and wrote 0 for what was absent."""
    ServedModel.objects.create(model_id="hand", cmd=BY_HAND)
    api("post", "/api/config/model/hand", body)
    found = ServedModel.objects.get(model_id="hand").cmd
    assert found.split() == wanted.split()
    assert "# --ctx-size 1 was too small\n" in found
    assert "'use --ctx-size 9'" in found


def test_a_command_in_one_line_is_changed_in_place(api: Api) -> None:
    ServedModel.objects.create(model_id="hand", cmd="llama-server -c 100 --port ${PORT} -b 7")
    api("post", "/api/config/model/hand", {"contextSize": 300, "batchSize": 9})
    found = ServedModel.objects.get(model_id="hand").cmd
    assert found == "llama-server -c 300 --port ${PORT} -b 9"


def test_another_programs_command_is_not_guessed_at(api: Api) -> None:
    ServedModel.objects.create(model_id="hand", cmd="vllm serve --port ${PORT}")
    reply = api("post", "/api/config/model/hand", {"contextSize": 300}, 400)
    assert "has no --ctx-size" in reply["error"]
    assert ServedModel.objects.get(model_id="hand").cmd == "vllm serve --port ${PORT}"


# ---- DELETE /api/config/models/<id> -------------------------------------------------------------


def test_a_deleted_model_is_gone_for_good(registry: ModelFolder, api: Api) -> None:
    tried = api("delete", "/api/config/models/sea?dry_run=1")
    assert (tried["removed"], ServedModel.objects.count()) == (["sea"], 2)
    reply = api("delete", "/api/config/models/sea/")
    assert reply.keys() >= {"status", "modelId", "message", "backup"}
    assert (reply["modelId"], reply["removed"]) == ("sea", ["sea"])
    scan([registry])
    assert not ServedModel.objects.filter(model_id="sea").exists()
    assert api("delete", "/api/config/models/sea", status=404)["error"] == "model not found"
    path = str(Path(registry.path) / "below" / "sea-f32.gguf")
    assert api("post", "/api/config/append-model", {"filePath": path})["modelId"] == "sea"


# ---- append-model, add-model --------------------------------------------------------------------


def test_a_single_file_becomes_a_model_and_its_neighbours_do_not(api: Api, models: Path) -> None:
    file = write_reciter(models / "Phi-Mini-Instruct-f32.gguf", "Hello there.")
    write_reciter(models / "neighbour-f32.gguf", "Hello there.")
    reply = api("post", "/api/config/append-model/", {"filePath": str(file)})
    assert reply["status"] == "Model successfully appended to config.yaml"
    assert reply["modelId"] == "phi-mini-instruct"
    info = reply["modelInfo"]
    assert info.keys() >= {"name", "size", "quantization", "isInstruct", "isEmbedding"}
    assert (info["quantization"], info["isInstruct"], info["isEmbedding"]) == ("F32", True, False)
    assert info["size"].endswith("KB")
    assert info["contextLength"] > 0
    assert (reply["requiresRestart"], reply["added"]) == (True, ["phi-mini-instruct"])
    assert [model.model_id for model in ServedModel.objects.all()] == ["phi-mini-instruct"]
    folder = ModelFolder.objects.get()
    assert (folder.path, folder.recursive) == (str(models), False)
    scan([folder])
    assert ServedModel.objects.count() == 1


def test_it_works_on_a_fresh_server_and_only_tries_when_told(api: Api, models: Path) -> None:
    file = write_reciter(models / "a-f32.gguf", "Hello there.")
    tried = api("post", "/api/config/append-model?dry_run=1", {"filePath": str(file)})
    assert (tried["dryRun"], tried["added"]) == (True, ["a"])
    assert not ModelFolder.objects.exists()
    assert not GgufFile.objects.exists()


def test_a_split_model_is_added_by_any_of_its_parts(api: Api, models: Path) -> None:
    parts = write_split(models / "big", 3)
    write_reciter(models / "other.gguf", "Hello there.")
    reply = api("post", "/api/config/append-model", {"filePath": str(parts[1])})
    assert ServedModel.objects.get().file == GgufFile.objects.get(path=str(parts[0]))
    assert reply["modelId"] == ServedModel.objects.get().model_id
    again = api("post", "/api/config/append-model", {"filePath": str(parts[2])}, 409)
    assert again["existingModelId"] == reply["modelId"]


def test_a_model_that_is_there_already_is_a_conflict(registry: ModelFolder, api: Api) -> None:
    path = str(Path(registry.path) / "Fox-Instruct-f32.gguf")
    reply = api("post", "/api/config/append-model", {"filePath": path}, 409)
    assert reply["error"] == "Model already exists in config with ID: fox-instruct"
    assert (reply["existingModelId"], reply["filePath"]) == ("fox-instruct", path)


@pytest.mark.parametrize("path", ["/api/config/append-model", "/api/config/add-model"])
def test_files_that_are_no_models_are_refused(api: Api, models: Path, path: str) -> None:
    missing = api("post", path, {"filePath": "/nowhere/missing.gguf"}, 404)
    assert missing["error"] == "Model file not found: /nowhere/missing.gguf"
    for endless in ("0" * 4096, "/" + "0" * 4095, "/a" * 2048):
        api("post", path, {"filePath": endless}, 404)
    broken = cut(write_reciter(models / "broken.gguf", "Hello."), -1000)
    reply = api("post", path, {"filePath": str(broken)}, 404)
    assert reply["error"].startswith("Model not found or not a valid GGUF file. Searched in")
    assert reply["details"]
    (models / "text.gguf").write_text("no model")
    api("post", path, {"filePath": str(models / "text.gguf")}, 404)
    api("post", path, {"filePath": str(models)}, 404)
    projector = write_projector(models / "mmproj-x.gguf")
    assert (
        "no model that can be served"
        in api("post", path, {"filePath": str(projector)}, 400)["error"]
    )
    assert not ModelFolder.objects.exists()


def test_a_disabled_folder_stays_disabled(registry: ModelFolder, api: Api) -> None:
    ModelFolder.objects.update(enabled=False)
    file = write_reciter(Path(registry.path) / "new.gguf", "Hello there.")
    reply = api("post", "/api/config/append-model", {"filePath": str(file)}, 400)
    assert "disabled" in reply["error"]


def test_downloads_are_found_by_their_relative_path(api: Api, models: Path) -> None:
    """The first implementation's page sends `./downloads/<filename>` after a download."""
    ServerSettings.current()
    ServerSettings.objects.update(download_dir=str(models))
    write_reciter(models / "got-f32.gguf", "Hello there.")
    reply = api("post", "/api/config/append-model", {"filePath": "./downloads/got-f32.gguf"})
    assert reply["modelId"] == "got"


def test_options_act_for_the_one_model(registry: ModelFolder, api: Api, models: Path) -> None:
    file = write_reciter(models / "small-f32.gguf", "Hello there.", context_length=65536)
    body = {
        "filePath": str(file),
        "options": {"preferredContext": 1024, "minContext": 512, "enableJinja": False},
    }
    api("post", "/api/config/append-model", body)
    model = ServedModel.objects.get(model_id="small")
    assert model.context == 1024
    assert model.extra_arguments == "--no-jinja"
    assert ServerSettings.current().preferred_context == 32768
    write_embedder(models / "letters.gguf")
    usual = {"enableJinja": True, "throughputFirst": True, "preferredContext": 32768}
    body = {"filePath": str(models / "letters.gguf"), "options": usual}
    assert api("post", "/api/config/append-model", body)["modelInfo"]["isEmbedding"] is True
    assert ServedModel.objects.get(model_id="letters").context is None


def test_a_preview_writes_nothing(api: Api, models: Path) -> None:
    file = write_reciter(models / "a b-f32.gguf", "Hello there.")
    reply = api("post", "/api/config/add-model", {"filePath": str(file), "auto": True})
    assert reply.keys() >= {"status", "config", "modelInfo"}
    entry = reply["config"]["config"]
    assert entry.keys() == {"cmd", "description", "env", "name", "proxy", "ttl"}
    assert "a b-f32.gguf" in entry["cmd"]
    assert reply["config"]["system"].keys() == {"vram", "ram", "backend", "binary"}
    assert reply["modelInfo"]["isMoE"] is False
    assert not ModelFolder.objects.exists()
    assert not ServedModel.objects.exists()


def test_a_preview_of_a_served_model_shows_it(registry: ModelFolder, api: Api) -> None:
    path = str(Path(registry.path) / "Fox-Instruct-f32.gguf")
    assert api("post", "/api/config/add-model", {"filePath": path})["modelId"] == "fox-instruct"
