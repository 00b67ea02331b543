from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models_app import hardware
from models_app.engine_help import EngineDevice
from models_app.hardware import Gpu, Machine, Ram, cpu, nvidia, ram
from models_app.hardware.cgroup import Limits, read_limits
from models_app.models import MachineReport

GIB = 1024**3


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_tightest_cgroup_on_the_way_to_the_root_counts(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    write(root)
    write(root / "box", memory__max=f"{8 * GIB}\n", memory__current=f"{3 * GIB}\n")
    (root / "box" / "memory.stat").write_text(f"anon 5\ninactive_file {GIB}\nactive_file 0\n")
    write(root / "box" / "inner", memory__max="max\n", cpu__max="150000 100000\n")
    (tmp_path / "own").write_text("0::/box/inner\n")
    limits = read_limits(root, tmp_path / "own")
    assert limits == Limits(memory=8 * GIB, memory_used=2 * GIB, cpus=1.5)


def test_the_first_version_of_cgroups_is_read_too(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    write(root / "memory" / "box", memory__limit_in_bytes=f"{2 * GIB}\n")
    write(root / "memory", memory__limit_in_bytes="9223372036854771712\n")
    write(root / "cpu" / "box", cpu__cfs_quota_us="200000\n", cpu__cfs_period_us="100000\n")
    (tmp_path / "own").write_text("5:memory:/box\n3:cpu:/box\n")
    assert read_limits(root, tmp_path / "own") == Limits(memory=2 * GIB, cpus=2.0)


def test_a_machine_without_cgroups_has_no_limits(tmp_path: Path) -> None:
    assert read_limits(tmp_path / "none", tmp_path / "none") == Limits()


def test_ram_is_what_the_container_may_use() -> None:
    whole = Ram(total=64 * GIB, available=50 * GIB)
    assert ram.within_limits(whole, Limits()) == whole
    limited = ram.within_limits(whole, Limits(memory=8 * GIB, memory_used=3 * GIB))
    assert limited == Ram(total=8 * GIB, available=5 * GIB, limit="cgroup")


@pytest.mark.parametrize(
    ("physical", "logical", "allowed", "quota", "expected"),
    [
        (8, 16, 16, None, 8),
        (8, 16, 4, None, 2),
        (8, 8, 8, 1.5, 2),
        (2, 2, 1, None, 1),
        (4, 8, 1, 0.1, 1),
    ],
)
def test_threads_follow_physical_cores_affinity_and_quota(
    physical: int, logical: int, allowed: int, quota: float | None, expected: int
) -> None:
    assert cpu.usable_cores(physical, logical, allowed, quota) == expected


# Shortened from the x86 listing in the proc_cpuinfo(5) manual page's terms: synthesised.
CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Some Processor 9000
flags\t\t: fpu sse4_2 fma avx f16c avx2 avx512f hypervisor
"""


def test_it_reads_the_processors_name_and_instruction_sets() -> None:
    assert cpu.parse_name(CPUINFO) == "Some Processor 9000"
    assert cpu.parse_instruction_sets(CPUINFO) == (
        *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f"),
    )
    arm = "processor\t: 0\nFeatures\t: fp asimd i8mm\n"
    assert cpu.parse_instruction_sets(arm) == ("asimd", "i8mm")
    assert cpu.parse_name("") == ""


def test_numa_nodes_are_counted(tmp_path: Path) -> None:
    assert cpu.count_numa_nodes(tmp_path) == 1
    for name in ("node0", "node1", "possible"):
        (tmp_path / name).mkdir()
    assert cpu.count_numa_nodes(tmp_path) == 2


class FakeNvml:
    """The management library with two cards, the second of which does not answer.

    Its names are those of the library; its answers are synthesised and were not seen on hardware.
    """

    class NVMLError(Exception):
        pass

    class Memory:
        total = 12282 * 1024**2
        free = 11500 * 1024**2

    def __init__(self) -> None:
        self.open = 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "570.86.15"

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        if handle:
            raise self.NVMLError("lost")
        return self.Memory

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"NVIDIA GeForce RTX 4070"

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:
        return 8, 9


def test_it_describes_each_nvidia_gpu_that_answers() -> None:
    library = FakeNvml()
    assert nvidia.read(library) == (
        Gpu(
            name="NVIDIA GeForce RTX 4070",
            vendor="nvidia",
            total=12282 * 1024**2,
            free=11500 * 1024**2,
            driver="570.86.15",
            compute_capability="8.9",
        ),
    )
    assert library.open == 0


def test_a_machine_without_the_nvidia_driver_has_no_nvidia_gpus() -> None:
    class NoDriver(FakeNvml):
        def nvmlInit(self) -> None:
            raise self.NVMLError("driver not loaded")

    assert nvidia.read(NoDriver()) == ()


def test_a_machine_survives_json(box: Machine) -> None:
    assert Machine.from_dict(json.loads(json.dumps(box.as_dict()))) == box


@pytest.mark.django_db
def test_the_machine_is_stored_in_one_row(box: Machine) -> None:
    assert hardware.stored() is None
    hardware.store(box)
    hardware.store(box)
    assert MachineReport.objects.count() == 1
    assert hardware.stored() == box


def test_this_machine_can_be_read() -> None:
    machine = hardware.detect()
    assert machine.ram.total >= machine.ram.available > 0
    assert machine.cpu.usable_cores >= 1
    assert machine.devices is None


@pytest.fixture
def box() -> Machine:
    return Machine(
        platform="linux",
        arch="amd64",
        cpu=hardware.Cpu("x", 8, 16, 8, ("avx2",)),
        ram=Ram(32 * GIB, 30 * GIB),
        gpus=(Gpu("RTX 4070", "nvidia", 12 * GIB, 11 * GIB),),
        devices=(EngineDevice("CUDA0", "RTX 4070", 12 * GIB, 11 * GIB),),
        disk=hardware.Disk("/", 100, 50),
    )


@pytest.mark.django_db
def test_what_is_free_is_read_anew_on_the_same_machine(box: Machine) -> None:
    here = hardware.detect()
    hardware.store(replace(here, ram=replace(here.ram, available=1)))
    assert hardware.current().ram.available > 1
    hardware.store(box)
    assert hardware.current() == box
