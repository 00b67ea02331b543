"""Which live processes are ours, told apart from strangers that got the same number later.

A process we started is known by its pid, the kernel's start time and its command line. Its
children are known by its session, and by a random token in their environment: the token still
tells when the process itself is gone and its number may be somebody else's.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "GUARD_TOKEN"
"""Names the token in the environment of every process that a guard starts."""

KILL_ROUNDS = 25
KILL_ROUND_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Identity:
    """What is remembered of a process we started."""

    pid: int
    start_time: int
    """As `start_time()` told it; 0 if the process was gone before it could be asked."""
    argv: tuple[str, ...]
    token: str


def start_time(pid: int) -> int | None:
    """When the kernel started a process, None if there is no such process.

    On Linux in clock ticks since boot, elsewhere in microseconds since 1970: good for comparing
    on the same machine, for nothing else.
    """
    stat = Path(f"/proc/{pid}/stat")
    try:
        return int(stat.read_bytes().rpartition(b")")[2].split()[19])
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        return int(psutil.Process(pid).create_time() * 1_000_000)
    except psutil.Error:
        return None


def processes(identity: Identity) -> list[psutil.Process]:
    """All live processes of this identity: itself, its session and who carries its token."""
    leads = _is_leader(identity)
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _belongs(process, identity, leads)
    ]


def end(identity: Identity, grace: float) -> bool:
    """End all processes of this identity; False if there were none.

    SIGTERM first, after `grace` seconds SIGKILL; with no grace SIGKILL at once. Blocks.
    """
    ours = processes(identity)
    if not ours:
        return False
    if grace > 0:
        _send(ours, signal.SIGTERM)
        psutil.wait_procs(ours, timeout=grace)
    for _ in range(KILL_ROUNDS):
        ours = [process for process in ours if _lives(process)]
        ours += [process for process in processes(identity) if process not in ours]
        if not ours:
            return True
        _send(ours, signal.SIGKILL)
        psutil.wait_procs(ours, timeout=KILL_ROUND_SECONDS)
    logger.error("Processes that cannot be killed: %s", [process.pid for process in ours])
    return True


def _is_leader(identity: Identity) -> bool:
    if start_time(identity.pid) != identity.start_time:
        return False
    try:
        return _same_command(psutil.Process(identity.pid).cmdline(), identity.argv)
    except psutil.Error:
        return False


def _same_command(seen: Sequence[str], argv: Sequence[str]) -> bool:
    """The kernel puts a script's interpreter in front, so the arguments are compared from the end.

    A program without arguments is compared by its own name.
    """
    if len(argv) > 1:
        return list(seen[-len(argv) + 1 :]) == list(argv[1:])
    return bool(seen) and os.path.basename(seen[-1]) == os.path.basename(argv[0])


def _belongs(process: psutil.Process, identity: Identity, leads: bool) -> bool:
    try:
        if not _lives(process):
            return False
        if leads and os.getsid(process.pid) == identity.pid:
            return True
        return process.environ().get(TOKEN_VARIABLE) == identity.token
    except (psutil.Error, OSError):
        return False  # It has ended meanwhile, or belongs to another user.


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _send(ours: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in ours:
        try:
            process.send_signal(number)
        except psutil.Error:
            logger.debug("Process %s ended by itself", process.pid)
