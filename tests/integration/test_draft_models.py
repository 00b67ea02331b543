"""Draft models from the scan to the real engine: found, planned for, and the text unchanged."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from bench.families import Numbers, build
from bench.memory_referee import MIB, measure
from bench.sparse_gguf import write
from models_app import engine_build, folders, hardware
from models_app.buffers import Load
from models_app.gguf import read_header
from models_app.memory import Placement, draft_bytes, plan_memory
from models_app.models import ServedModel
from models_app.plans import PlanContext, command_text, find_model
from models_app.scan import scan
from models_app.shape_reader import shape_of
from tests.ggufs import numbers, write_reciter
from tests.llama import llama_server

pytestmark = pytest.mark.engine

SENTENCE = numbers(118)


def complete(url: str) -> tuple[str, dict[str, float]]:
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(f"{url}/completion", json={"prompt": ""}, timeout=60)
    response.raise_for_status()
    reply = response.json()
    return reply["content"], reply["timings"]


@pytest.mark.parametrize("is_right", [True, False])
@pytest.mark.django_db
def test_a_draft_model_of_the_same_vocabulary_guesses_and_the_text_stays_the_same(
    tmp_path: Path, is_right: bool
) -> None:
    found = engine_build.locate()
    assert found is not None
    write_reciter(tmp_path / "big-q8_0.gguf", SENTENCE, layers=24)
    # An endless one starts over where the other ends, so its last guesses are wrong.
    write_reciter(tmp_path / "small-q8_0.gguf", SENTENCE, endless=not is_right)
    write_reciter(tmp_path / "stranger-q8_0.gguf", "Another vocabulary.")
    hardware.store(hardware.detect())
    scan([folders.add(tmp_path)])
    engine_build.probe(found)
    ServedModel.objects.filter(model_id="big").update(use_draft=True, context=2048)

    model = find_model("big")
    assert model is not None
    options = shlex.split(command_text(model, PlanContext.load()))[7:]  # after --model FILE

    assert options[: options.index("--ctx-size")] == [
        *("--alias", "big", "--spec-draft-model", str(tmp_path / "small-q8_0.gguf")),
        *("--spec-type", "draft-simple", "--spec-draft-ngl", "0"),
    ]
    with llama_server(tmp_path / "big-q8_0.gguf", *options) as url:
        text, timings = complete(url)
    assert text == SENTENCE
    assert timings["draft_n"] > 0
    assert (timings["draft_n_accepted"] == timings["draft_n"]) is is_right


PAIR = Numbers("Big", "llama", "", 8, 512, 8192, 8192, 8, 2, 64, 1536, weights="Q8_0")


@pytest.mark.parametrize(
    "load", [Load(4096), Load(2048, slots=2, unified=False), Load(6000, type_k="q8_0", ubatch=256)]
)
def test_the_engine_takes_what_was_planned_for_both(tmp_path: Path, load: Load) -> None:
    found = engine_build.locate()
    assert found is not None
    big = write(tmp_path / "big.gguf", build(PAIR))
    small = write(tmp_path / "small.gguf", build(replace(PAIR, layers=3, width=256)))
    target, draft = shape_of(read_header(big)), shape_of(read_header(small))
    extra = draft_bytes(draft, target, load)
    planned = plan_memory(target, load, Placement(), extra_bytes=extra).total

    both = ["--spec-draft-model", str(small), "--spec-type", "draft-simple"]
    taken = measure(found.path, big, load, tmp_path / "log", *both).total

    assert abs(planned - taken) < 0.02 * taken + MIB
