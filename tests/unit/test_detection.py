from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from models_app.detection import backends, detection, specs
from models_app.engine_help import EngineDevice
from models_app.machine import GIB, Cpu, Disk, Gpu, Machine, Ram
from models_app.preferences import Preferences

NOW = datetime(2024, 1, 1, 12, tzinfo=UTC)
PLAIN = Machine(
    platform="linux",
    arch="amd64",
    cpu=Cpu("x", 8, 16, 8),
    ram=Ram(32 * GIB, 24 * GIB),
    devices=(),
    disk=Disk("/", 10**12, 5 * 10**11),
)
GAMER = replace(
    PLAIN,
    gpus=(
        Gpu("NVIDIA GeForce RTX 4070", "nvidia", 12 * GIB, 10 * GIB),
        Gpu("Intel UHD", "intel", 16 * GIB, 16 * GIB, integrated=True),
    ),
    devices=(EngineDevice("CUDA0", "NVIDIA GeForce RTX 4070", 12 * GIB, 10 * GIB),),
)


def test_specs_are_in_bytes_and_leave_borrowed_memory_out() -> None:
    assert specs(GAMER) == {
        "totalRAM": 32 * GIB,
        "availableRAM": 24 * GIB,
        "totalVRAM": 12 * GIB,
        "availableVRAM": 10 * GIB,
        "cpuCores": 16,
        "gpuName": "NVIDIA GeForce RTX 4070",
        "diskSpace": 5 * 10**11,
    }


def test_specs_without_a_gpu_say_so() -> None:
    told = specs(PLAIN)
    assert (told["gpuName"], told["totalVRAM"], told["availableVRAM"]) == ("CPU Only", 0, 0)


def test_detection_describes_the_machine_as_documented() -> None:
    told = detection(GAMER, Preferences(), NOW)
    assert told["gpuTypes"] == ["NVIDIA (RTX, GTX)", "CPU Only"]
    assert told["primaryGPU"] == {
        "name": "NVIDIA GeForce RTX 4070",
        "brand": "nvidia",
        "vramGB": 12.0,
    }
    assert told["recommendedBackends"] == told["supportedBackends"] == ["cuda", "vulkan", "cpu"]
    assert told["detectionTimestamp"] == "2024-01-01T12:00:00Z"
    assert (told["totalRAMGB"], told["availableRAMGB"]) == (32.0, 24.0)
    assert told["recommendations"]["notes"][0] == "Detected cuda with 12.0GB VRAM"


def test_recommended_contexts_rise_to_the_largest_without_doubles() -> None:
    told = detection(GAMER, Preferences(), NOW)
    sizes = told["recommendedContextSizes"]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == told["maxRecommendedContextSize"]
    assert told["recommendations"]["suggestedContextSize"] in sizes


def test_a_machine_without_a_gpu_is_not_sent_on_long_walks() -> None:
    told = detection(PLAIN, Preferences(), NOW)
    assert told["gpuDetected"] is False
    assert told["primaryGPU"] is None
    assert told["maxRecommendedContextSize"] == 32768
    assert told["recommendations"]["suggestedContextSize"] == 16384
    assert told["recommendations"]["throughputFirst"] is False


def test_more_memory_never_means_a_smaller_suggestion() -> None:
    suggested = []
    for size in (4, 8, 12, 16, 24, 48):
        device = EngineDevice("CUDA0", "RTX", size * GIB, size * GIB)
        told = detection(replace(PLAIN, devices=(device,)), Preferences(), NOW)
        suggested.append(told["recommendations"]["suggestedContextSize"])
    assert suggested == sorted(suggested)
    assert suggested[-1] == 131072


def test_quality_tells_how_much_could_be_found_out() -> None:
    assert detection(PLAIN, Preferences(), NOW)["detectionQuality"] == "excellent"
    unasked = replace(PLAIN, devices=None)
    assert detection(unasked, Preferences(), NOW)["detectionQuality"] == "good"
    broken = replace(unasked, problems=("llama-server cannot be run",))
    assert detection(broken, Preferences(), NOW)["detectionQuality"] == "basic"


def test_backends_follow_the_vendor_and_the_system() -> None:
    radeon = replace(PLAIN, gpus=(Gpu("RX 7900", "amd", 24 * GIB),))
    assert backends(radeon) == ["rocm", "vulkan", "cpu"]
    assert backends(replace(radeon, platform="windows")) == ["vulkan", "cpu"]
    mac = replace(PLAIN, gpus=(Gpu("Apple M3", "apple", 24 * GIB, integrated=True),))
    assert backends(mac) == ["metal", "cpu"]
