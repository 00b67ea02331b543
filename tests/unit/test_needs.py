"""What models take of each device, as the scheduler counts it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import timezone

from models_app import needs
from models_app.devices import Device
from models_app.engine_help import EngineDevice, EngineFlags
from models_app.hardware import free
from models_app.machine import Gpu
from models_app.measured import DeviceLoad
from models_app.models import EngineBuild, GgufFile, LoadRecord, ModelFolder, ServedModel
from models_app.plans import PlanContext
from models_app.preferences import Preferences
from models_app.same_devices import same_devices
from models_app.tuning import choose
from tests.unit.test_experience import CANDIDATE, GIB, MACHINE, measured, plan

CONTEXT = PlanContext(MACHINE, Preferences(), EngineFlags(known=False), "/vulkan/llama-server")
CARDS = (
    Device("CUDA0", "NVIDIA A10", 12 * GIB, 12 * GIB),
    Device("CUDA1", "NVIDIA A10", 12 * GIB, 12 * GIB),
)


def test_a_plan_tells_what_it_takes_of_each_device() -> None:
    wanted = plan()
    need = needs.of_plan(wanted)
    assert need.planned == {
        "CPU": wanted.memory.cpu.total,
        "CUDA0": wanted.memory.gpus[0].total,
    }
    assert need.mapped == wanted.memory.cpu.weights
    assert need.devices == need.planned


def test_what_was_measured_counts_more_than_what_was_planned() -> None:
    wanted = plan()
    need = needs.of_plan(replace(wanted, measured=measured(wanted, 3 * GIB)))
    assert need.devices["CUDA0"] == 3 * GIB
    assert need.devices["CPU"] == wanted.memory.cpu.total


def test_what_could_not_be_measured_counts_as_planned() -> None:
    wanted = plan()
    need = needs.of_plan(replace(wanted, measured=measured(wanted, None)))
    assert need.devices["CUDA0"] == wanted.memory.gpus[0].total


def test_memory_that_a_gpu_shares_with_the_processor_is_ram() -> None:
    assert MACHINE.devices is not None
    seen = replace(MACHINE.devices[0], name="Vulkan0", description="Radeon Graphics (iGPU)")
    gpu = Gpu("Radeon Graphics", "amd", 12 * GIB, integrated=True)
    wanted = choose(CANDIDATE, replace(MACHINE, devices=(seen,), gpus=(gpu,)))
    assert wanted.devices[0].shared
    assert needs.of_plan(wanted).planned == {"CPU": wanted.memory.total}


def test_a_load_is_counted_under_the_engines_names() -> None:
    """Of a command set by hand only the driver's names are known."""
    found = needs.of_loads((DeviceLoad("CPU", None, 5), DeviceLoad("A10", None, 7)), CARDS)
    assert found == {"CPU": 5, "CUDA0": 7}
    found = needs.of_loads((DeviceLoad("CPU", 4, 5), DeviceLoad("CUDA1", 6, None)), CARDS)
    assert found == {"CPU": 5, "CUDA1": 6}


VULKAN = (
    EngineDevice("Vulkan0", "AMD Radeon RX 7900 XTX (RADV NAVI31)", 24 * GIB, 23 * GIB),
    EngineDevice("Vulkan1", "NVIDIA A10", 12 * GIB, 12 * GIB),
)
CUDA = EngineDevice("CUDA0", "NVIDIA A10", 12 * GIB, 3 * GIB)


def pinned_build(*devices: EngineDevice) -> EngineBuild:
    return EngineBuild.objects.create(
        path="/cuda/llama-server",
        size=1,
        mtime_ns=1,
        devices=[device.as_dict() for device in devices],
    )


@pytest.mark.django_db
def test_a_pinned_build_takes_of_the_same_cards_under_the_names_in_use() -> None:
    """Else a model pinned to a CUDA build is planned beside one that fills the very same card."""
    context = replace(CONTEXT, machine=replace(MACHINE, devices=VULKAN))
    build = pinned_build(CUDA)
    devices = needs.gpus(context, [build])
    assert [(one.name, one.also_called) for one in devices] == [
        ("Vulkan0", ()),
        ("Vulkan1", ("CUDA0",)),
    ]
    assert set(needs.budget(context, devices)) == {"CPU", "Vulkan0", "Vulkan1"}
    pinned = context.of_build(build)
    wanted = choose(CANDIDATE, pinned.machine)
    assert [device.name for device in wanted.devices] == ["CUDA0"]
    need = needs.of_plan(wanted, devices)
    assert need.planned == {
        "CPU": wanted.memory.cpu.total,
        "Vulkan1": wanted.memory.gpus[0].total,
    }
    assert needs.of_loads((DeviceLoad("CUDA0", 6, None),), devices) == {"Vulkan1": 6}


@pytest.mark.django_db
def test_a_pinned_build_is_planned_with_the_memory_that_is_free_without_engines() -> None:
    """It was tried while other engines were loaded, and saw what they had left."""
    context = replace(CONTEXT, machine=replace(MACHINE, devices=VULKAN))
    (device,) = context.of_build(pinned_build(CUDA)).machine.devices or ()
    assert (device.name, device.free) == ("CUDA0", 12 * GIB)


@pytest.mark.django_db
def test_what_only_a_pinned_build_sees_has_a_budget_of_its_own() -> None:
    context = replace(CONTEXT, machine=replace(MACHINE, devices=VULKAN[:1]))
    devices = needs.gpus(context, [pinned_build(CUDA)])
    assert [one.name for one in devices] == ["Vulkan0", "CUDA0"]
    assert needs.budget(context, devices)["CUDA0"] > 0


def test_cards_of_one_description_are_the_same_in_their_order() -> None:
    theirs = [replace(CUDA, name=name) for name in ("CUDA0", "CUDA1")]
    ours = [replace(CUDA, name=name) for name in ("Vulkan0", "Vulkan1")]
    assert same_devices(theirs, ours) == {"CUDA0": "Vulkan0", "CUDA1": "Vulkan1"}
    assert same_devices(theirs[1:], theirs) == {"CUDA1": "CUDA1"}
    assert same_devices(theirs, []) == {}


@pytest.mark.django_db
def test_the_middle_of_the_newest_loads_is_a_models_load_time() -> None:
    folder = ModelFolder.objects.create(path="/models")
    file = GgufFile.objects.create(
        folder=folder, path="/models/m.gguf", size=1, mtime_ns=1, last_seen_at=timezone.now()
    )
    ServedModel.objects.create(model_id="m", file=file)
    ServedModel.objects.create(model_id="never", cmd="x")
    for seconds in (99, 99, 2, 3, 40, 4, 5):
        LoadRecord.objects.create(file=file, build_size=1, build_mtime_ns=1, load_seconds=seconds)
    assert needs.load_seconds() == {"m": 4}


def test_free_memory_goes_by_the_engines_names() -> None:
    gpus = [Gpu("NVIDIA A10", "nvidia", 12, 5), Gpu("NVIDIA A10", "nvidia", 12, 7)]
    assert free.match(CARDS, gpus) == {"CUDA0": 5, "CUDA1": 7}
    assert free.match(CARDS, [Gpu("Other", "amd", 12, 5)]) == {}
    assert free.match(CARDS, [Gpu("NVIDIA A10", "nvidia", 12, None)]) == {}


def test_free_ram_can_always_be_read() -> None:
    assert free.read()["CPU"] > 0
