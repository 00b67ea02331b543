"""Lets the installed llama-server run on processors that its own CPU library was not built for.

The package's CPU library was compiled for servers with AVX-512 and AMX; everywhere else the engine
ends with SIGILL as soon as it loads a model. `libggml-python` brings the same library, of the same
interface, for every processor with AVX2. Where it is needed, the engine finds it first: through a
folder in the server's home that holds nothing but a link to it.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Collection
from functools import lru_cache
from importlib import util
from pathlib import Path
from typing import Final

LIBRARY: Final = "libggml-cpu.so.0"
CPUINFO: Final = Path("/proc/cpuinfo")
_PORTABLE_MODULE: Final = "libggml"
_ANSWER_SECONDS: Final = 30

# What the library was compiled to use -> what Linux calls it.
_FLAGS: Final = {
    "ssse3": "ssse3",
    "avx": "avx",
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "bmi2": "bmi2",
    "avx_vnni": "avx_vnni",
    "avx512": "avx512f",
    "avx512_vbmi": "avx512vbmi",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "amx_int8": "amx_int8",
}
# In a process of its own: a library for another processor may end the one that opens it.
_ASK: Final = """\
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
print(*(name for name in sys.argv[2:] if getattr(library, "ggml_cpu_has_" + name)()))
"""


def libraries_for(folder: Path, home: Path) -> tuple[Path, ...] | None:
    """Folders that an engine in `folder` must find libraries in before its own.

    None when neither its own CPU library nor the portable one runs here. Raises OSError when the
    link cannot be written.
    """
    own = folder / LIBRARY
    flags = processor_flags()
    if not own.is_file() or _suits(own, flags):
        return ()
    portable = portable_library()
    if portable is None or not _suits(portable, flags):
        return None
    return (link(portable, home / "engine-libraries"),)


def portable_library() -> Path | None:
    """The CPU library of the `libggml-python` package, where that is installed."""
    spec = util.find_spec(_PORTABLE_MODULE)
    for place in (spec and spec.submodule_search_locations) or ():
        path = Path(place) / "lib64" / LIBRARY
        if path.is_file():
            return path
    return None


def link(library: Path, folder: Path) -> Path:
    """A folder that holds `library` alone, since its neighbours must not be found too."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / library.name
    if not place.is_symlink() or Path(os.readlink(place)) != library:
        # Two processes may do this at once; each replaces whatever is there in one step.
        made = folder / f".{library.name}.{os.getpid()}"
        made.unlink(missing_ok=True)
        made.symlink_to(library)
        made.replace(place)
    return folder


def missing(used: Collection[str], flags: Collection[str]) -> tuple[str, ...]:
    """What a library uses that a processor with these flags has not; nothing for no flags.

    Where Linux does not tell a processor's flags, a library is taken to run.
    """
    return tuple(name for name in used if flags and _FLAGS[name] not in flags)


def processor_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """What Linux says that this processor can do; nothing where it does not say."""
    if platform.machine() != "x86_64" or not cpuinfo.is_file():
        return frozenset()
    match = re.search(r"^flags\s*:\s*(.+)$", cpuinfo.read_text(errors="replace"), re.MULTILINE)
    return frozenset(match.group(1).split()) if match else frozenset()


def _suits(library: Path, flags: frozenset[str]) -> bool:
    used = features_of(library, library.stat().st_mtime_ns)
    return used is not None and not missing(used, flags)


@lru_cache(maxsize=8)
def features_of(library: Path, _mtime_ns: int) -> tuple[str, ...] | None:
    """What the library was compiled to use; None when it cannot even be opened."""
    try:
        done = subprocess.run(
            [sys.executable, "-ISs", "-c", _ASK, str(library), *_FLAGS],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return tuple(done.stdout.decode().split()) if done.returncode == 0 else None
