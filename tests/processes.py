"""Looks at real processes, for tests that start and end them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

HANG_SECONDS = 60.0
"""No test waits longer for anything; a guard against hanging, not a measure."""

ROOT = Path(__file__).resolve().parent.parent


def eventually(true: Callable[[], object]) -> bool:
    """Whether it became true before the hang guard."""
    deadline = time.monotonic() + HANG_SECONDS
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and is not reaped yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def children_of(pid: int) -> list[int]:
    """The live direct children of a process."""
    return [child.pid for child in psutil.Process(pid).children() if alive(child.pid)]


def command_of(pid: int) -> str:
    """The command line of a process; empty if it has none any more."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


def session_members(leader: int) -> list[int]:
    """The live processes of the session that `leader` began."""
    members = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == leader and alive(pid):
                members.append(pid)
        except ProcessLookupError:
            continue
    return members


def fake_engine(*options: str, port: str = "${PORT}") -> tuple[str, ...]:
    """The command of a fake engine; it is to be run in the repository's folder."""
    return (sys.executable, "-m", "tests.fake_engine", "--port", port, *options)


def child_in(log: Path) -> int | None:
    """The pid of the child that a fake engine with --fork-child wrote of."""
    text = log.read_text() if log.exists() else ""
    for line in text.splitlines():
        if line.startswith("fake: child "):
            return int(line.split()[-1])
    return None
