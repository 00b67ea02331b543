from __future__ import annotations

from datetime import UTC, datetime

from models_app.devices import Device
from models_app.machine import GIB
from models_app.measured import DeviceLoad, GpuReading, Measured, Reading, loads_of, sentence
from models_app.memory import MemoryPlan, Use

MIB = 1024**2


def reading(
    mapped: int, resident: int, private: int, gpus: tuple[GpuReading, ...] | None = None
) -> Reading:
    return Reading(mapped * MIB, resident * MIB, 20 * MIB, private * MIB, gpus)


def gpu(name: str, description: str) -> Device:
    return Device(name, description, 24 * GIB, 23 * GIB)


IN_RAM = MemoryPlan(Use(weights=100 * MIB, cache=50 * MIB, compute=30 * MIB))


def test_compute_buffers_count_before_they_are_touched() -> None:
    (cpu,) = loads_of(reading(100, 100, 60), IN_RAM)
    assert cpu == DeviceLoad("CPU", 180 * MIB, (100 + 20 + 60 + 30) * MIB)


def test_weights_that_were_dropped_from_ram_still_count() -> None:
    (cpu,) = loads_of(reading(100, 10, 60), IN_RAM)
    assert cpu.measured == (100 + 20 + 60 + 30) * MIB


def test_weights_that_are_on_a_gpu_do_not_count_as_ram() -> None:
    plan = MemoryPlan(Use(weights=10 * MIB), (Use(weights=90 * MIB),))
    cards = [gpu("CUDA0", "NVIDIA GeForce RTX 4090")]
    taken = (GpuReading("NVIDIA GeForce RTX 4090", 95 * MIB),)
    cpu, card = loads_of(reading(100, 100, 5, taken), plan, cards)
    assert cpu.measured == (10 + 20 + 5) * MIB
    assert card == DeviceLoad("CUDA0", 90 * MIB, 95 * MIB)


def test_gpus_of_one_name_are_taken_in_order() -> None:
    plan = MemoryPlan(Use(), (Use(weights=1), Use(weights=2)))
    cards = [gpu("CUDA0", "NVIDIA A10"), gpu("CUDA1", "NVIDIA A10")]
    taken = (GpuReading("NVIDIA A10", 11), GpuReading("NVIDIA A10", 22))
    _, first, second = loads_of(reading(0, 0, 0, taken), plan, cards)
    assert (first.measured, second.measured) == (11, 22)


def test_a_gpu_that_cannot_be_read_keeps_its_prediction() -> None:
    plan = MemoryPlan(Use(), (Use(weights=7),))
    loads = loads_of(reading(0, 0, 0), plan, [gpu("Vulkan0", "AMD Radeon RX 7900 XTX")])
    assert loads[1] == DeviceLoad("Vulkan0", 7, None)
    measured = Measured(loads, datetime(2026, 1, 2, tzinfo=UTC), 1.0)
    assert measured.total == 20 * MIB + 7


def test_without_a_plan_only_what_was_read_is_told() -> None:
    loads = loads_of(reading(100, 100, 60, (GpuReading("NVIDIA A10", 5),)))
    assert loads == (DeviceLoad("CPU", None, 180 * MIB), DeviceLoad("NVIDIA A10", None, 5))


def test_the_sentence_tells_when_how_much_and_how_far_off() -> None:
    loads = (DeviceLoad("CPU", 900 * MIB, 1000 * MIB),)
    measured = Measured(loads, datetime(2026, 1, 2, tzinfo=UTC), 0.54)
    assert sentence(measured) == (
        "Measured on 2026-01-02: 1000 MiB, loaded in 0.5 s; predicted was 900 MiB, "
        "10.0 % off (too low)."
    )
