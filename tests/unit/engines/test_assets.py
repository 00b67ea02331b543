"""Every naming of llama.cpp's releases that is known, old and new."""

from __future__ import annotations

import pytest

from downloads_app.engines.assets import Kind, kind_of, version_in

NAMES = {
    # Since Linux and macOS come as .tar.gz
    "llama-b9000-bin-ubuntu-x64.tar.gz": Kind("linux", "amd64", "cpu"),
    "llama-b9000-bin-ubuntu-arm64.tar.gz": Kind("linux", "arm64", "cpu"),
    "llama-b9000-bin-ubuntu-s390x.tar.gz": Kind("linux", "s390x", "cpu"),
    "llama-b9000-bin-ubuntu-vulkan-x64.tar.gz": Kind("linux", "amd64", "vulkan"),
    "llama-b9000-bin-ubuntu-vulkan-arm64.tar.gz": Kind("linux", "arm64", "vulkan"),
    "llama-b9000-bin-ubuntu-rocm-7.2-x64.tar.gz": Kind("linux", "amd64", "rocm", (7, 2)),
    "llama-b9000-bin-ubuntu-openvino-2026.0-x64.tar.gz": Kind(
        "linux", "amd64", "openvino", (2026, 0)
    ),
    "llama-b9000-bin-macos-arm64.tar.gz": Kind("darwin", "arm64", "metal"),
    "llama-b9000-bin-macos-x64.tar.gz": Kind("darwin", "amd64", "cpu"),
    "llama-b9000-bin-win-cpu-x64.zip": Kind("windows", "amd64", "cpu"),
    "llama-b9000-bin-win-cpu-arm64.zip": Kind("windows", "arm64", "cpu"),
    "llama-b9000-bin-win-cuda-12.4-x64.zip": Kind("windows", "amd64", "cuda", (12, 4)),
    "llama-b9000-bin-win-cuda-13.3-x64.zip": Kind("windows", "amd64", "cuda", (13, 3)),
    "llama-b9000-bin-win-vulkan-x64.zip": Kind("windows", "amd64", "vulkan"),
    "llama-b9000-bin-win-hip-radeon-x64.zip": Kind("windows", "amd64", "rocm", extra=("radeon",)),
    "llama-b9000-bin-win-sycl-x64.zip": Kind("windows", "amd64", "sycl"),
    "llama-b9000-bin-win-opencl-adreno-arm64.zip": Kind(
        "windows", "arm64", "opencl", extra=("adreno",)
    ),
    # The libraries beside it
    "cudart-llama-bin-win-cuda-12.4-x64.zip": Kind(
        "windows", "amd64", "cuda", (12, 4), is_runtime=True
    ),
    "cudart-llama-bin-win-cuda-13.3-x64.zip": Kind(
        "windows", "amd64", "cuda", (13, 3), is_runtime=True
    ),
    "cudart-llama-bin-win-cu11.7-x64.zip": Kind(
        "windows", "amd64", "cuda", (11, 7), is_runtime=True
    ),
    # Before: zip for all, and instruction sets
    "llama-b6527-bin-ubuntu-x64.zip": Kind("linux", "amd64", "cpu"),
    "llama-b6527-bin-ubuntu-vulkan-x64.zip": Kind("linux", "amd64", "vulkan"),
    "llama-b6527-bin-ubuntu-rocm-x64.zip": Kind("linux", "amd64", "rocm"),
    "llama-b6527-bin-macos-arm64.zip": Kind("darwin", "arm64", "metal"),
    "llama-b6527-bin-win-rocm-x64.zip": Kind("windows", "amd64", "rocm"),
    "llama-b4000-bin-win-cuda-cu12.4-x64.zip": Kind("windows", "amd64", "cuda", (12, 4)),
    "llama-b4000-bin-win-hip-x64-gfx1030.zip": Kind("windows", "amd64", "rocm", extra=("gfx1030",)),
    "llama-b4000-bin-win-avx2-x64.zip": Kind("windows", "amd64", "cpu", extra=("avx2",)),
    "llama-b4000-bin-win-noavx-x64.zip": Kind("windows", "amd64", "cpu", extra=("noavx",)),
    "llama-b4000-bin-win-openblas-x64.zip": Kind("windows", "amd64", "cpu", extra=("openblas",)),
    # What a mirror may add
    "llama-b9000-bin-linux-cuda-12.8-x86_64.tar.gz": Kind("linux", "amd64", "cuda", (12, 8)),
    "llama-b9000-bin-ubuntu-22.04-x64.tar.gz": Kind("linux", "amd64", "cpu"),
    "LLAMA-B9000-BIN-UBUNTU-X64.TGZ": Kind("linux", "amd64", "cpu"),
}

NO_BUILDS = (
    "llama-b9000-xcframework.zip",
    "llama-b9000-ui.tar.gz",
    "llama-b9000-bin-910b-openEuler-aarch64-aclgraph.tar.gz",
    "llama-b9000-bin-android-arm64.tar.gz",
    "llama-b9000-bin-ubuntu.tar.gz",
    "llama-b9000-bin-ubuntu-x64.tar.xz",
    "llama-b9000-bin-ubuntu-x64.tar.gz.sha256",
    "whisper-b9000-bin-ubuntu-x64.tar.gz",
    "Source code.zip",
    "",
)


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_what_a_build_is_for_from_its_name(name: str) -> None:
    assert kind_of(name) == NAMES[name]


@pytest.mark.parametrize("name", NO_BUILDS)
def test_it_takes_nothing_else_for_a_build(name: str) -> None:
    assert kind_of(name) is None


def test_it_reads_the_release_from_the_name_of_an_archive_or_folder() -> None:
    assert version_in("llama-b9000-bin-ubuntu-x64.tar.gz") == "b9000"
    assert version_in("llama-b6527") == "b6527"
    assert version_in("my-build") == ""
