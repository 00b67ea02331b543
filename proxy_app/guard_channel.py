"""Our end of the channel to a guard: what is said on it, in our own terms."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended. Both numbers are None when its guard was killed and nobody saw."""

    code: int | None
    signal: int | None
    log_lines: tuple[str, ...] = ()
    """Its newest output, some kilobytes of it."""

    def __str__(self) -> str:
        if self.signal is not None:
            return f"killed by {signal_name(self.signal)}"
        return "unseen" if self.code is None else f"exit code {self.code}"


def signal_name(number: int) -> str:
    """`SIGKILL` for 9, and `signal 99` for what has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Channel(asyncio.Protocol):
    """Our end of a guard's control channel."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.ended = asyncio.Event()
        self.over = asyncio.Event()
        """Nothing of the child is alive, or nobody is left to tell."""
        self.lost = asyncio.Event()
        self.started: dict[str, int | None] | None = None
        self.failed: dict[str, Any] | None = None
        self.exit: Exit | None = None
        self.gone = False
        """The guard saw that nothing of the child is alive."""
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._on_message(json.loads(line))

    def _on_message(self, message: dict[str, Any]) -> None:
        if "exited" in message:
            self.exit = _exit(**message["exited"])
            self.ended.set()
            return
        if "gone" in message:
            self.gone = True
            self.over.set()
            return
        self.started = message.get("started")
        self.failed = message.get("failed")
        self.answered.set()

    def connection_lost(self, error: Exception | None) -> None:
        for event in (self.answered, self.ended, self.over, self.lost):
            event.set()

    def send(self, message: dict[str, Any]) -> None:
        """Tell the guard; one that is gone needs no telling."""
        if not self.transport.is_closing():
            self.transport.write(json.dumps(message).encode() + b"\n")


def _exit(code: int | None, signal: int | None, tail: str) -> Exit:
    return Exit(code, signal, tuple(tail.splitlines()))


_EXEC_PROBLEMS = {
    errno.ENOENT: "there is no program {program}, or the interpreter it names is missing",
    errno.ENOTDIR: "there is no program {program}",
    errno.EACCES: "{program} may not be executed (permission denied)",
    errno.EPERM: "{program} may not be executed (permission denied)",
    errno.ENOEXEC: "{program} is not a program that this machine can execute",
    errno.E2BIG: "its command line and environment are too long",
}


def explain(order: Mapping[str, Any], errno: int, step: str) -> str:
    """Why a program could not be started, in words for the person who configured it."""
    why = os.strerror(errno)
    if step == "cwd":
        return f"its working directory {order['cwd']} cannot be entered ({why})"
    if step == "log":
        return f"its log file {order['log']} cannot be written ({why})"
    problem = _EXEC_PROBLEMS.get(errno, "{program} could not be executed ({why})")
    return problem.format(program=order["argv"][0], why=why)
