"""A short form of `bench.memory_table`: the plan beside what the real engine takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.families import Numbers, build
from bench.memory_referee import loads_for
from bench.memory_table import runs_of
from bench.sparse_gguf import write
from models_app.engine_build import locate

SMALL = (
    Numbers("llama", "llama", "", 4, 512, 4096, 8192, 8, 2, 64, 1536, weights="Q8_0"),
    Numbers("qwen2", "qwen2", "", 3, 448, 4096, 8192, 7, 1, 64, 1216, tied=True, weights="Q4_0"),
    Numbers("gemma3", "gemma3", "", 7, 640, 4096, 8192, 4, 1, 256, 2048, window=512, tied=True),
    Numbers("qwen3moe", "qwen3moe", "", 3, 512, 4096, 8192, 8, 2, 64, 1536, experts=8,
            experts_used=2, expert_feed_forward=256, weights="Q8_0"),
    Numbers("deepseek2", "deepseek2", "", 3, 512, 4096, 8192, 8, 0, 0, 1536, experts=8,
            experts_used=2, expert_feed_forward=256, shared_experts=1, dense_layers=1,
            latent_rank=128, rope_length=32, nope_length=64, value_length=64, q_rank=96),
    Numbers("phi3", "phi3", "", 3, 768, 4096, 4096, 8, 8, 96, 2048, window=2047),
    Numbers("bert", "bert", "", 3, 384, 4096, 512, 12, 0, 0, 1536),
    Numbers("mamba", "mamba", "", 3, 768, 4096, 8192, inner_size=1536, state_size=16,
            conv_kernel=4, state_ranks=48, tied=True),
    Numbers("qwen35", "qwen35", "", 4, 512, 4096, 8192, 4, 1, 256, 1792, inner_size=1024,
            state_size=128, conv_kernel=4, state_ranks=8, state_groups=8, tied=True),
)  # fmt: skip


@pytest.mark.engine
@pytest.mark.parametrize("numbers", SMALL, ids=lambda numbers: numbers.name)
def test_the_engine_takes_what_was_planned(numbers: Numbers, tmp_path: Path) -> None:
    found = locate()
    if found is None:
        pytest.skip("no llama-server on this machine")
    path = write(tmp_path / "model.gguf", build(replace(numbers, name=f"Small {numbers.name}")))
    runs = list(runs_of(found.path, path, numbers.name, held_out=True, at_most=5))
    assert len(runs) == min(5, len(loads_for(numbers.architecture)))
    for run in runs:
        assert run.holds, (run.load, run.planned, run.measured)
