"""A container of `docker-compose.yml` without Docker: the same command in namespaces of its own.

It has its own processes, and its own tree of files, which holds the system's programs, what the
image would hold, and its volumes, each at the path it has in the image. All but volumes, `/tmp` and
`/dev` is read-only. Its program runs as an ordinary user without any capability, and can gain none.
The network, and how much memory there is, stay those of the machine.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/etc", "/sys")
STOP_LIMIT_SECONDS: Final = 60.0


@dataclass(frozen=True)
class User:
    """Whom a container's program runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Shape:
    """What a container is made of: as much of a service as there is without Docker."""

    command: Sequence[str]
    user: User
    environment: Mapping[str, str]
    folder: str = "/"
    """Where the command runs."""
    writable: Mapping[str, Path] = field(default_factory=dict)
    """Volumes: path inside -> folder outside."""
    readable: Mapping[str, Path] = field(default_factory=dict)
    """What the image holds, secrets and read-only volumes: path inside -> path outside."""
    init: bool = False
    """Whether a small init is process 1 rather than the program."""
    shared_memory: str = "64m"


def can_run() -> bool:
    """Whether this machine lets us make namespaces: for that one must be root, and not confined."""
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True)
    return tried.returncode == 0


class Container:
    """One run of a shape: started, looked into, stopped or killed."""

    def __init__(self, shape: Shape, scratch: Path) -> None:
        self._shape = shape
        self._root = scratch / "root"
        self._root.mkdir(parents=True, exist_ok=True)
        self.console = scratch / "console.txt"
        self._outer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when its process 1 is there, whatever it does next."""
        script = "\n".join(("set -e", *self._tree(), f"exec {shlex.join(self._program())}"))
        with self.console.open("ab") as out:
            self._outer = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        deadline = time.monotonic() + STOP_LIMIT_SECONDS
        while self.is_running() and not self._first():
            if time.monotonic() > deadline:
                raise AssertionError(f"It has no process 1.\n{self.said()}")
            time.sleep(0.01)

    def run(self, words: Sequence[str], limit: float = 120.0) -> subprocess.CompletedProcess[str]:
        """What `docker exec` does: a command in there, as the same user with the same variables."""
        first = self._first()
        if first is None:
            return subprocess.CompletedProcess(words, 1, "", "It does not run.")
        enter = ["nsenter", "--target", str(first.pid), "--mount", "--pid", "--root"]
        # `timeout` stands inside, so that what takes too long is ended there as well.
        ended = ["timeout", "--signal=KILL", str(limit)]
        return subprocess.run(
            [*enter, *self._as_user(), *ended, *words],
            capture_output=True,
            text=True,
            check=False,
        )

    def stop(self, how: signal.Signals = signal.SIGTERM, grace: float = 10.0) -> int | None:
        """As `docker stop` does: after the grace everything in it is killed."""
        if self._outer is None:
            return None
        if first := self._first():
            first.send_signal(how)
        try:
            status = self._outer.wait(grace)
        except subprocess.TimeoutExpired:
            self._outer.kill()
            status = self._outer.wait(STOP_LIMIT_SECONDS)
        self._outer = None
        return status

    def kill(self) -> None:
        """Everything in it ends at once."""
        self.stop(signal.SIGKILL)

    def is_running(self) -> bool:
        return self._outer is not None and self._outer.poll() is None

    def said(self) -> str:
        return self.console.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """All in it, the program first."""
        first = self._first()
        if first is None:
            return []
        with suppress(psutil.Error):
            found = [first, *first.children(recursive=True)]
            return found[1:] if self._shape.init else found
        return []

    def _first(self) -> psutil.Process | None:
        if not self.is_running():
            return None
        assert self._outer is not None
        with suppress(psutil.Error):
            return next(iter(psutil.Process(self._outer.pid).children()), None)
        return None

    # ---- How it is made ----------------------------------------------------------------------

    def _tree(self) -> list[str]:
        """Shell commands that build the tree under the root, and close it."""
        root = str(self._root)
        lines = [
            "mount --make-rprivate /",
            f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(root)}",
        ]
        # First, so that they do not hide a checkout that lies in one of them.
        for path, options in (
            ("/tmp", "mode=1777"),
            ("/dev/shm", f"mode=1777,size={self._shape.shared_memory}"),
        ):
            lines += [f"mkdir -p {root}{path}", f"mount -t tmpfs -o {options} tmpfs {root}{path}"]
        lines += self._system()
        lines += [self._bind(path, outside, "ro") for path, outside in self._shape.readable.items()]
        lines += [self._bind(path, outside, "rw") for path, outside in self._shape.writable.items()]
        lines += [f"mkdir -p {root}/proc", f"mount -t proc proc {root}/proc"]
        return [*lines, f"mount -o remount,ro {root}"]

    def _system(self) -> list[str]:
        """The system's programs, and the interpreter and packages that run these tests."""
        lines = []
        for path in SYSTEM:
            if os.path.islink(path):
                lines.append(f"ln -s {os.readlink(path)} {self._root}{path}")
            elif os.path.isdir(path):
                lines.append(self._bind(path, Path(path), "ro"))
        for path in {sys.base_prefix, sys.prefix, os.path.realpath(sys.prefix)}:
            if not path.startswith(SYSTEM):
                lines.append(self._bind(path, Path(path), "ro"))
        lines.append(f"ln -s {sys.prefix} {self._root}/venv")
        lines.append(f"mkdir -p {self._root}/dev && mount --rbind /dev {self._root}/dev")
        return lines

    def _bind(self, path: str, outside: Path, how: str) -> str:
        """`mkdir`, else `touch`: what is bound needs something of its kind to be bound to."""
        inside, outer = shlex.quote(f"{self._root}{path}"), shlex.quote(str(outside))
        make = f"mkdir -p {inside}"
        if outside.is_file():
            make = (
                f"mkdir -p {os.path.dirname(inside)} && {{ test -e {inside} || touch {inside}; }}"
            )
        bind = f"{make} && mount --bind {outer} {inside}"
        return bind if how == "rw" else f"{bind} && mount -o remount,bind,ro {inside}"

    def _program(self) -> list[str]:
        init = ["tini", "--"] if self._shape.init else []
        return ["chroot", str(self._root), *self._as_user(), *init, *self._shape.command]

    def _as_user(self) -> list[str]:
        """Without capabilities and ways to get any, and with no variable but its own."""
        user = self._shape.user
        drop = ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]
        drop += ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
        own = [f"{name}={value}" for name, value in self._shape.environment.items()]
        return [*drop, "env", "--ignore-environment", f"--chdir={self._shape.folder}", *own]
