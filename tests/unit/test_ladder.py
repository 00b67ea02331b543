from __future__ import annotations

import pytest

from models_app.devices import Caps
from models_app.engine_help import EngineDevice
from models_app.ladder import step_down
from models_app.machine import GIB, Cpu, Machine, Ram
from models_app.preferences import Candidate, Choices
from models_app.shape import LayerBytes, ModelShape
from models_app.tuning import Plan, choose

MIB = 1024**2


def candidate(experts: int = 0) -> Candidate:
    shape = ModelShape(
        architecture="qwen3moe" if experts else "llama",
        layers=32,
        width=4096,
        vocabulary=32000,
        trained_context=65536,
        feed_forward=14336,
        heads=32,
        kv_heads=(8,) * 32,
        key_length=128,
        value_length=128,
        experts=experts,
        experts_used=2 if experts else 0,
        expert_feed_forward=1024,
        layer_bytes=(LayerBytes(dense=100 * MIB, experts=experts * 50 * MIB),) * 32,
        embedding=LayerBytes(dense=80 * MIB),
        output=LayerBytes(dense=80 * MIB),
    )
    return Candidate("m", "m.gguf", shape)


def machine(*vram: int) -> Machine:
    devices = tuple(
        EngineDevice(f"CUDA{number}", "x", size * GIB, size * GIB)
        for number, size in enumerate(vram)
    )
    return Machine("linux", "amd64", Cpu("x", 4, 8, 4), Ram(64 * GIB, 64 * GIB), devices=devices)


def climb_down(one: Candidate, box: Machine, choices: Choices | None = None) -> list[Plan]:
    plans = [choose(one, box, choices=choices)]
    while step := step_down(plans[-1], one, box, choices=choices):
        plans.append(step[0])
        assert len(plans) < 100
    return plans


def test_on_a_cpu_each_rung_takes_less_until_only_the_weights_are_left() -> None:
    plans = climb_down(candidate(), machine())
    totals = [plan.memory.total for plan in plans]
    assert totals == sorted(totals, reverse=True)
    assert len(plans) > 3
    assert plans[1].options.cache_type_k == "q8_0"
    assert plans[-1].context_per_request <= 4096


def test_on_a_gpu_layers_go_to_the_cpu_in_the_end() -> None:
    plans = climb_down(candidate(), machine(16))
    on_gpu = [plan.memory.gpus[0].total if plan.memory.gpus else 0 for plan in plans]
    assert on_gpu == sorted(on_gpu, reverse=True)
    assert plans[0].placement.offloaded == 33
    assert plans[-1].placement.offloaded == 0


def test_a_gpu_that_was_given_up_stays_given_up() -> None:
    """On two GPUs the plan went back to the first when the second failed, and so on to and fro."""
    fullest = [
        max((use.total for use in plan.memory.gpus), default=0)
        for plan in climb_down(candidate(), machine(16, 12))
    ]
    assert fullest == sorted(fullest, reverse=True)
    assert fullest[-1] == 0


def test_below_everything_in_ram_no_gpu_is_tried_again() -> None:
    plans = climb_down(candidate(), machine(16))
    without = [bool(plan.devices) for plan in plans].index(False)
    assert len(plans) > without + 1
    assert not any(plan.devices for plan in plans[without:])


def test_experts_leave_the_gpu_before_layers_do() -> None:
    plans = climb_down(candidate(experts=4), machine(16))
    kept = [plan for plan in plans if plan.placement.offloaded == 33]
    assert any(plan.placement.cpu_expert_layers for plan in kept)


def test_every_rung_says_why() -> None:
    one, box = candidate(), machine()
    step = step_down(choose(one, box), one, box)
    assert step is not None
    assert any("ran out of memory" in reason.text for reason in step[0].reasons)


def test_what_a_person_set_is_not_given_up() -> None:
    choices = Choices(context=32768, cache_type="f16", slots=1)
    plans = climb_down(candidate(), machine(), choices)
    assert {plan.options.context for plan in plans} == {32768}


@pytest.mark.parametrize("gpus", [{}, {"CUDA0": 5}])
def test_caps_can_be_remembered(gpus: dict[str, int]) -> None:
    caps = Caps(ram=7, gpus=gpus)
    assert Caps.from_json(caps.to_json()) == caps
