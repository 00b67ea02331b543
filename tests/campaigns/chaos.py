"""Swaps, faults, leaving clients, unloads, changes and kills, all at once, for a while.

    python -m tests.campaigns.chaos [--seconds 600] [--seed N]

Afterwards every request must have been answered once or refused with a reason, every model must
still work, nothing may be left of the engines, and the server must be no larger than before.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.campaigns.clients import Clients, Tally
from tests.processes import alive, command_of, eventually
from tests.server import ROOT, RunningServer, running_server

CLIENTS = 12
WORKING = {
    "plain": "",
    "slow": "--load-seconds 0.4",
    "deaf": "--ignore-sigterm",
    "brood": "--fork-child --child-seconds 900",
    "mortal": "--die-after-seconds 4",
    "side": "",
}
"""The models and their engines' switches."""

BROKEN = {"broken": "--die-loading architecture"}
BESIDE = ("side", "brood")
"""They are loaded beside the others."""

MEMORY_SLACK = 48 << 20
"""Bytes that the server may hold more at the end: caches fill, and the allocator keeps some."""

DESCRIPTOR_SLACK = 6
THREAD_SLACK = 4


@dataclass(frozen=True)
class Size:
    """How large the server is when nothing is loaded."""

    memory: int
    descriptors: int
    threads: int
    processes: int


@dataclass
class Outcome:
    """What the campaign saw."""

    tally: Tally
    acts: Counter[str] = field(default_factory=Counter)
    before: Size | None = None
    after: Size | None = None
    stuck: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    traces: int = 0

    def faults(self) -> list[str]:
        """What went wrong; empty when nothing did."""
        assert self.before is not None and self.after is not None
        found = [*self.tally.wrong[:20], *self.stuck, *self.orphans]
        if self.tally.settled != self.tally.sent:
            found.append(f"{self.tally.sent} requests were sent, {self.tally.settled} settled")
        for name, slack in (
            ("memory", MEMORY_SLACK),
            ("descriptors", DESCRIPTOR_SLACK),
            ("threads", THREAD_SLACK),
            ("processes", 0),
        ):
            before, after = getattr(self.before, name), getattr(self.after, name)
            if after > before + slack:
                found.append(f"{name} grew from {before} to {after}")
        if self.traces:
            found.append(f"the server logged {self.traces} tracebacks")
        return found

    def __str__(self) -> str:
        lines = [f"{self.tally.sent} requests, {self.tally.settled} settled"]
        lines += [f"  {count:7} {what}" for what, count in self.tally.outcomes.most_common()]
        lines += [f"  {len(self.tally.wrong):7} wrong"]
        lines += ["meanwhile"] + [f"  {n:7} {what}" for what, n in self.acts.most_common()]
        lines += [f"size before {self.before}", f"size after  {self.after}"]
        return "\n".join([*lines, *(f"WRONG: {fault}" for fault in self.faults())])


def configuration(mark: str) -> str:
    def entry(name: str, switches: str) -> str:
        command = (
            f"exec {sys.executable} -m tests.fake_engine --port $1 --alias {name} {switches} {mark}"
        )
        return (
            f"  {name}:\n    ttl: 3\n    cmd: |\n"
            f"      /bin/sh -c 'cd {ROOT} && {command}' sh ${{PORT}}\n"
        )

    entries = "".join(entry(*item) for item in {**WORKING, **BROKEN}.items())
    beside = ", ".join(BESIDE)
    return (
        f"models:\n{entries}groups:\n  beside:\n    swap: false\n    exclusive: false\n"
        f"    persistent: true\n    members: [{beside}]\n"
    )


class Campaign:
    def __init__(self, server: RunningServer, mark: str, seed: int) -> None:
        self._server = server
        self._mark = mark
        self._chance = random.Random(seed)
        self._outcome = Outcome(Tally())

    @property
    def _process(self) -> psutil.Process:
        """The one that serves: after it was run anew, a child of the process that was started."""
        started = psutil.Process(self._server.process.pid)
        if "keeper.py" not in command_of(started.pid):
            return started
        (serving,) = [child for child in started.children() if "serve" in command_of(child.pid)]
        return serving

    async def run(self, seconds: float) -> Outcome:
        port = int(self._server.url.rpartition(":")[2])
        models = [*WORKING, *BROKEN]
        clients = Clients(port, models, self._outcome.tally, self._chance)
        for model in WORKING:  # Everything was used once before the first measure is taken.
            await clients.one(model)
        self._outcome.before = await self._size_at_rest()
        until = asyncio.get_running_loop().time() + seconds
        disturbing = asyncio.create_task(self._disturb(until), name="disturb")
        await clients.run(CLIENTS, until)
        await disturbing
        await self._find_stuck(clients)
        self._outcome.after = await self._size_at_rest()
        return self._outcome

    async def _find_stuck(self, clients: Clients) -> None:
        """Every model that can work has to answer once more."""
        for model in WORKING:
            for _ in range(20):  # A request of the client's may ask for a fault.
                if await clients.one(model) == "answered":
                    break
            else:
                self._outcome.stuck.append(f"{model} answers no more")

    # ---- Disturbing ------------------------------------------------------------------------

    async def _disturb(self, until: float) -> None:
        acts = (
            self.unload_one,
            self.unload_by_force,
            self.unload_all,
            self.load_one,
            self.change_one,
            self.restart_engines,
            self.kill_an_engine,
            self.kill_a_guard,
            self.kill_the_worker,
        )
        clock = asyncio.get_running_loop().time
        # Once, and early: what grows afterwards has long enough to be seen.
        anew = clock() + (until - clock()) / 4
        while clock() < until:
            if clock() > anew:
                anew = until
                await asyncio.to_thread(self._post, "server/restart/hard")
                self._outcome.acts["run the server anew"] += 1
            act = self._chance.choice(acts)
            await asyncio.to_thread(act)
            self._outcome.acts[act.__name__.replace("_", " ")] += 1
            await asyncio.sleep(self._chance.uniform(0.1, 0.8))

    def _post(self, path: str) -> None:
        reply = requests.post(f"{self._server.url}/api/{path}", timeout=120)
        if reply.status_code not in (200, 502, 503):
            self._outcome.tally.wrong.append(f"{path}: {reply.status_code} {reply.text}")

    def _model(self) -> str:
        return self._chance.choice([*WORKING, *BROKEN])

    def unload_one(self) -> None:
        self._post(f"models/{self._model()}/unload")

    def unload_by_force(self) -> None:
        self._post(f"models/{self._model()}/unload?force=1")

    def unload_all(self) -> None:
        self._post("models/unload")

    def load_one(self) -> None:
        self._post(f"models/{self._model()}/load")

    def restart_engines(self) -> None:
        self._post("server/restart")

    def change_one(self) -> None:
        env = f'["CHANGED={self._chance.random()}"]'
        path = self._server.home / "claracore.sqlite3"
        with closing(sqlite3.connect(path, timeout=30)) as database, database:
            database.execute(
                "UPDATE models_app_servedmodel SET env = ? WHERE model_id = ?", (env, self._model())
            )

    def kill_an_engine(self) -> None:
        self._kill(self._mark)

    def kill_a_guard(self) -> None:
        self._kill("guard.cpython", "guard.py")

    def kill_the_worker(self) -> None:
        self._kill("celery")

    def _kill(self, *names: str) -> None:
        victims = [
            child.pid
            for child in self._process.children(recursive=True)
            if any(name in command_of(child.pid) for name in names)
        ]
        if victims:
            try:
                os.kill(self._chance.choice(victims), signal.SIGKILL)
            except ProcessLookupError:
                return

    # ---- Measuring -------------------------------------------------------------------------

    async def _size_at_rest(self) -> Size:
        """With nothing loaded and the worker up."""
        await asyncio.to_thread(self._post, "models/unload?force=1")
        if not await asyncio.to_thread(eventually, self._at_rest):
            self._outcome.stuck.append("the server does not come to rest")
        process = self._process
        return Size(
            process.memory_info().rss,
            process.num_fds(),
            process.num_threads(),
            len(process.children(recursive=True)),
        )

    def _at_rest(self) -> bool:
        """The worker below its guard, and one guard that waits."""
        commands = [command_of(child.pid) for child in self._process.children(recursive=True)]
        others = [line for line in commands if "guard" not in line and "celery" not in line]
        # A process that was never reaped has no command, and counts.
        return not any(others) and len(commands) == 3 and any("celery" in c for c in commands)


def left_of(mark: str) -> list[str]:
    return [
        f"process {pid} is left: {command_of(pid)}"
        for pid in psutil.pids()
        if pid != os.getpid() and mark in command_of(pid) and alive(pid)
    ]


def run(seconds: float, seed: int) -> Outcome:
    """The whole campaign with a server of its own."""
    mark = f"--mark-{os.getpid()}-{time.time_ns()}"
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "config.yaml"
        config.write_text(configuration(mark))
        with running_server(arguments=["--config", str(config)]) as server:
            server.wait_for_models(*WORKING, *BROKEN)
            outcome = asyncio.run(Campaign(server, mark, seed).run(seconds))
            server.stop()
            outcome.traces = server.said().count("Traceback")
        eventually(lambda: not left_of(mark))
        outcome.orphans = left_of(mark)
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000)
    options: Any = parser.parse_args()
    print(f"{options.seconds:g} s of chaos, seed {options.seed}", flush=True)
    outcome = run(options.seconds, options.seed)
    print(outcome)
    return 1 if outcome.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
