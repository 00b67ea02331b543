from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models_app.models import ModelFolder, ModelGroup, ServedModel
from models_app.scan import scan
from tests.ggufs import write_reciter
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.django_db


def ids() -> list[str]:
    return sorted(model.model_id for model in ServedModel.objects.all())


def test_models_without_their_file_are_removed(registry: ModelFolder, api: Api) -> None:
    """The first implementation removed every model whose path had a space in it."""
    spaced = write_reciter(Path(registry.path) / "with a space.gguf", "Hello.")
    ServedModel.objects.create(model_id="spaced", cmd=f'x --model "{spaced}" ${{PORT}}')
    ServedModel.objects.create(model_id="gone", cmd="x --model '/nowhere/a b.gguf' ${PORT}")
    ServedModel.objects.create(model_id="remote", cmd="ssh elsewhere ${PORT}")
    missing = Path(registry.path) / "below" / "sea-f32.gguf"
    missing.unlink()
    tried = api("post", "/api/config/validate-models?dry_run=1")
    assert len(ids()) == 5
    reply = api("post", "/api/config/validate-models/")
    assert {**reply, "dryRun": True} == tried
    assert reply["status"] == "Config validation completed"
    assert reply["removedModels"] == ["gone (/nowhere/a b.gguf)", f"sea ({missing})"]
    assert reply["message"] == "Removed 2 missing models from config"
    assert ids() == ["fox-instruct", "remote", "spaced"]


@pytest.mark.parametrize("scanned_meanwhile", [True, False])
def test_a_model_comes_back_with_its_file(
    registry: ModelFolder, api: Api, scanned_meanwhile: bool
) -> None:
    file = Path(registry.path) / "below" / "sea-f32.gguf"
    file.rename(file.with_suffix(".away"))
    api("post", "/api/config/validate-models")
    if scanned_meanwhile:
        scan([registry])
    assert ids() == ["fox-instruct"]
    file.with_suffix(".away").rename(file)
    scan([registry])
    assert ids() == ["fox-instruct", "sea"]


def test_models_of_a_disk_that_is_away_stay(registry: ModelFolder, api: Api) -> None:
    shutil.move(registry.path, f"{registry.path}-away")
    reply = api("post", "/api/config/validate-models")
    assert (reply["removedModels"], reply["unreachableFolders"]) == ([], [registry.path])
    assert ids() == ["fox-instruct", "sea"]


def test_the_oldest_of_models_that_share_a_file_is_kept(registry: ModelFolder, api: Api) -> None:
    path = str(Path(registry.path) / "Fox-Instruct-f32.gguf")
    fox = ServedModel.objects.get(model_id="fox-instruct")
    group = ModelGroup.objects.create(name="g")
    ServedModel.objects.create(model_id="twin", file=fox.file, group=group)
    ServedModel.objects.create(model_id="third", cmd=f"x -m {path} ${{PORT}}")
    tried = api("post", "/api/config/cleanup-duplicates?dry_run=1")
    assert (tried["duplicatesRemoved"], len(ids())) == (2, 4)
    reply = api("post", "/api/config/cleanup-duplicates")
    assert reply["message"] == "Cleanup completed. Removed 2 duplicate models."
    assert (reply["removedModels"], reply["keptModels"]) == (["third", "twin"], ["fox-instruct"])
    assert reply["removed"] == ["third", "twin"]
    assert ids() == ["fox-instruct", "sea"]
    again = api("post", "/api/config/cleanup-duplicates")
    assert (again["duplicatesRemoved"], again["removedModels"], again["keptModels"]) == (0, [], [])
