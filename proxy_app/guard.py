"""The small parent that each engine has, so that no engine outlives the server.

Run as `python -I -S -B -OO guard.py FD ROOT`; ROOT is where `proxy_app` lies, FD one end of a
socket pair to the server, the control channel. It carries one JSON object a line. The server sends

    {"argv": [...], "env": {...}, "cwd": path or null, "log": path, "log_bytes": n, "grace": s,
     "stop_argv": [...], "folder": path, "token": text}
    {"stop": {"grace": s}}
    {"keep": {"wait": s}}

the first once, the others as often as it likes. `stop_argv`, when it is not empty, is executed in
place of the first SIGTERM, with the engine's pid for ${PID}. The guard answers

    {"started": {"pid": n, "start_time": n or null}}
    {"failed": {"errno": n, "step": "log" or "cwd" or "exec"}}     instead of "started"
    {"exited": {"code": n or null, "signal": n or null, "tail": "the newest output"}}
    {"gone": true}                         when nothing of the engine is alive any more

and ends. When the server closes the
channel, however it ended, the guard stops the engine by itself and goes, unless it was told to
`keep` it: then it waits so many seconds for another server to come to the socket `token`.sock in
`folder` and to say

    {"adopt": {"token": text}}

which it answers with "started" as before; that connection is its channel from then on. How an
engine ended that no server could be told of lies in `token`.exit, as "exited" tells it.

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

if __name__ == "__main__":
    sys.path.append(sys.argv[2])

from proxy_app.guarded_engine import READ_BYTES, Engine, Linux, Refused, start_time

LEFTOVER_SECONDS = 0.5
"""How long children that the engine left behind have between SIGTERM and SIGKILL."""

DEFAULT_GRACE = 2.0

TYPE_CHECKING = False  # `typing` itself would cost another megabyte.
if TYPE_CHECKING:
    from typing import Any


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

    def close(self) -> None:
        os.close(self.descriptor)

    def send(self, message: str) -> None:
        """Tell the server; if it is gone, the next read says so."""
        data = message.encode() + b"\n"
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except ConnectionError:
            return


class Door:
    """Where another server can come in after the first is gone: a socket of the owner alone."""

    def __init__(self, folder: str, name: str) -> None:
        # Here, since most guards never need it.
        import _socket

        self._socket: Any = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._path = os.path.join(folder, name)
        os.chdir(folder)  # The address of a socket takes no more than 107 bytes.
        before = os.umask(0o177)
        try:
            self._socket.bind(name)
        finally:
            os.umask(before)
        self._socket.listen(4)
        self.descriptor: int = self._socket.fileno()

    def accept(self) -> Channel:
        descriptor, _ = self._socket._accept()
        return Channel(descriptor)

    def close(self) -> None:
        os.unlink(self._path)
        self._socket.close()


class Guard:
    """Ties one engine to the control channel."""

    def __init__(self, channel: Channel, engine: Engine, order: dict[str, Any]) -> None:
        self._channel: Channel | None = channel
        self._door: Door | None = None
        self._engine = engine
        self._order = order
        self._grace = order.get("grace", DEFAULT_GRACE)
        self._wait = 0.0
        self._until: float | None = None
        """When the engine is ended unless a server has come by then."""
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
            for descriptor, _ in self._poll.poll(self._milliseconds()):
                self._attend(descriptor)
            self._reap()
            self._end_if_nobody_came()
            self._engine.step()
        self._engine.drain()
        if self._door is not None:
            self._door.close()
        if self._channel is not None:
            # Our own end would tell it as well, but only milliseconds later.
            self._channel.send('{"gone": true}')

    def _milliseconds(self) -> float | None:
        engine = self._engine.wait_milliseconds()
        if self._until is None:
            return engine
        ours = max(0.0, self._until - time.monotonic()) * 1000 + 1
        return ours if engine is None else min(ours, engine)

    def _attend(self, descriptor: int) -> None:
        if self._channel is not None and descriptor == self._channel.descriptor:
            self._listen(self._channel)
        elif self._door is not None and descriptor == self._door.descriptor:
            self._let_in(self._door)
        elif descriptor == self._engine.output:
            self._copy()
        elif descriptor == self._wakeup:
            os.read(self._wakeup, 4096)

    def _listen(self, channel: Channel) -> None:
        messages = channel.read()
        if messages is None:
            self._lose(channel)
            return
        for message in messages:
            self.obey(message)

    def obey(self, message: dict[str, Any]) -> None:
        if "stop" in message:
            self._engine.stop(message["stop"]["grace"])
        elif "keep" in message:
            self._wait = message["keep"]["wait"]
        elif message.get("adopt", {}).get("token") == self._order["token"]:
            self._adopted()

    def _lose(self, channel: Channel) -> None:
        self._poll.unregister(channel.descriptor)
        channel.close()
        self._channel = None
        if self._engine.stopping or self._wait <= 0:
            self._engine.stop(self._grace)
            return
        if self._until is None:
            self._until = time.monotonic() + self._wait
        try:
            self._door = self._door or Door(self._order["folder"], self._order["token"] + ".sock")
            self._poll.register(self._door.descriptor, select.POLLIN)
        except OSError:  # Nobody could come in.
            self._engine.stop(self._grace)

    def _let_in(self, door: Door) -> None:
        """Whoever comes in is alone with us; the door is watched again when they leave."""
        try:
            self._channel = door.accept()
        except OSError:
            return
        self._poll.unregister(door.descriptor)
        self._poll.register(self._channel.descriptor, select.POLLIN)

    def _adopted(self) -> None:
        assert self._channel is not None
        self._until = None
        if self._door is not None:
            self._door.close()
            self._door = None
        self._channel.send(started(self._engine))
        if self._engine.status is not None:
            self._channel.send(exited(self._engine))

    def _end_if_nobody_came(self) -> None:
        if self._until is not None and time.monotonic() >= self._until:
            self._until = None
            self._engine.stop(self._grace)

    def _copy(self) -> None:
        if not self._engine.read_output():
            self._poll.unregister(self._engine.output)

    def _reap(self) -> None:
        if not self._engine.reap():
            return
        self._engine.drain()
        if self._channel is not None:
            self._channel.send(exited(self._engine))
        else:
            self._record(exited(self._engine))
        self._until = None
        self._engine.stop(LEFTOVER_SECONDS)

    def _record(self, message: str) -> None:
        """For the next server; without it the engine would just have vanished."""
        if "folder" not in self._order:
            return
        path = os.path.join(self._order["folder"], self._order["token"] + ".exit")
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.write(file, message.encode())
            os.close(file)
        except OSError:
            return


def started(engine: Engine) -> str:
    since = start_time(engine.pid)
    known = "null" if since is None else since
    return f'{{"started": {{"pid": {engine.pid}, "start_time": {known}}}}}'


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
    channel.send(started(engine))
    guard = Guard(channel, engine, order)
    for message in messages[1:]:
        guard.obey(message)
    guard.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
    os._exit(0)  # The server waits for our end; tidying up the interpreter takes 3 ms.
