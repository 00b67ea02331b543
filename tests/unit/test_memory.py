"""The memory plan against figures that llama-server printed; docs/memory.md has all of them."""

from __future__ import annotations

import io
import json
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.families import build
from bench.shapes import FITTED, HELD_OUT
from bench.sparse_gguf import SparseModel, Tensor, header_bytes
from models_app.buffers import (
    Load,
    cells,
    compute_bytes,
    output_bytes,
    projector_scratch,
    window_cells,
)
from models_app.command import ALL_LAYERS
from models_app.engine_help import EngineDevice
from models_app.gguf import parse_header
from models_app.machine import Cpu, Machine, Ram
from models_app.memory import Placement, plan_memory
from models_app.preferences import Candidate, Preferences
from models_app.shape import LayerBytes, ModelShape, join
from models_app.shape_reader import shape_of
from models_app.tuning import choose

MIB = 1024**2
NUMBERS = {numbers.name: numbers for numbers in (*FITTED, *HELD_OUT)}


@cache
def shape_for(name: str) -> ModelShape:
    header, total = header_bytes(build(NUMBERS[name]))
    return shape_of(parse_header(io.BytesIO(header), total))


# Model, load, and in MiB: weights, second copies, cache, state, output, compute buffer.
RECORDED = [
    ("Llama 3.2 1B", Load(4096), 1252.41, 0, 128.0, 0, 1.96, 68.01),
    ("Llama 3.2 1B", Load(8192, flash_attention=False), 1252.41, 0, 256.0, 0, 1.96, 550.01),
    (
        "Qwen2.5 0.5B",
        Load(4096, slots=2, unified=False, flash_attention=False, ubatch=256),
        *(265.25, 264.98, 48.0, 0, 1.16, 34.63),
    ),
    ("Qwen3 0.6B", Load(4096, ubatch=128, embedding=True), 1137.0, 0, 448.0, 0, 2.33, 78.19),
    ("Gemma 2 2B", Load(4096), 2649.74, 0, 416.0, 0, 3.91, 79.52),
    ("Gemma 3 1B", Load(8192, slots=2, unified=False), 656.0, 0, 76.0, 0, 2.0, 54.27),
    ("Qwen3 30B-A3B", Load(8192, flash_attention=False), 6952.02, 0, 160.0, 0, 2.32, 558.01),
    ("Phi-3 mini 4k", Load(4096), 3872.38, 0, 1536.0, 0, 0.49, 70.01),
    (
        "BGE small",
        Load(512, flash_attention=False, embedding=True),
        *(63.84, 0, 0, 0, 0.47, 17.51),
    ),
    ("Mamba 130M", Load(4096), 247.96, 0, 0, 10.69, 0.77, 20.02),
    ("Qwen3.5 0.8B", Load(8192, slots=2, unified=False), 763.78, 0, 96.0, 38.53, 1.89, 46.3),
    (
        "gpt-oss 20B",
        Load(12288, type_k="q8_0", type_v="q8_0"),
        *(11195.93, 0, 82.88, 0, 3.07, 105.46),
    ),
    ("DeepSeek V3", Load(4096), 15317.11, 0, 18.0, 0, 1.97, 412.01),
]


@pytest.mark.parametrize(
    ("name", "load", "weights", "copies", "kept", "state", "output", "compute"),
    RECORDED,
    ids=[f"{row[0]} {row[1].context}" for row in RECORDED],
)
def test_the_plan_matches_what_the_engine_printed(
    name: str,
    load: Load,
    weights: float,
    copies: float,
    kept: float,
    state: float,
    output: float,
    compute: float,
) -> None:
    shape = shape_for(name)
    use = plan_memory(shape, load, Placement()).cpu
    assert use.cache / MIB == pytest.approx(kept, abs=0.1)
    assert use.state / MIB == pytest.approx(state, abs=0.1)
    assert use.weights / MIB == pytest.approx(weights, rel=0.02)
    assert use.repacked / MIB == pytest.approx(copies, rel=0.02)
    assert output_bytes(shape, load) / MIB == pytest.approx(output, abs=0.1)
    assert compute_bytes(shape, load) / MIB == pytest.approx(compute, rel=0.1)


def test_a_stretched_context_and_a_large_ubatch_are_counted() -> None:
    """gpustack#2443: 954 MiB were estimated and 4158 taken (rope scaling, a large ubatch)."""
    shape = shape_for("Qwen2.5 0.5B")
    assert shape.trained_context is not None
    beyond = 4 * shape.trained_context
    plain = plan_memory(shape, Load(4096), Placement()).cpu
    large = plan_memory(shape, Load(beyond, ubatch=8 * 512), Placement()).cpu
    assert large.cache == plain.cache * beyond // 4096
    assert large.compute > 7 * plain.compute


@pytest.mark.parametrize("name", ["Qwen3 30B-A3B", "gpt-oss 120B", "DeepSeek V3"])
def test_an_estimate_is_no_multiple_of_what_is_taken(name: str) -> None:
    """gpustack#2101: 139 GB were estimated for a model that runs in 32."""
    shape = shape_for(name)
    use = plan_memory(shape, Load(4096, repack=False), Placement()).cpu
    assert use.total - use.cache - use.compute < 1.02 * shape.weight_bytes
    assert use.total < 1.15 * shape.weight_bytes


def test_cells_are_rounded_up_for_all_slots_or_for_each() -> None:
    assert cells(Load(6000)) == 6144
    assert cells(Load(9000, slots=3, unified=False)) == 3 * 3072


def test_a_window_bounds_the_cells_of_its_layers() -> None:
    shape = shape_for("Gemma 3 1B")
    assert window_cells(shape, Load(32768)) == 2560
    assert window_cells(shape, Load(32768, slots=1)) == 1024
    assert window_cells(shape, Load(1024)) == 1024
    assert window_cells(shape, Load(32768, full_windows=True)) == 32768


def test_every_byte_is_on_exactly_one_device() -> None:
    shape = shape_for("Qwen3 30B-A3B")
    load = Load(8192, repack=False)
    whole = plan_memory(shape, load, Placement())
    split = plan_memory(shape, load, Placement((4, 3), cpu_expert_layers=6))
    for kind in ("weights", "cache", "state"):
        spread = getattr(split.cpu, kind) + sum(getattr(use, kind) for use in split.gpus)
        assert spread == getattr(whole.cpu, kind)


def test_a_gpu_needs_a_copy_of_a_tied_output() -> None:
    shape = shape_for("Llama 3.2 1B")
    all_layers = plan_memory(shape, Load(4096), Placement((shape.layers + 1,)))
    assert all_layers.cpu.weights == shape.embedding.total
    assert all_layers.gpus[0].weights == shape.weight_bytes


def test_a_projectors_scratch_matches_what_the_engine_printed() -> None:
    siglip = ModelShape(architecture="clip", width=1152, feed_forward=4304, trained_context=4096)
    assert projector_scratch(siglip) == 121.25 * MIB


def test_a_projectors_shape_is_read_from_its_header() -> None:
    projector = SparseModel(
        "p",
        "clip",
        {
            "clip.vision.image_size": 896,
            "clip.vision.patch_size": 14,
            "clip.vision.embedding_length": 1152,
            "clip.vision.feed_forward_length": 4304,
        },
        [Tensor("v.blk.0.attn_q.weight", (1152, 1152)), Tensor("mm.weight", (1152, 8))],
    )
    header, total = header_bytes(projector)
    shape = shape_of(parse_header(io.BytesIO(header), total))
    assert (shape.trained_context, shape.width, shape.feed_forward) == (4096, 1152, 4304)


def test_a_shape_survives_the_database() -> None:
    for name in NUMBERS:
        shape = shape_for(name)
        assert ModelShape.from_json(json.loads(json.dumps(shape.to_json()))) == shape


def test_alike_layers_are_kept_once() -> None:
    assert len(json.dumps(shape_for("Llama 3.1 8B").to_json())) < 1500


def test_the_parts_of_a_split_model_add_up() -> None:
    first = ModelShape(
        architecture="llama",
        layers=2,
        layer_bytes=(LayerBytes(dense=5), LayerBytes(dense=1)),
        embedding=LayerBytes(dense=7),
    )
    second = ModelShape(
        layer_bytes=(LayerBytes(), LayerBytes(dense=4), LayerBytes(dense=2)),
        output=LayerBytes(dense=3),
    )
    whole = join([first, second])
    assert [layer.total for layer in whole.layer_bytes] == [5, 5, 2]
    assert whole.weight_bytes == 22
    assert whole.layers == 2


count = st.integers(0, 2**31 - 1)
small = st.integers(0, 70)


@given(
    shape=st.builds(
        ModelShape,
        architecture=st.sampled_from(["", "llama", "mamba", "bert", "qwen35", "deepseek2", "x"]),
        layers=small,
        width=count,
        vocabulary=count,
        trained_context=st.none() | count,
        feed_forward=count,
        heads=count,
        kv_heads=st.lists(count, max_size=70).map(tuple),
        key_length=count,
        value_length=count,
        window=count,
        windowed=st.lists(st.booleans(), max_size=70).map(tuple),
        recurrent=st.lists(st.booleans(), max_size=70).map(tuple),
        latent_rank=count,
        inner_size=count,
        conv_kernel=small,
        experts_used=small,
        layer_bytes=st.lists(st.builds(LayerBytes, dense=count, experts=count), max_size=70).map(
            tuple
        ),
        output=st.builds(LayerBytes, dense=count),
    ),
    vram=st.lists(st.integers(0, 64 * 1024), max_size=3),
    fast=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_no_shape_upsets_the_planning(shape: ModelShape, vram: list[int], fast: bool) -> None:
    machine = Machine(
        platform="linux",
        arch="amd64",
        cpu=Cpu("x", 4, 8, 4),
        ram=Ram(32 * 1024 * MIB, 32 * 1024 * MIB),
        devices=tuple(
            EngineDevice(f"CUDA{n}", "x", size * MIB, size * MIB) for n, size in enumerate(vram)
        ),
    )
    plan = choose(Candidate("m", "m.gguf", shape), machine, Preferences(throughput_first=fast))
    assert 0 <= (plan.options.gpu_layers or 0) <= ALL_LAYERS
    assert plan.context_per_request <= (shape.trained_context or 2**31)
    if plan.fits:
        assert plan.memory.cpu.total <= plan.resources.ram
