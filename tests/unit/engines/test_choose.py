from __future__ import annotations

from typing import Any

import pytest

from downloads_app.engines.assets import Asset
from downloads_app.engines.choose import NothingFits, choose
from models_app.machine import GIB, Cpu, Gpu, Machine, Ram
from tests.unit.engines.test_assets import NAMES

CURRENT = [Asset(name, f"https://x/{name}") for name in NAMES if "b9000" in name]
CURRENT += [Asset(name, f"https://x/{name}") for name in NAMES if name.startswith("cudart")]


def machine(
    platform: str = "linux", arch: str = "amd64", *gpus: Gpu, sets: tuple[str, ...] = ("avx2",)
) -> Machine:
    cpu = Cpu("some", 4, 8, 4, sets)
    return Machine(platform, arch, cpu, Ram(8 * GIB, 8 * GIB), gpus)


def card(vendor: str, **values: Any) -> Gpu:
    return Gpu("a card", vendor, 8 * GIB, **values)


def named(*gpus: Gpu, platform: str = "linux", arch: str = "amd64", wanted: str = "") -> list[str]:
    found = choose(CURRENT, machine(platform, arch, *gpus), wanted)
    return [asset.name for asset in found.assets]


@pytest.mark.parametrize(
    ("platform", "arch", "vendors", "name"),
    [
        ("linux", "amd64", (), "llama-b9000-bin-ubuntu-x64.tar.gz"),
        ("linux", "arm64", (), "llama-b9000-bin-ubuntu-arm64.tar.gz"),
        ("linux", "s390x", (), "llama-b9000-bin-ubuntu-s390x.tar.gz"),
        ("linux", "amd64", ("amd",), "llama-b9000-bin-ubuntu-vulkan-x64.tar.gz"),
        ("linux", "amd64", ("intel",), "llama-b9000-bin-ubuntu-vulkan-x64.tar.gz"),
        ("linux", "arm64", ("nvidia",), "llama-b9000-bin-ubuntu-vulkan-arm64.tar.gz"),
        ("linux", "amd64", ("nvidia",), "llama-b9000-bin-linux-cuda-12.8-x86_64.tar.gz"),
        ("darwin", "arm64", ("apple",), "llama-b9000-bin-macos-arm64.tar.gz"),
        ("darwin", "amd64", (), "llama-b9000-bin-macos-x64.tar.gz"),
        ("windows", "amd64", ("amd",), "llama-b9000-bin-win-hip-radeon-x64.zip"),
        ("windows", "amd64", ("intel",), "llama-b9000-bin-win-vulkan-x64.zip"),
        ("windows", "amd64", (), "llama-b9000-bin-win-cpu-x64.zip"),
        ("windows", "arm64", (), "llama-b9000-bin-win-cpu-arm64.zip"),
    ],
)
def test_it_chooses_the_build_for_the_machine(
    platform: str, arch: str, vendors: tuple[str, ...], name: str
) -> None:
    assert named(*map(card, vendors), platform=platform, arch=arch) == [name]


@pytest.mark.parametrize(
    ("driver", "capability", "cuda"),
    [
        ("600.10", "8.9", "13.3"),
        ("580.70", "8.9", "13.3"),
        ("580.70", "6.1", "12.4"),  # CUDA 13 has no code for a GTX 1080
        ("551.61", "8.9", "12.4"),
        ("572.16", "8.9", "12.4"),
    ],
)
def test_it_takes_the_cuda_that_driver_and_card_can_run_with_its_own_libraries(
    driver: str, capability: str, cuda: str
) -> None:
    gpu = card("nvidia", driver=driver, compute_capability=capability)
    assert named(gpu, platform="windows") == [
        f"llama-b9000-bin-win-cuda-{cuda}-x64.zip",
        f"cudart-llama-bin-win-cuda-{cuda}-x64.zip",
    ]


def test_it_takes_vulkan_when_the_driver_is_too_old_for_every_cuda() -> None:
    gpu = card("nvidia", driver="470.10", compute_capability="7.5")
    assert named(gpu, platform="windows") == ["llama-b9000-bin-win-vulkan-x64.zip"]


def test_a_wish_stands_alone() -> None:
    assert named(card("nvidia"), wanted="rocm") == ["llama-b9000-bin-ubuntu-rocm-7.2-x64.tar.gz"]
    with pytest.raises(NothingFits, match=r"a metal build.*It has: cpu, cuda, openvino, rocm"):
        named(wanted="metal")


def test_it_takes_the_best_instruction_set_there_is() -> None:
    names = [f"llama-b4000-bin-win-{word}-x64.zip" for word in ("noavx", "avx", "avx2", "avx512")]
    old = [Asset(name, "") for name in names]
    assert choose(old, machine("windows")).build.name == names[2]
    assert choose(old, machine("windows", sets=("sse3",))).build.name == names[0]
    assert choose(old, machine("windows", sets=("avx", "avx2", "avx512f"))).build.name == names[3]


def test_it_leaves_builds_for_one_special_card_alone() -> None:
    special = [Asset("llama-b4000-bin-win-hip-x64-gfx1030.zip", "")]
    with pytest.raises(NothingFits):
        choose(special, machine("windows", "amd64", card("amd")))


def test_it_says_when_a_release_has_nothing_for_the_platform() -> None:
    """A release is listed before its files are uploaded, and some lack whole platforms."""
    with pytest.raises(NothingFits, match="none for this platform at all"):
        choose(CURRENT, machine("linux", "riscv64"))
    with pytest.raises(NothingFits):
        choose([], machine())
