"""A stand-in for llama-server with a switch for every fault.

    python -m tests.fake_engine --port 8080 --load-seconds 2 --ignore-sigterm

Flags of the real llama-server are taken and ignored. What a single request may ask for is in
`tests.fake_replies.Faults`; `--fake` sets the same for all requests. Stopping follows the real
engine: SIGTERM ends an idle one with 0; a busy one waits for its connections to close, and a
second SIGTERM ends it at once with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import time
from functools import partial
from pathlib import Path

import uvloop

from tests.fake_replies import Faults
from tests.fake_server import Engine, EngineProtocol

FAILURES = {
    "weights": [
        "alloc_tensor_range: failed to allocate CPU buffer of size 17179869184",
        "llama_model_load: error loading model: unable to allocate CPU buffer",
    ],
    "kv": [
        "ggml_aligned_malloc: insufficient memory (attempted to allocate 65536.00 MB)",
        "llama_init_from_model: failed to initialize the context: "
        "failed to allocate buffer for kv cache",
    ],
    "compute": [
        "ggml_aligned_malloc: insufficient memory (attempted to allocate 8192.00 MB)",
        "graph_reserve: failed to allocate compute pp buffers",
    ],
    "projector": ["GGML_ASSERT(buffer) failed"],
    "flag": ["error: invalid argument: --no-such-flag"],
    "architecture": ["llama_model_load: error loading model: unknown model architecture: 'x'"],
    "truncated": [
        "llama_model_load: error loading model: tensor 'output.weight' "
        "data is not within the file bounds, model is corrupted or incomplete"
    ],
    "missing": [
        "gguf_init_from_file: failed to open GGUF file 'x.gguf' (No such file or directory)"
    ],
    "port": ["srv    start: couldn't bind HTTP server socket, hostname: 127.0.0.1"],
    "silent": [],
}
"""What the real engine prints before it dies while loading, by cause."""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--model", "-m", default="fake.gguf", help="its stem names the model")
    parser.add_argument("--alias", help="names the model instead")
    load = parser.add_argument_group("loading")
    load.add_argument("--load-seconds", type=float, default=0, help="/health is 503 so long")
    load.add_argument("--die-loading", choices=FAILURES, help="fail at the end of loading")
    load.add_argument("--no-listen", action="store_true", help="never open the port")
    load.add_argument("--health-status", type=int, default=200, help="once loaded")
    life = parser.add_argument_group("life")
    life.add_argument("--die-after-seconds", type=float, help="be killed so long after loading")
    life.add_argument("--ignore-sigterm", action="store_true")
    life.add_argument("--fork-child", action="store_true", help="leave a child behind")
    life.add_argument("--keep-port", action="store_true", help="the child holds the open port")
    life.add_argument("--child-seconds", type=float, default=120, help="how long it lives at most")
    answer = parser.add_argument_group("answering")
    answer.add_argument("--fake", type=json.loads, default={}, help="JSON, for all requests")
    answer.add_argument("--keep-alive-max", type=int, default=0)
    answer.add_argument("--keep-alive-timeout", type=float, default=0)
    return parser


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def leave_child(seconds: float) -> None:
    """Fork a child that ignores SIGTERM and keeps every file this process has open."""
    # Held back until the child is deaf to it: one that comes in between would end the child.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        say(f"fake: child {child}")
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    time.sleep(seconds)
    os._exit(0)


def open_port(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        say(FAILURES["port"][0])
        raise SystemExit(1) from error
    listener.listen(1024)
    return listener


class Stopping:
    """Ends the process on SIGTERM and SIGINT the way llama-server does."""

    def __init__(self, engine: Engine, ended: asyncio.Event) -> None:
        self._engine = engine
        self._ended = ended
        self._asked = False

    def ask(self) -> None:
        if self._asked:
            os._exit(1)
        self._asked = True
        say("srv    operator(): cleaning up before exit...")
        self._engine.on_idle = self._ended.set
        if not self._engine.stats.in_flight:
            self._ended.set()


def fail_loading(cause: str) -> None:
    for line in FAILURES[cause]:
        say(line)
    if cause == "projector":
        os.abort()
    os._exit(1)


async def serve(options: argparse.Namespace, listener: socket.socket | None) -> None:
    loop = asyncio.get_running_loop()
    engine = Engine(
        name=options.alias or Path(options.model).stem,
        defaults=Faults.read(options.fake),
        health_status=options.health_status,
        keep_alive_max=options.keep_alive_max,
        keep_alive_timeout=options.keep_alive_timeout,
    )
    ended = asyncio.Event()
    stopping = Stopping(engine, ended)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, (lambda: None) if options.ignore_sigterm else stopping.ask)
    if listener is not None:
        await loop.create_server(partial(EngineProtocol, engine), sock=listener)
        say(f"main: HTTP server is listening, hostname: {options.host}, port: {options.port}")
    await load(options, engine, ended)
    await ended.wait()


async def load(options: argparse.Namespace, engine: Engine, ended: asyncio.Event) -> None:
    """Take the time loading takes; SIGTERM cuts it short by the signal, as on the real engine."""
    say(f"srv    load_model: loading model '{options.model}'")
    if options.load_seconds:
        try:
            await asyncio.wait_for(ended.wait(), options.load_seconds)
        except TimeoutError:
            pass
        else:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
    if options.die_loading:
        fail_loading(options.die_loading)
    engine.loaded = True
    say("main: model loaded")
    if options.die_after_seconds is not None:
        loop = asyncio.get_running_loop()
        loop.call_later(options.die_after_seconds, os.kill, os.getpid(), signal.SIGKILL)


def main() -> None:
    options, _ignored = arguments().parse_known_args()
    if options.fork_child and not options.keep_port:
        leave_child(options.child_seconds)
    listener = None if options.no_listen else open_port(options.host, options.port)
    if options.keep_port:
        leave_child(options.child_seconds)
    uvloop.run(serve(options, listener))


if __name__ == "__main__":
    main()
