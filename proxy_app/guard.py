"""The small parent that each engine has, so that no engine outlives the server.

Run as `python -I -S -B guard.py FD`; FD is one end of a socket pair to the server, the control
channel. It carries one JSON object a line. The server sends

    {"argv": [...], "env": {...}, "cwd": path or null, "log": path, "log_bytes": n, "grace": s}
    {"stop": {"grace": s}}

the first once, the second as often as it likes. The guard answers

    {"started": {"pid": n, "start_time": n or null}}
    {"failed": {"errno": n, "step": "log" or "cwd" or "exec"}}     instead of "started"
    {"exited": {"code": n or null, "signal": n or null, "tail": "the newest output"}}

and closes the channel when nothing of the engine is alive any more. When the server closes the
channel, however it ended, the guard stops the engine by itself and goes.

A guard waits for its first message as long as it takes, so one can be started ahead of time.
One of these runs for every engine and its memory counts: it has a single thread, imports nothing
of ours, and takes the C halves `_json` and `_signal`, since `json` and `signal` would drag in
`re` and `enum`, 1.5 MB more.
"""

from __future__ import annotations

import _json
import _signal  # type: ignore[import-not-found]
import os
import select
import sys
import time

TAIL_BYTES = 8 * 1024
"""How much of the newest output is told when the engine has exited."""

READ_BYTES = 64 * 1024
LEFTOVER_SECONDS = 0.5
"""How long children that the engine left behind have between SIGTERM and SIGKILL."""

KILL_AGAIN_SECONDS = 0.05
"""SIGKILL is repeated so often until all are gone: one may have forked meanwhile."""

DEFAULT_GRACE = 2.0
RESET = ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGXFSZ")
"""What the guard, or Python, ignores; a program inherits that, so each is set back for it."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

TYPE_CHECKING = False  # `typing` itself would cost another megabyte.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn


class Decoding:
    """What `_json.make_scanner` wants to know."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


decode = _json.make_scanner(Decoding)  # type: ignore[arg-type]
quote = _json.encode_basestring_ascii


def prepare(channel: int) -> None:
    """Keep the channel to ourselves; be deaf to a terminal; have all three standard streams."""
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(null)
    os.set_inheritable(channel, False)
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(number, _signal.SIG_IGN)


class Linux:
    """What only this kernel offers, or nothing at all elsewhere."""

    def __init__(self) -> None:
        self.adopts = False
        """Orphans below us become our children, so none gets lost and all are reaped."""
        if sys.platform == "linux":
            import ctypes

            self._prctl = ctypes.CDLL(None).prctl
            self.adopts = self._prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0

    def die_with(self, parent: int) -> None:
        """Be killed when our parent ends; end now if it has already."""
        if sys.platform == "linux":
            self._prctl(PR_SET_PDEATHSIG, _signal.SIGKILL, 0, 0, 0)
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

    def _rotate(self) -> None:
        if os.path.exists(self._path):  # Somebody may have removed it.
            os.replace(self._path, self._path + ".1")
        fresh = self._open(os.O_TRUNC)
        os.close(self._file)
        self._file, self._size = fresh, 0


class Channel:
    """The control channel: JSON objects, one a line."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._received = b""

    def read(self) -> list[dict[str, Any]] | None:
        """What has arrived, whole messages only; None when the server is gone."""
        try:
            data = os.read(self.descriptor, READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [decode(line.decode(), 0)[0] for line in lines]

    def send(self, message: str) -> None:
        """Tell the server; if it is gone, the next read says so."""
        data = message.encode() + b"\n"
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except ConnectionError:
            return


class Engine:
    """One engine's process group: its start, its output, its end and that of what it left."""

    def __init__(self, order: dict[str, Any], linux: Linux) -> None:
        """Start it. Raises Refused."""
        self._linux = linux
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
        self._steps = first + again if grace > 0 else [(now, _signal.SIGKILL)]
        self.step()

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
            else:
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


class Guard:
    """Ties one engine to the control channel."""

    def __init__(self, channel: Channel, engine: Engine, grace: float) -> None:
        self._channel = channel
        self._engine = engine
        self._grace = grace
        self._poll = select.poll()
        self._poll.register(channel.descriptor, select.POLLIN)
        self._poll.register(engine.output, select.POLLIN)
        self._wakeup, wake = os.pipe()
        for end in (self._wakeup, wake):
            os.set_blocking(end, False)
        self._poll.register(self._wakeup, select.POLLIN)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Until nothing of the engine is alive."""
        self._reap()
        while not self._engine.gone:
            for descriptor, _ in self._poll.poll(self._engine.wait_milliseconds()):
                if descriptor == self._channel.descriptor:
                    self._listen()
                elif descriptor == self._engine.output:
                    self._copy()
                else:
                    os.read(self._wakeup, 4096)
            self._reap()
            self._engine.step()
        self._engine.drain()

    def _listen(self) -> None:
        messages = self._channel.read()
        if messages is None:
            self._poll.unregister(self._channel.descriptor)
            self._engine.stop(self._grace)
            return
        for message in messages:
            self._engine.stop(message["stop"]["grace"])

    def _copy(self) -> None:
        if not self._engine.read_output():
            self._poll.unregister(self._engine.output)

    def _reap(self) -> None:
        if not self._engine.reap():
            return
        self._engine.drain()
        self._channel.send(exited(self._engine))
        self._engine.stop(LEFTOVER_SECONDS)


def exited(engine: Engine) -> str:
    code = os.waitstatus_to_exitcode(engine.status or 0)
    tail = quote(engine.log.tail.decode("utf-8", "replace"))
    ended = f'"code": {code}, "signal": null' if code >= 0 else f'"code": null, "signal": {-code}'
    return f'{{"exited": {{{ended}, "tail": {tail}}}}}'


def main(descriptor: int) -> None:
    prepare(descriptor)
    linux = Linux()
    channel = Channel(descriptor)
    messages: list[dict[str, Any]] | None = []
    while not messages:
        messages = channel.read()
        if messages is None:
            return
    order = messages[0]
    try:
        engine = Engine(order, linux)
    except Refused as refused:
        channel.send(f'{{"failed": {{"errno": {refused.number}, "step": "{refused.step}"}}}}')
        return
    since = start_time(engine.pid)
    known = "null" if since is None else since
    channel.send(f'{{"started": {{"pid": {engine.pid}, "start_time": {known}}}}}')
    guard = Guard(channel, engine, order.get("grace", DEFAULT_GRACE))
    for message in messages[1:]:
        engine.stop(message["stop"]["grace"])
    guard.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
    os._exit(0)  # The server waits for our end; tidying up the interpreter takes 3 ms.
