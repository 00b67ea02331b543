"""`manage.py move_in`: what other servers had, brought here."""

from __future__ import annotations

import hashlib
import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from models_app import api_keys
from models_app.models import (
    GgufFile,
    ModelAlias,
    ModelFolder,
    ModelGroup,
    ServedModel,
    ServerSettings,
)
from models_app.moving_in import ollama
from tests import ggufs

pytestmark = pytest.mark.django_db


def move_in(*words: str | Path) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("move_in", *map(str, words), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return ggufs.write_reciter(folder / "Small-Talk-Q8_0.gguf", "Hello there.")


CONFIG = """
healthCheckTimeout: 77
macros:
  engine: {engine}
models:
  chat:
    name: The chat
    aliases: [gpt-4o]
    ttl: 60
    cmd: ${{engine}} --model {file} --port ${{PORT}} -ngl 99
  paint:
    cmd: {shell} paint.sh ${{PORT}}
groups:
  both:
    swap: false
    members: [chat, paint]
"""


def config(model_file: Path, engine: str) -> str:
    return CONFIG.format(engine=engine, file=model_file, shell="/bin/sh")


def test_a_llama_swap_configuration_is_brought_with_ids_aliases_and_groups(
    model_file: Path, tmp_path: Path
) -> None:
    """Its engine is not here, so the model gets settings that are chosen for this machine."""
    (tmp_path / "config.yaml").write_text(config(model_file, "/opt/gone/llama-server"))
    out, _ = move_in("llama-swap", tmp_path / "config.yaml")
    chat = ServedModel.objects.get(model_id="chat")
    assert chat.file is not None and chat.file.path == str(model_file)
    assert (chat.cmd, chat.name, chat.ttl) == ("", "The chat", 60)
    assert ServedModel.objects.get(model_id="paint").cmd.startswith("/bin/sh paint.sh")
    assert ServedModel.objects.count() == 2, "no second model of the same file"
    names = set(ModelAlias.objects.filter(model=chat).values_list("alias", flat=True))
    assert {"gpt-4o", "small-talk"} <= names, "the id that a scan gave still answers"
    assert {row.model_id for row in ModelGroup.objects.get(name="both").members.all()} == {
        "chat",
        "paint",
    }
    assert ServerSettings.current().health_check_timeout == 77
    assert "settings are chosen for this machine instead of the old command: chat" in out


def test_a_command_whose_program_is_here_is_kept_unless_told_to_tune(
    model_file: Path, tmp_path: Path
) -> None:
    engine = tmp_path / "llama-server"
    engine.write_text("#!/bin/sh\n")
    engine.chmod(0o755)
    file = tmp_path / "config.yaml"
    file.write_text(config(model_file, str(engine)))
    move_in("llama-swap", file)
    assert "-ngl 99" in ServedModel.objects.get(model_id="chat").cmd
    move_in("llama-swap", file, "--tune")
    assert ServedModel.objects.get(model_id="chat").cmd == ""


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(config(tmp_path / "models" / "gone.gguf", "/opt/gone/llama-server"))
    _, err = move_in("llama-swap", file)
    assert f"chat: its file {tmp_path}/models/gone.gguf is not there." in err
    assert "/opt/gone/llama-server" in ServedModel.objects.get(model_id="chat").cmd or (
        "${engine}" in ServedModel.objects.get(model_id="chat").cmd
    )


def test_a_text_that_is_no_configuration_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("models: [")
    with pytest.raises(CommandError, match="The configuration cannot be read"):
        move_in("llama-swap", file)
    assert not ServedModel.objects.exists()


def test_the_first_implementations_folder_is_brought(model_file: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "config.yaml").write_text(config(model_file, "binaries/llama-server/llama-server"))
    (old / "settings.json").write_text(
        json.dumps(
            {
                "backend": "vulkan",
                "vramGB": 24.0,
                "ramGB": 0,
                "preferredContext": 8192,
                "throughputFirst": True,
                "requireApiKey": True,
                "apiKey": "the-old-key",
                "somethingElse": 3,
            }
        )
    )
    disabled = tmp_path / "disabled"
    folders: list[dict[str, Any]] = [
        {"path": str(model_file.parent), "recursive": True, "enabled": True},
        {"path": str(disabled), "recursive": True, "enabled": False},
        {"path": str(tmp_path / "gone"), "recursive": True, "enabled": True},
    ]
    (old / "model_folders.json").write_text(json.dumps({"folders": folders, "version": "1.0"}))
    out, err = move_in("claracore", old)
    settings = ServerSettings.current()
    assert (settings.backend, settings.vram_gb, settings.preferred_context) == ("vulkan", 24, 8192)
    assert settings.ram_gb is None, "0 meant: detect it"
    assert settings.require_api_key and api_keys.has_shared()
    assert "the-old-key" not in out + err
    assert [row.path for row in ModelFolder.objects.all()] == [str(model_file.parent)]
    assert ServedModel.objects.get(model_id="chat").cmd == ""
    assert "somethingElse means nothing here" in err
    assert f"{disabled} was disabled" in err
    assert f"{tmp_path}/gone" in err


def test_a_broken_settings_file_is_left_out_and_said(model_file: Path, tmp_path: Path) -> None:
    """The first implementation then let everybody in (contract.md, S5)."""
    ServerSettings.objects.update_or_create(pk=1, defaults={"require_api_key": True})
    (tmp_path / "settings.json").write_text('{"requireApiKey": fal')
    _, err = move_in("claracore", tmp_path)
    assert "settings.json cannot be used" in err
    assert ServerSettings.current().require_api_key


def test_a_folder_with_nothing_of_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="has none of"):
        move_in("claracore", tmp_path)


class Blobs:
    """A folder as Ollama keeps it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "blobs").mkdir(parents=True)

    def blob(self, data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self.root / "blobs" / f"sha256-{digest}").write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def model(self, place: str, **layers: bytes) -> None:
        file = self.root / "manifests" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        described = [
            {"mediaType": f"application/vnd.ollama.image.{kind}", **self.blob(data)}
            for kind, data in layers.items()
        ]
        file.write_text(json.dumps({"schemaVersion": 2, "layers": described}))


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "ollama")


def test_ollamas_models_are_linked_and_answer_to_their_names(
    blobs: Blobs, model_file: Path, tmp_path: Path
) -> None:
    data = model_file.read_bytes()
    blobs.model("registry.ollama.ai/library/talk/1b", model=data, system=b"Be kind.")
    blobs.model("registry.ollama.ai/ann/own/latest", model=data)
    blobs.model("registry.ollama.ai/library/other/latest", model=b"no gguf")
    (blobs.root / "manifests/registry.ollama.ai/library/broken").mkdir()
    (blobs.root / "manifests/registry.ollama.ai/library/broken/1").write_text("{")
    out, err = move_in("ollama", blobs.root, "--to", tmp_path / "linked")
    (linked,) = (tmp_path / "linked").rglob("*.gguf")
    (blob,) = {p for p in (blobs.root / "blobs").iterdir() if p.stat().st_size == len(data)}
    assert os.path.samefile(linked, blob), "a link takes no space"
    answered = dict(ModelAlias.objects.values_list("alias", "model__model_id"))
    served = {row.model_id for row in ServedModel.objects.all()}
    assert answered["talk:1b"] == answered["ann/own"], "one file, two names"
    assert {"ann/own:latest", "ann/own"} <= answered.keys()
    assert "talk:1b is served as" in out
    assert "talk:1b: a system prompt was not taken." in err
    assert "other:latest: it has no GGUF file" in err
    assert "broken:1: its manifest cannot be read" in err
    again, _ = move_in("ollama", blobs.root, "--to", tmp_path / "linked")
    assert "talk:1b is served as" in again
    assert {row.model_id for row in ServedModel.objects.all()} == served


def test_a_projector_of_ollama_comes_with_its_model(
    blobs: Blobs, model_file: Path, tmp_path: Path
) -> None:
    projector = ggufs.write_projector(tmp_path / "projector.gguf").read_bytes()
    blobs.model(
        "registry.ollama.ai/library/see/1", model=model_file.read_bytes(), projector=projector
    )
    move_in("ollama", blobs.root, "--to", tmp_path / "linked")
    model = ServedModel.objects.get(aliases__alias="see:1")
    projector_file = model.projector_file()
    assert projector_file is not None
    assert projector_file.path.endswith("see-1/mmproj.gguf")


@pytest.mark.parametrize(
    ("place", "name", "file_name"),
    [
        (("registry.ollama.ai", "library", "llama3.2", "3b"), "llama3.2:3b", "llama3.2-3b"),
        (("registry.ollama.ai", "ann", "own", "latest"), "ann/own:latest", "ann-own"),
        (("hub.example", "a", "b", "q4"), "hub.example/a/b:q4", "hub.example-a-b-q4"),
        (("registry.ollama.ai", "library", "..", "x"), "..:x", "x"),
    ],
)
def test_names_are_those_that_clients_of_ollama_write(
    place: tuple[str, ...], name: str, file_name: str
) -> None:
    assert ollama._name(place) == name
    assert ollama.Manifest(name, {}).file_name == file_name


def test_lm_studios_folder_is_tracked_where_it_lies(model_file: Path) -> None:
    out, err = move_in("lm-studio", model_file.parent)
    assert GgufFile.objects.get().path == str(model_file)
    assert "1 models in 1 files" in out
    assert "Settings of single models in LM Studio were not taken" in err
