"""The guard's program, ready to be started quickly."""

from __future__ import annotations

import importlib.util
import py_compile
import sys
from functools import cache
from pathlib import Path


@cache
def guard_program() -> Path:
    """The guard as bytecode without docstrings, or its source where that cannot be written.

    A script is compiled at each start, which takes 6 ms and leaves a megabyte behind.
    """
    source = Path(__file__).with_name("guard.py")
    try:
        _compiled(source.with_name("guarded_engine.py"))
        return _compiled(source)
    except OSError:
        return source


def _compiled(source: Path) -> Path:
    compiled = importlib.util.cache_from_source(str(source), optimization=2)
    py_compile.compile(str(source), cfile=compiled, doraise=True, optimize=2)
    return Path(compiled)


def guard_command(channel: int) -> list[str]:
    """What starts a guard that talks over this inherited descriptor."""
    root = Path(__file__).parent.parent
    options = ("-I", "-S", "-B", "-OO", "-X", "utf8")
    return [sys.executable, *options, str(guard_program()), str(channel), str(root)]
