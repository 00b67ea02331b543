"""Reading what processes take: recorded text, a driver's answers, and this process itself."""

from __future__ import annotations

import mmap
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models_app.measured import GpuReading, Reading
from proxy_app.measure import gpus_of, measure, parse_smaps, session

# Five mappings of llama-server b10434 with Gemma 3 270M, lines that are not read left out.
RECORDED = """\
55de3f93b000-55de42ca2000 rw-p 00000000 00:00 0                          [heap]
Size:              52636 kB
KernelPageSize:        4 kB
Rss:               50540 kB
Anonymous:         50540 kB
Swap:                 12 kB
VmFlags: rd wr mr mw me ac
7fcf81439000-7fcf8ff64000 r--s 00639000 fe:00 9978279                    /models/a gemma.gguf
Size:             240812 kB
Rss:              200000 kB
Anonymous:             0 kB
Swap:                  0 kB
7fcfc249d000-7fcfc26da000 r-xp 0009d000 fe:00 5316876                    /opt/libllama.so.0
Size:               2292 kB
Rss:                1216 kB
Anonymous:             0 kB
Swap:                  0 kB
7fcfc275d000-7fcfc2767000 r--p 0035c000 fe:00 5316876                    /opt/libllama.so.0
Size:                 40 kB
Rss:                  40 kB
Anonymous:            40 kB
Swap:                  0 kB
7fcfd0000000-7fcfd0200000 r--s 00000000 00:05 430                        /dev/nvidiactl
Size:               2048 kB
Rss:                   0 kB
Anonymous:             0 kB
Swap:                  0 kB
"""


def test_weights_are_told_from_libraries_and_from_own_memory() -> None:
    assert parse_smaps([RECORDED]) == Reading(
        mapped=240812 * 1024,
        mapped_resident=200000 * 1024,
        libraries=1216 * 1024,
        private=(50540 + 12 + 40) * 1024,
    )


def test_processes_of_a_session_add_up() -> None:
    once, twice = parse_smaps([RECORDED]), parse_smaps([RECORDED, RECORDED])
    assert (twice.private, twice.libraries) == (2 * once.private, 2 * once.libraries)


def test_text_that_is_not_from_the_kernel_counts_nothing() -> None:
    assert parse_smaps(["", "Rss: 5 kB\nhello", "\x00"]) == Reading(0, 0, 0, 0)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="no /proc here")
def test_a_mapped_file_counts_as_weights(tmp_path: Path) -> None:
    weights = tmp_path / "weights.gguf"
    weights.write_bytes(b"x" * 8 * mmap.PAGESIZE)
    before = parse_smaps([Path("/proc/self/smaps").read_text()])
    with (
        weights.open("rb") as file,
        mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as mapped,
    ):
        assert mapped[:: mmap.PAGESIZE] == b"x" * 8
        after = parse_smaps([Path("/proc/self/smaps").read_text()])
    assert after.mapped - before.mapped == 8 * mmap.PAGESIZE
    assert after.mapped_resident - before.mapped_resident == 8 * mmap.PAGESIZE


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="no /proc here")
def test_all_processes_of_a_session_are_measured() -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 600 & echo $!; wait"],
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    ) as shell:
        assert shell.stdout is not None
        child = int(shell.stdout.readline())
        try:
            assert sorted(session(shell.pid)) == sorted([shell.pid, child])
            found = measure(shell.pid)
            assert found is not None and found.private > 0
        finally:
            os.killpg(shell.pid, 9)
        assert shell.stdout.read() == "", "which ends when both have ended"
    assert measure(shell.pid) is None


@dataclass
class Process:
    pid: int
    usedGpuMemory: int | None


class NVMLError(Exception):
    pass


@dataclass
class Driver:
    """NVML's answers. Synthesised after its documentation, not seen on hardware."""

    computing: Sequence[Sequence[Process]] = ()
    drawing: Sequence[Sequence[Process]] = ()
    present: bool = True
    NVMLError = NVMLError
    open: list[bool] = field(default_factory=list)

    def nvmlInit(self) -> None:
        if not self.present:
            raise NVMLError
        self.open.append(True)

    def nvmlShutdown(self) -> None:
        self.open.pop()

    def nvmlDeviceGetCount(self) -> int:
        return len(self.computing)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"NVIDIA A%d" % handle

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> Sequence[Process]:
        return self.computing[handle]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: int) -> Sequence[Process]:
        return self.drawing[handle] if self.drawing else ()


def test_only_our_processes_count_on_a_gpu() -> None:
    driver = Driver([[Process(1, 100), Process(2, 20), Process(9, 7)], [Process(9, 7)]])
    assert gpus_of([1, 2], driver) == (GpuReading("NVIDIA A0", 120),)
    assert not driver.open


def test_a_process_in_both_lists_counts_once() -> None:
    driver = Driver([[Process(1, 100)]], [[Process(1, 110)]])
    assert gpus_of([1], driver) == (GpuReading("NVIDIA A0", 110),)


@pytest.mark.parametrize(
    "driver", [Driver(present=False), Driver([[Process(1, None)]]), Driver([[Process(77, 5)]])]
)
def test_a_driver_that_does_not_tell_is_not_a_zero(driver: Driver) -> None:
    assert gpus_of([1], driver) is None
