from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from models_app import hardware
from models_app.facts import FileFacts
from models_app.hardware import GIB, Cpu, Machine, Ram
from models_app.kinds import Kind
from models_app.models import EngineBuild, GgufFile, ModelFolder, ServedModel, ServerSettings
from models_app.plans import PlanContext, candidate_of, command_text, plan_for

pytestmark = pytest.mark.django_db

FACTS = FileFacts(
    kind=Kind.CHAT,
    architecture="llama",
    tensor_bytes=400 * 1024**2,
    context_length=8192,
    vocabulary=32000,
    block_count=16,
    embedding_length=1024,
    feed_forward_length=4096,
    head_count=16,
    kv_heads=(4,) * 16,
    key_length=64,
    value_length=64,
)


def make_file(path: str, facts: FileFacts = FACTS) -> GgufFile:
    folder, _ = ModelFolder.objects.get_or_create(path="/models")
    return GgufFile.objects.create(
        folder=folder,
        path=path,
        relative_path=path.removeprefix("/models/"),
        size=420 * 1024**2,
        mtime_ns=1,
        facts=facts.to_json(),
        last_seen_at=timezone.now(),
    )


def make_model(**values: Any) -> ServedModel:
    values.setdefault("file", make_file("/models/a model.gguf"))
    return ServedModel.objects.create(model_id="some-model", **values)


@pytest.fixture
def context() -> PlanContext:
    hardware.store(Machine("linux", "amd64", Cpu("x", 4, 8, 4), Ram(16 * GIB, 15 * GIB)))
    return PlanContext.load()


def words(model: ServedModel, context: PlanContext) -> list[str]:
    return shlex.split(command_text(model, context))


def value_of(argv: list[str], option: str) -> str:
    return argv[argv.index(option) + 1]


def test_the_command_is_a_whole_one(context: PlanContext) -> None:
    argv = words(make_model(), context)
    assert argv[:5] == ["llama-server", "--host", "127.0.0.1", "--port", "${PORT}"]
    assert value_of(argv, "--model") == "/models/a model.gguf"
    assert value_of(argv, "--alias") == "some-model"
    assert value_of(argv, "--ctx-size") == "8192"


def test_the_active_build_gives_path_and_options() -> None:
    EngineBuild.objects.create(
        path="/opt/llama-server", size=1, mtime_ns=1, active=True, flags=["--model FNAME"]
    )
    argv = words(make_model(), PlanContext.load())
    assert argv[0] == "/opt/llama-server"
    assert argv[5:] == ["--model", "/models/a model.gguf"]


def test_choices_on_the_row_are_used(context: PlanContext) -> None:
    argv = words(make_model(context=2048, slots=1, extra_arguments="--temp 0.5"), context)
    assert value_of(argv, "--ctx-size") == "2048"
    assert value_of(argv, "--parallel") == "1"
    assert argv[-2:] == ["--temp", "0.5"]


def test_a_chosen_template_and_load_mode_reach_the_command(context: PlanContext) -> None:
    argv = words(make_model(chat_template="chatml", load_mode="mlock"), context)
    assert value_of(argv, "--chat-template") == "chatml"
    assert value_of(argv, "--load-mode") == "mlock"


def test_further_arguments_with_an_open_quote_break_nothing(context: PlanContext) -> None:
    assert words(make_model(extra_arguments="--system it's"), context)[-2:] == ["--system", "it's"]


def test_the_projector_is_loaded_with_its_model(context: PlanContext) -> None:
    model = make_model(projector=make_file("/models/mmproj.gguf"))
    assert value_of(words(model, context), "--mmproj") == "/models/mmproj.gguf"
    assert plan_for(model, context).memory.cpu.extra == 420 * 1024**2


def test_a_draft_model_is_loaded_where_it_is_asked_for_and_its_vocabulary_fits(
    context: PlanContext,
) -> None:
    facts = replace(FACTS, tokenizer="gpt2", vocabulary_digest="aa")
    draft = make_file("/models/small.gguf", facts)
    model = make_model(file=make_file("/models/big.gguf", facts), draft=draft)
    assert "--spec-draft-model" not in words(model, context)
    model.use_draft = True
    argv = words(model, context)
    assert value_of(argv, "--spec-draft-model") == "/models/small.gguf"
    assert value_of(argv, "--spec-type") == "draft-simple"

    draft.facts = replace(facts, vocabulary_digest="bb").to_json()
    assert "--spec-draft-model" not in words(model, context)


def test_the_servers_settings_act(context: PlanContext) -> None:
    settings = ServerSettings.current()
    settings.preferred_context = 1024
    settings.enable_jinja = False
    settings.save()
    argv = words(make_model(), PlanContext.load())
    assert value_of(argv, "--ctx-size") == "1024"
    assert "--no-jinja" in argv


def test_the_environment_wins_over_saved_settings(settings: Settings) -> None:
    row = ServerSettings.current()
    row.ram_gb, row.backend = 64, "cuda"
    row.save()
    settings.CLARACORE_RAM_GIB = 0.75
    settings.CLARACORE_BACKEND = "cpu"
    context = PlanContext.load()
    assert context.preferences.ram == int(0.75 * GIB)
    assert context.preferences.backend == "cpu"


def test_a_model_without_a_file_cannot_be_planned(context: PlanContext) -> None:
    with pytest.raises(ValueError, match="no file"):
        candidate_of(make_model(file=None))
