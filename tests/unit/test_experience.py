from __future__ import annotations

from datetime import UTC, datetime

from models_app.engine_help import EngineDevice
from models_app.experience import caps_below, matched, noted
from models_app.machine import Cpu, Machine, Ram
from models_app.measured import DeviceLoad, Measured
from models_app.preferences import Candidate
from models_app.shape import LayerBytes, ModelShape
from models_app.tuning import Plan, choose

GIB = 1024**3
MIB = 1024**2
NOW = datetime(2026, 1, 2, tzinfo=UTC)

SHAPE = ModelShape(
    architecture="llama",
    layers=32,
    width=4096,
    vocabulary=128256,
    trained_context=131072,
    feed_forward=14336,
    heads=32,
    kv_heads=(8,) * 32,
    key_length=128,
    value_length=128,
    layer_bytes=(LayerBytes(dense=130 * MIB),) * 32,
    embedding=LayerBytes(dense=282 * MIB),
    output=LayerBytes(dense=411 * MIB),
)
CANDIDATE = Candidate("m", "/models/m.gguf", SHAPE)
MACHINE = Machine(
    "linux",
    "amd64",
    Cpu("x", 8, 16, 8),
    Ram(32 * GIB, 32 * GIB),
    devices=(EngineDevice("CUDA0", "NVIDIA A10", 12 * GIB, 12 * GIB),),
)


def plan() -> Plan:
    return choose(CANDIDATE, MACHINE)


def measured(plan: Plan, gpu: int | None, name: str = "CUDA0") -> Measured:
    """As planned on the CPU, and `gpu` bytes on the GPU."""
    found = Measured(
        (DeviceLoad("CPU", None, plan.memory.cpu.total), DeviceLoad(name, None, gpu)), NOW, 1.0
    )
    return matched(plan, found) or found


def test_a_measurement_stands_beside_what_is_predicted_now() -> None:
    wanted = plan()
    found = measured(wanted, 10 * GIB)
    assert found.predicted == wanted.memory.total
    assert matched(wanted, measured(wanted, 10 * GIB, "CUDA1")) is None


def test_a_gpu_that_took_more_than_its_room_makes_the_plan_smaller_there() -> None:
    first = plan()
    (gpu,) = first.devices
    too_much = gpu.budget + 100 * MIB
    caps = caps_below(first, measured(first, too_much))
    assert caps is not None
    assert caps.ram == first.resources.ram
    assert caps.gpus["CUDA0"] == gpu.budget - (too_much - first.memory.gpus[0].total)
    smaller = choose(CANDIDATE, MACHINE, caps=caps)
    assert smaller.memory.gpus[0].total <= caps.gpus["CUDA0"]
    assert smaller.fits


def test_a_gpu_within_its_room_changes_nothing_but_the_words() -> None:
    first = plan()
    within = measured(first, first.devices[0].budget)
    assert caps_below(first, within) is None
    after = noted(first, within)
    assert after.options == first.options
    assert after.total == within.total
    assert [reason.topic for reason in after.reasons][-1] == "measured"


def test_a_gpu_that_could_not_be_read_is_taken_as_predicted() -> None:
    first = plan()
    unread = measured(first, None)
    assert caps_below(first, unread) is None
    assert unread.total == first.memory.total
