"""What the first implementation got wrong when it set models up, a test a fault, A1 to A15.

Other tests look at each part more closely. These show, through the public functions, that none of
those faults is here.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from django.utils import timezone
from gguf import GGUFValueType
from pytest_django.fixtures import Settings

from models_app import catalog, engine_build, folders, hardware, scan_runs
from models_app.buffers import Load, cache_bytes
from models_app.detection import specs
from models_app.engine_build import EngineProblem, Located
from models_app.engine_help import EngineDevice
from models_app.facts import FileFacts, facts_of
from models_app.gguf import read_header
from models_app.hardware import amd, apple, disk
from models_app.kinds import Kind
from models_app.machine import GIB, Cpu, Gpu, Machine, Ram
from models_app.memory import Placement, plan_memory
from models_app.models import GgufFile, ModelFolder, ScanRun, ServedModel, ServerSettings
from models_app.naming import Candidate as Named
from models_app.naming import assign_ids
from models_app.preferences import Candidate, Choices, Preferences
from models_app.scan import Progress, scan
from models_app.shape import LayerBytes, ModelShape
from models_app.shape_reader import shape_of
from models_app.tuning import Plan, choose
from models_app.walk import walk
from tests.ggufs import numbers, write_gguf, write_projector, write_reciter, write_split

MIB = 1024**2
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
    layer_bytes=(LayerBytes(dense=128 * MIB),) * 32,
    embedding=LayerBytes(dense=282 * MIB),
    output=LayerBytes(dense=411 * MIB),
)
EIGHT_B = Candidate("model", "/models/model.gguf", SHAPE)


def box(*vram: float, ram: float = 32) -> Machine:
    """A machine with GPUs of so many GiB."""
    devices = tuple(
        EngineDevice(f"CUDA{number}", "RTX", int(size * GIB), int(size * GIB))
        for number, size in enumerate(vram)
    )
    memory = Ram(int(ram * GIB), int(ram * GIB))
    return Machine("linux", "amd64", Cpu("x", 8, 16, 8), memory, devices=devices)


def facts(path: Path) -> FileFacts:
    return facts_of(read_header(path), path.name)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def words(model: ServedModel) -> list[str]:
    """The command that the configuration has for the model."""
    return shlex.split(catalog.build().models[model.model_id].cmd)


def test_a1_the_context_and_the_preference_that_a_person_chose_really_act() -> None:
    machine = box(12)
    assert choose(EIGHT_B, machine, Preferences(preferred_context=8192)).options.context == 8192
    fast = choose(EIGHT_B, machine, Preferences(preferred_context=131072, throughput_first=True))
    large = choose(EIGHT_B, machine, Preferences(preferred_context=131072, throughput_first=False))
    assert fast.placement.offloaded > large.placement.offloaded
    assert fast.context_per_request < large.context_per_request
    tight = Preferences(preferred_context=131072, min_context=65536, backend="cpu")
    assert choose(EIGHT_B, box(ram=16), tight).context_per_request >= 65536
    assert choose(EIGHT_B, machine, choices=Choices(context=6144)).options.context == 6144


def test_a2_the_cache_is_counted_from_the_models_own_heads_and_key_lengths() -> None:
    def cache(shape: ModelShape) -> int:
        return plan_memory(shape, Load(4096), Placement()).cpu.cache

    assert cache(SHAPE) == 32 * 4096 * 8 * (128 + 128) * 2
    assert cache(replace(SHAPE, kv_heads=(8, 0) * 16)) == cache(SHAPE) // 2
    assert cache(replace(SHAPE, key_length=64, value_length=64)) == cache(SHAPE) // 2


@pytest.mark.parametrize("vram", [(), (0.5,), (1,), (3,)])
def test_a3_gpu_layers_are_never_negative_and_a_cpu_gets_none(vram: tuple[float, ...]) -> None:
    plan = choose(EIGHT_B, box(*vram, ram=2))
    assert (plan.options.gpu_layers or 0) >= 0
    if not vram:
        assert plan.options.gpu_layers is None
        assert plan.devices == ()


def test_a4_no_context_is_forced_above_the_trained_one_windows_or_not() -> None:
    short = replace(SHAPE, trained_context=2048)
    windowed = replace(short, window=512, windowed=(True, False) * 16)
    for shape in (short, windowed):
        for machine in (box(), box(8), box(6, ram=8)):
            plan = choose(replace(EIGHT_B, shape=shape), machine)
            assert plan.context_per_request <= 2048
            assert (plan.options.context or 0) <= 2048


def test_a5_size_quantization_and_experts_are_read_and_not_guessed_from_the_name(
    tmp_path: Path,
) -> None:
    from bench.families import build
    from bench.shapes import FITTED
    from bench.sparse_gguf import write

    experts = next(shape for shape in FITTED if shape.name == "Qwen3 30B-A3B")
    model = build(replace(experts, layers=48, weights="BF16"))
    told = facts(write(tmp_path / "thing-13b-q4_0.gguf", model))
    assert round(told.parameters / 1e9, 1) == 30.5
    assert told.quantization == "BF16"
    assert (told.expert_count, told.expert_used_count) == (128, 8)
    labelled = {"general.size_label": "8x7B", "general.file_type": 15}
    reciter = facts(write_reciter(tmp_path / "a.gguf", "Hello there.", metadata=labelled))
    assert (reciter.size_label, reciter.quantization) == ("8x7B", "F32")  # F32 tensors, no Q4_K_M


@pytest.mark.django_db
def test_a6_a_split_model_is_one_model_with_the_size_of_its_own_parts(models: Path) -> None:
    parts = write_split(models / "big", 5)
    write_split(models / "other", 4)
    scan([folders.add(models)])

    assert set(ServedModel.objects.values_list("model_id", flat=True)) == {"big", "other"}
    first = GgufFile.objects.get(relative_path=parts[0].name)
    own = [first, *first.later_parts.all()]
    assert sorted(row.path for row in own) == sorted(map(str, parts))
    assert sum(row.size for row in own) == sum(path.stat().st_size for path in parts)


def test_a7_every_value_type_is_read_in_any_order(tmp_path: Path) -> None:
    metadata = {
        "odd.nested": ([[1, 2], [3]], GGUFValueType.ARRAY),
        "odd.u64": (2**63, GGUFValueType.UINT64),
        "odd.i64": (-(2**62), GGUFValueType.INT64),
        "odd.f64": (0.1, GGUFValueType.FLOAT64),
        "llama.pooling_type": 2,
        "llama.block_count": 3,
        "llama.attention.head_count": 8,
        "llama.attention.head_count_kv": [4, 0, 2],
    }
    path = write_gguf(tmp_path / "m.gguf", "llama", metadata, {})
    told = facts(path)
    assert told.pooling == "cls"
    assert told.kv_heads == (4, 0, 2)
    header = read_header(path)
    late = {key: value for key, value in header.metadata.items() if key != "general.architecture"}
    moved = replace(header, metadata={**late, "general.architecture": "llama"})
    assert facts_of(moved, path.name) == told
    shape = replace(shape_of(moved), key_length=64, value_length=64)
    assert [cache_bytes(shape, layer, Load(256)) for layer in range(3)] == [
        256 * heads * 128 * 2 for heads in (4, 0, 2)
    ]


def test_a8_memory_is_counted_for_each_gpu_and_integrated_ones_stay_out(tmp_path: Path) -> None:
    real = EngineDevice("CUDA0", "RTX", 8 * GIB, 8 * GIB)
    small = EngineDevice("CUDA1", "Graphics", 16 * GIB, 16 * GIB, integrated=True)
    plan = choose(EIGHT_B, replace(box(), devices=(real, small)))
    assert [device.name for device in plan.devices] == ["CUDA0"]
    two = choose(EIGHT_B, box(5, 5))
    assert all(
        use.total <= device.budget for device, use in zip(two.devices, two.memory.gpus, strict=True)
    )
    assert len(two.devices) == 2
    assert choose(EIGHT_B, box(16, 5)).options.devices == ("CUDA0",)

    card = tmp_path / "card0" / "device"
    card.mkdir(parents=True)
    for name, value in (("vendor", "0x1002"), ("mem_info_vram_total", str(24 * GIB))):
        (card / name).write_text(value)
    assert [gpu.total for gpu in amd.read_cards(tmp_path)] == [24 * GIB]
    assert apple.working_set(64 * GIB) == 48 * GIB  # of this machine's own memory, no table


def test_a9_specs_show_the_gpus_that_were_found_and_the_room_on_disk(tmp_path: Path) -> None:
    radeon = Gpu("Radeon RX 7900 XT", "amd", 20 * GIB, 19 * GIB)
    there = disk.read(tmp_path)
    told = specs(replace(box(), gpus=(radeon,), disk=there))
    assert (told["totalVRAM"], told["availableVRAM"]) == (20 * GIB, 19 * GIB)
    assert told["gpuName"] == "Radeon RX 7900 XT"
    assert told["diskSpace"] == there.free > 0


@pytest.mark.django_db
def test_a10_a_program_for_another_processor_is_refused_in_words(tmp_path: Path) -> None:
    # The first bytes of a Linux program whose machine number belongs to no processor of today.
    foreign = tmp_path / "llama-server"
    foreign.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xff\x7f" + bytes(44))
    foreign.chmod(0o755)
    with pytest.raises(EngineProblem, match=r"llama-server cannot be (run|started)"):
        engine_build.probe(Located(foreign, "test"))


@pytest.mark.django_db
def test_a11_a_model_that_comes_later_gets_its_projector_and_what_was_forced(models: Path) -> None:
    hardware.store(box(24))
    tracked = folders.add(models)
    scan([tracked])
    settings = ServerSettings.current()
    settings.vram_gb, settings.backend = 0, "cuda"
    settings.save()

    write_reciter(models / "seer-2b.gguf", "Hello there.")
    write_projector(models / "mmproj-seer-2b.gguf")
    scan([tracked])

    argv = words(ServedModel.objects.get())
    assert argv[argv.index("--mmproj") + 1] == str(models / "mmproj-seer-2b.gguf")
    assert argv[argv.index("--device") + 1] == "none"
    assert "--n-gpu-layers" not in argv


def test_a12_ids_depend_neither_on_the_order_nor_on_the_way_a_file_is_found() -> None:
    paths = ["b/fox-q8_0.gguf", "a/fox-q4_k_m.gguf", "c/fox-q4_k_m.gguf", "fox.gguf"]
    there = assign_ids([Named(path, path) for path in paths], {})
    back = assign_ids([Named(path, path) for path in reversed(paths)], {})
    assert there == back
    assert len({model_id.id for model_id in there.values()}) == len(paths)
    later = assign_ids([Named("d/fox-q4_k_m.gguf", "d/fox-q4_k_m.gguf")], there)
    assert not {name for one in later.values() for name in one.all} & {
        name for one in there.values() for name in one.all
    }


@pytest.mark.django_db
def test_a13_a_draft_model_is_found_and_reaches_the_command(models: Path) -> None:
    hardware.store(box())
    write_reciter(models / "big.gguf", numbers(20), layers=24)
    write_reciter(models / "small.gguf", numbers(20))
    scan([folders.add(models)])
    big = ServedModel.objects.get(model_id="big")
    assert "--spec-draft-model" not in words(big)

    ServedModel.objects.filter(pk=big.pk).update(use_draft=True)

    argv = words(big)
    assert argv[argv.index("--spec-draft-model") + 1] == str(models / "small.gguf")


@pytest.mark.django_db
def test_a14_a_scan_is_completed_when_its_models_are_served_and_reads_each_file_once(
    models: Path,
) -> None:
    hardware.store(box())
    for name in ("a.gguf", "b.gguf"):
        write_reciter(models / name, "Hello there.")
    run = scan_runs.create([folders.add(models)])
    seen: list[tuple[str, Progress]] = []

    def listen(progress: Progress) -> None:
        seen.append((ScanRun.objects.get(pk=run.pk).status, progress))

    scan_runs.perform(run.pk, listener=listen)

    assert {status for status, _ in seen} == {ScanRun.Status.RUNNING}
    read = [progress.current for _, progress in seen if progress.step == "Reading files"]
    assert read == ["a.gguf", "b.gguf"]
    run.refresh_from_db()
    assert run.status == ScanRun.Status.COMPLETED
    assert all(entry.cmd for entry in catalog.build().models.values())
    assert len(catalog.build().models) == 2


@pytest.mark.django_db
def test_a15_folders_are_walked_as_asked_and_a_shut_one_stops_nothing(
    models: Path, tmp_path: Path, settings: Settings
) -> None:
    # Links are followed as far as models may lie.
    settings.CLARACORE_MODEL_ROOTS = [str(tmp_path)]
    hidden = models / "deep"
    hidden.mkdir()
    write_reciter(hidden / "deep.gguf", "Hello there.")
    write_reciter(models / "top.gguf", "Hello there.")
    elsewhere = write_reciter(tmp_path / "elsewhere.gguf", "Hello there.")
    os.symlink(elsewhere, models / "linked.gguf")
    os.symlink(tmp_path / "nothing", models / "a-broken-one.gguf")

    assert [file.relative_path for file in walk(str(models), recursive=False).files] == [
        "linked.gguf",
        "top.gguf",
    ]
    (summary,) = scan([folders.add(models)])
    assert (summary["models"], summary["problems"]) == (3, 1)
    assert "a-broken-one.gguf" in ModelFolder.objects.get().problem
    assert ServedModel.objects.count() == 3
    assert GgufFile.objects.filter(kind=Kind.CHAT, last_seen_at__lte=timezone.now()).count() == 3


def test_every_plan_here_fits_the_machine_it_was_made_for() -> None:
    plans: list[Plan] = [choose(EIGHT_B, box(*vram)) for vram in ((), (8,), (5, 5), (24,))]
    for plan in plans:
        assert plan.fits
        assert plan.memory.cpu.total <= plan.resources.ram
