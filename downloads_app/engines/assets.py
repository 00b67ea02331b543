"""What the names of a release's files say: platform, processor, backend, runtime. Pure.

Names come from the release's own list and are never built here. A name is read word by word, so
that versions, word order and endings may change:

    llama-b4000-bin-win-cuda-cu12.4-x64.zip        llama-b9000-bin-ubuntu-rocm-7.2-x64.tar.gz
    llama-b6527-bin-win-hip-radeon-x64.zip         llama-b9000-bin-macos-arm64.tar.gz
    cudart-llama-bin-win-cuda-12.4-x64.zip         llama-b9000-bin-ubuntu-x64.tar.gz
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ENDINGS: Final = (".tar.gz", ".tgz", ".zip")

PLATFORMS: Final = {
    "win": "windows",
    "windows": "windows",
    "ubuntu": "linux",
    "linux": "linux",
    "macos": "darwin",
    "darwin": "darwin",
}
ARCHITECTURES: Final = {
    "x64": "amd64",
    "x86_64": "amd64",
    "amd64": "amd64",
    "arm64": "arm64",
    "aarch64": "arm64",
    "s390x": "s390x",
}
BACKENDS: Final = {
    "cuda": "cuda",
    "rocm": "rocm",
    "hip": "rocm",
    "vulkan": "vulkan",
    "metal": "metal",
    "sycl": "sycl",
    "openvino": "openvino",
    "opencl": "opencl",
    "cpu": "cpu",
}
INSTRUCTION_SETS: Final = ("noavx", "avx", "avx2", "avx512")
"""Of builds from before there was one for every processor, the plainest first."""

HARMLESS: Final = frozenset({"radeon", "adreno", "fp32", "fp16", "openblas"})
"""Further words of builds that run on every machine of their platform and backend."""

_VERSION: Final = re.compile(r"(?:cu)?(\d+(?:\.\d+)*)")
_RELEASE: Final = re.compile(r"[bv]?\d[\w.]*")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of a release."""

    name: str
    url: str
    size: int = 0
    """Bytes; 0 when the release does not say."""
    sha256: str = ""
    """Empty when none is published."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a build is for."""

    platform: str
    """"linux", "darwin" or "windows"."""
    arch: str
    """"amd64", "arm64", …"""
    backend: str
    """"cuda", "rocm", "vulkan", "metal", "sycl", "openvino", "opencl" or "cpu"."""
    runtime: tuple[int, ...] = ()
    """The version of CUDA, ROCm, … that it was built with; empty when the name is silent."""
    extra: tuple[str, ...] = ()
    """Words that narrow it down further, such as ("gfx1030",)."""
    is_runtime: bool = False
    """The backend's own libraries, to be put beside a build; no build itself."""


def kind_of(name: str) -> Kind | None:
    """What a file of a release is; None for what is no build for a PC, such as an iOS framework."""
    stem = _stem(name.lower())
    if stem is None:
        return None
    before, marker, after = stem.partition("-bin-")
    is_runtime = before.startswith("cudart")
    if not marker or not (is_runtime or _is_build(before)):
        return None
    first, *words = after.split("-")
    platform = PLATFORMS.get(first)
    if platform is None:
        return None
    return _read(platform, words, is_runtime=is_runtime)


def sort(assets: Iterable[Asset]) -> list[tuple[Kind, Asset]]:
    """The files that are builds or runtimes, each with what it is."""
    read = ((kind_of(asset.name), asset) for asset in assets)
    return [(kind, asset) for kind, asset in read if kind is not None]


def version_in(name: str) -> str:
    """The release that an archive or folder is of, as its name says; "" when it does not."""
    found = re.search(r"(?<![a-z0-9])b\d{3,}(?![a-z0-9])", name.lower())
    return found.group() if found else ""


def _stem(name: str) -> str | None:
    for ending in ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return None


def _is_build(before: str) -> bool:
    program, _, release = before.partition("-")
    return program in ("llama", "llama.cpp") and (not release or bool(_RELEASE.fullmatch(release)))


def _read(platform: str, words: list[str], *, is_runtime: bool) -> Kind | None:
    arch, backend = "", ""
    runtime: tuple[int, ...] = ()
    extra: list[str] = []
    for word in words:
        if word in ARCHITECTURES:
            arch = ARCHITECTURES[word]
        elif word in BACKENDS and not backend:
            backend = BACKENDS[word]
        elif (version := _VERSION.fullmatch(word)) and backend:
            runtime = tuple(int(part) for part in version.group(1).split("."))
        elif version and word.startswith("cu"):  # cudart-llama-bin-win-cu12.4-x64
            backend, runtime = "cuda", tuple(int(part) for part in version.group(1).split("."))
        elif not version:  # A number without a backend is the system's version: ubuntu-22.04
            extra.append(word)
    if not arch:
        return None
    if not backend:
        backend = "metal" if (platform, arch) == ("darwin", "arm64") else "cpu"
    return Kind(platform, arch, backend, runtime, tuple(extra), is_runtime)
