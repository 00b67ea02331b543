"""Where installed builds lie, and what a folder with a build looks like.

CLARACORE_HOME/engines/b9000-vulkan/      one build, side by side with the others
CLARACORE_HOME/engines/.coming-7/         what row 7 is fetching and unpacking
CLARACORE_HOME/engines/.leaving-7/        what is being removed
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from django.conf import settings

NAMES: Final = ("llama-server", "llama-server.exe")
LIBRARIES: Final = {
    "ggml-cuda": "cuda",
    "ggml-hip": "rocm",
    "ggml-vulkan": "vulkan",
    "ggml-metal": "metal",
    "ggml-sycl": "sycl",
    "ggml-openvino": "openvino",
    "ggml-opencl": "opencl",
}
"""What a backend's library is called, whatever stands before and after."""

_DEEPEST: Final = 4


def engines_folder() -> Path:
    return Path(settings.CLARACORE_HOME) / "engines"


def coming(pk: int) -> Path:
    return engines_folder() / f".coming-{pk}"


def binary_in(folder: Path) -> Path | None:
    """The llama-server of a build: the one that lies highest."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        if depth >= _DEEPEST:
            folders.clear()
        found += [Path(place) / name for name in NAMES if name in files]
    return min(found, key=lambda path: (len(path.parts), str(path)), default=None)


def backend_of(binary: Path) -> str:
    """The backend of a build, by the libraries that lie beside it; "cpu" without one."""
    folder = binary.resolve().parent
    places = [folder, folder.parent / "lib"]
    names = [path.name for place in places if place.is_dir() for path in place.iterdir()]
    for library, backend in LIBRARIES.items():
        if any(library in name for name in names):
            return backend
    return "metal" if sys.platform == "darwin" and os.uname().machine == "arm64" else "cpu"


def settle(unpacked: Path, version: str, backend: str) -> Path:
    """Give an unpacked build its lasting name, beside what is there; returns it."""
    base = re.sub(r"[^\w.+-]+", "_", f"{version or 'unknown'}-{backend}").strip(".")
    number = 1
    while True:
        target = engines_folder() / (base if number == 1 else f"{base}-{number}")
        # An empty folder would be replaced by the rename below; any other refuses it.
        if not target.exists():
            try:
                unpacked.rename(target)
            except OSError:
                if not target.exists():
                    raise
            else:
                return target
        number += 1


def make_executable(binary: Path) -> None:
    binary.chmod(binary.stat().st_mode | 0o755)


def remove(folder: Path, pk: int) -> None:
    """Remove a build's folder; at one stroke it is no longer under its name. Raises OSError."""
    if folder.parent != engines_folder() or not folder.exists():
        return  # Used in place, or gone already: nothing here is ours to remove.
    leaving = engines_folder() / f".leaving-{pk}"
    shutil.rmtree(leaving, ignore_errors=True)
    folder.rename(leaving)
    shutil.rmtree(leaving)
