"""Memory, processor and disk of this machine, and who uses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from models_app import hardware


def families(home: Path) -> Iterator[Metric]:
    """What is there and what is free, as of now."""
    machine = hardware.current()
    yield _gauge("claracore_ram_bytes", "Memory of the machine.", machine.ram.total)
    yield _gauge("claracore_ram_free_bytes", "Memory that is free.", machine.ram.available)
    total = GaugeMetricFamily("claracore_gpu_memory_bytes", "Memory of a GPU.", labels=["gpu"])
    free = GaugeMetricFamily("claracore_gpu_memory_free_bytes", "Free of it.", labels=["gpu"])
    for index, gpu in enumerate(machine.gpus):
        label = [f"{index} {gpu.name}"]
        total.add_metric(label, gpu.total)
        if gpu.free is not None:
            free.add_metric(label, gpu.free)
    yield total
    yield free
    disk = psutil.disk_usage(str(home))
    yield _gauge("claracore_disk_free_bytes", "Free where the server keeps its things.", disk.free)
    yield _gauge("claracore_cpu_cores", "Logical processors.", psutil.cpu_count() or 1)
    yield _gauge("claracore_load1", "Processes that ran or wanted to.", psutil.getloadavg()[0])


def process_families(processes: dict[str, int]) -> Iterator[Metric]:
    """What processes take; `processes` are their pids by name."""
    memory = GaugeMetricFamily(
        "claracore_process_resident_bytes", "Memory a process holds.", labels=["process"]
    )
    cpu = CounterMetricFamily(
        "claracore_process_cpu_seconds", "Processor time a process used.", labels=["process"]
    )
    files = GaugeMetricFamily(
        "claracore_process_open_files", "Files and sockets it has open.", labels=["process"]
    )
    for name, pid in processes.items():
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                resident, opened = process.memory_info().rss, process.num_fds()
        except psutil.Error:
            continue  # It has just ended.
        memory.add_metric([name], resident)
        cpu.add_metric([name], times.user + times.system)
        files.add_metric([name], opened)
    yield memory
    yield cpu
    yield files


def _gauge(name: str, text: str, value: float) -> Metric:
    gauge: Metric = GaugeMetricFamily(name, text, value=value)
    return gauge
