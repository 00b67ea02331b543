"""What a guard looks after: one engine's process group and its log. Only `guard.py` uses it.

As there, memory counts: the standard library alone, and of that as little as can be.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import sys
import time

TAIL_BYTES = 8 * 1024
"""How much of the newest output is told when the engine has exited."""

READ_BYTES = 64 * 1024
KILL_AGAIN_SECONDS = 0.05
"""SIGKILL is repeated so often until all are gone: one may have forked meanwhile."""

PID = "${PID}"
"""Stands for the engine's process id in its stop command."""

RESET = ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGXFSZ")
"""What the guard, or Python, ignores; a program inherits that, so each is set back for it."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

TYPE_CHECKING = False  # `typing` itself would cost another megabyte.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn


class Linux:
    """What only this kernel offers, or nothing at all elsewhere."""

    def __init__(self) -> None:
        self.adopts = False
        """Orphans below us become our children, so none gets lost and all are reaped."""
        if sys.platform == "linux":
            # The half of ctypes that is written in C; the other one takes 400 KB.
            import _ctypes

            self._ctypes: Any = _ctypes
            self._prctl = self._ctypes.dlsym(self._ctypes.dlopen(None, 0), "prctl")
            self.adopts = self._call(PR_SET_CHILD_SUBREAPER, 1) == 0

    def _call(self, option: int, argument: int) -> int:
        answer: int = self._ctypes.call_function(self._prctl, (option, argument, 0, 0, 0))
        return answer

    def die_with(self, parent: int) -> None:
        """Be killed when our parent ends; end now if it has already."""
        if sys.platform == "linux":
            self._call(PR_SET_PDEATHSIG, _signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(127)


def children() -> list[int] | None:
    """Our direct children, or None where the kernel does not list them."""
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as listing:
            return [int(child) for child in listing.read().split()]
    except OSError:
        return None


def start_time(pid: int) -> int | None:
    """The kernel's start time of a process, in clock ticks since boot; None if it has no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as stat:
            return int(stat.read().rpartition(b")")[2].split()[19])
    except OSError:
        return None


class Refused(Exception):
    """The engine could not be started; `step` is "log", "cwd" or "exec"."""

    def __init__(self, number: int | None, step: str) -> None:
        super().__init__(number, step)
        self.number = number or 0
        self.step = step


class Log:
    """The engine's output on disk: one file and one older one, each about `limit` bytes."""

    def __init__(self, path: str, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._file = self._open()
        self._size = os.fstat(self._file).st_size
        self.tail = b""

    def _open(self, flags: int = 0) -> int:
        flags |= os.O_WRONLY | os.O_APPEND | os.O_CREAT
        return os.open(self._path, flags, 0o600)

    def write(self, data: bytes) -> None:
        """Append; a full disk loses output, but does not take the engine down."""
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        try:
            if self._size and self._size + len(data) > self._limit:
                self._rotate()
            self._size += os.write(self._file, data)
        except OSError:
            return

    def become_output(self) -> None:
        """Have what this process prints appended to the file."""
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)

    def _rotate(self) -> None:
        if os.path.exists(self._path):  # Somebody may have removed it.
            os.replace(self._path, self._path + ".1")
        fresh = self._open(os.O_TRUNC)
        os.close(self._file)
        self._file, self._size = fresh, 0


class Engine:
    """One engine's process group: its start, its output, its end and that of what it left."""

    def __init__(self, order: dict[str, Any], linux: Linux) -> None:
        """Start it. Raises Refused."""
        self._linux = linux
        self._stop_argv = order.get("stop_argv") or []
        self._stopper: int | None = None
        self._env = order["env"]
        try:
            self.log = Log(order["log"], order["log_bytes"])
        except OSError as error:
            raise Refused(error.errno, "log") from error
        self.output, ours = os.pipe()
        os.set_blocking(self.output, False)
        try:
            self.pid = self._spawn(order, ours)
        finally:
            os.close(ours)
        self.status: int | None = None
        self.gone = False
        self._steps: list[tuple[float, int]] = []

    def _spawn(self, order: dict[str, Any], output: int) -> int:
        told, tell = os.pipe()
        guard = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(order, guard, output, tell)
        os.close(tell)
        trouble = os.read(told, 100)  # Ends without a byte when the program was executed.
        os.close(told)
        if trouble:
            os.waitpid(pid, 0)
            number, step = trouble.decode().split()
            raise Refused(int(number), step)
        return pid

    def _become(self, order: dict[str, Any], guard: int, output: int, tell: int) -> NoReturn:
        step = "cwd"
        try:
            os.setsid()
            self._linux.die_with(guard)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            for name in RESET:
                _signal.signal(getattr(_signal, name), _signal.SIG_DFL)
            if order["cwd"] is not None:
                os.chdir(order["cwd"])
            step = "exec"
            os.execvpe(order["argv"][0], order["argv"], order["env"])
        except OSError as error:
            os.write(tell, f"{error.errno} {step}".encode())
        finally:
            os._exit(127)

    def read_output(self) -> bool:
        """Move waiting output to the log; False when no more will come."""
        try:
            data = os.read(self.output, READ_BYTES)
        except BlockingIOError:
            return True
        self.log.write(data)
        return bool(data)

    def drain(self) -> None:
        """Take what the pipe held when the engine ended, not what a child goes on writing."""
        for _ in range(16):
            if not self.read_output():
                return

    def reap(self) -> bool:
        """Collect who has ended; True if the engine itself is among them."""
        before = self.status
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self.pid:
                    self.status = status
        except ChildProcessError:
            self.gone = self._linux.adopts or not self._group_alive()
        return before is None and self.status is not None

    def _group_alive(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def stop(self, grace: float) -> None:
        """SIGTERM, after half the grace again, then SIGKILL. The sooner of two stops counts."""
        now = time.monotonic()
        if self._steps and self._steps[-1][0] <= now + grace:
            return
        again = [(now + grace / 2, _signal.SIGTERM), (now + grace, _signal.SIGKILL)]
        first = [] if self._steps else [(now, _signal.SIGTERM)]
        if first and self._stop_argv and self.status is None and grace > 0:
            self._run_stop_command()
            first = []
        self._steps = first + again if grace > 0 else [(now, _signal.SIGKILL)]
        self.step()

    @property
    def stopping(self) -> bool:
        return bool(self._steps)

    def _run_stop_command(self) -> None:
        """Its output goes to the log. One that cannot be executed is no loss: SIGTERM follows."""
        argv = [word.replace(PID, str(self.pid)) for word in self._stop_argv]
        self._stopper = os.fork()
        if self._stopper == 0:
            try:
                os.setsid()
                self.log.become_output()
                for name in RESET:
                    _signal.signal(getattr(_signal, name), _signal.SIG_DFL)
                os.execvpe(argv[0], argv, self._env)
            except OSError as error:
                os.write(2, f"{argv[0]} could not be executed: {error.strerror}\n".encode())
            finally:
                os._exit(127)

    def step(self) -> None:
        """Send what is due."""
        now = time.monotonic()
        while self._steps and self._steps[0][0] <= now:
            _, number = self._steps.pop(0)
            self._signal(number)
            if not self._steps:
                self._steps = [(now + KILL_AGAIN_SECONDS, _signal.SIGKILL)]

    def wait_milliseconds(self) -> float | None:
        """How long until something is due; None if nothing is."""
        if not self._steps:
            return None
        return max(0.0, self._steps[0][0] - time.monotonic()) * 1000 + 1

    def _signal(self, number: int) -> None:
        """To the whole group, and to any child that left the group.

        Once the engine is reaped its number may belong to a stranger, unless a member of the
        group still holds it.
        """
        ours = children()
        strays = []
        held = self.status is None or ours is None
        for child in ours or ():
            if group_of(child) == self.pid:
                held = True
            elif child != self._stopper or number == _signal.SIGKILL:
                strays.append(child)
        if held:
            send(os.killpg, self.pid, number)
        for child in strays:
            send(os.kill, child, number)


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def send(kill: Callable[[int, int], None], target: int, number: int) -> None:
    try:
        kill(target, number)
    except (ProcessLookupError, PermissionError):
        return  # It has just ended, or runs as somebody else by its own doing.
