"""An office on PostgreSQL and Redis: people chat, search, look at pages and download, all day.

    python -m tests.campaigns.office [--seconds 900] [--users 50] [--kill] [--seed N]

The server and the worker run as docker-compose.yml runs them, each by itself. With --kill each of
server, worker, Redis and PostgreSQL is killed and started again in turn, and how long it took until
everything was well again is printed. Afterwards every request must have been answered or refused
for a stated reason, and every answered one must have its usage row.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import yaml

from tests.ggufs import write_embedder, write_reciter
from tests.hub import Hub
from tests.server import ROOT, clean_environment, free_port
from tests.services import NAME, PostgreSql, Redis, Service, postgresql, redis_server

FOX: Final = "The quick brown fox jumps over the lazy dog."
STATED: Final = {429, 503}
"""Refusals that say when to come back."""

MIX: Final = {"chat": 40, "stream": 25, "embed": 15, "quick": 10, "page": 6, "rest": 3, "fetch": 1}
"""How often people do what, in a hundred acts."""

PAGES: Final = ("/ui/models/", "/ui/", "/admin/", "/admin/models_app/servedmodel/")
REST: Final = ("/api/models", "/api/queue", "/api/usage?by=hour", "/api/requests?limit=20")
LIMIT_SECONDS: Final = 120.0
PAUSE_SECONDS: Final = 2.0
"""A person's mean pause between two acts."""

WELL_LIMIT_SECONDS: Final = 120.0
KILLS: Final = ("worker", "redis", "postgres", "web")


@dataclass
class Tally:
    """What became of everything anybody did."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    delays: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds until the whole answer, by act."""
    wrong: list[str] = field(default_factory=list)
    answered: int = 0
    """Inference requests that were answered whole, the checks after a kill included."""
    recoveries: list[str] = field(default_factory=list)
    memory: list[str] = field(default_factory=list)
    dying: bool = False
    """While something is being killed its requests may break off."""


class Office:
    """The four services, as compose starts them."""

    def __init__(self, folder: Path, database: PostgreSql, broker: Redis, hub: Hub) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database, self.broker = database, broker
        self._hub = hub
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def settle(self) -> None:
        """The one setting that the day needs: models stay loaded beside each other."""
        code = "from models_app.models import ServerSettings as S; S.current();"
        code += "S.objects.update(side_by_side=True)"
        for words in (["migrate", "-v0"], ["shell", "--no-imports", "-c", code]):
            subprocess.run(
                [sys.executable, "manage.py", *words],
                cwd=ROOT,
                env=self._environment(),
                check=True,
            )

    def start(self, name: str) -> None:
        words = {
            "web": ["manage.py", "serve", "--no-worker", "--port", str(self.port)],
            "worker": ["-m", "celery", *_worker_words()],
        }[name]
        if name == "web":
            words += ["--config", str(self.folder / "config.yaml")]
            words += ["--models-folder", str(self.folder / "models")]
        with (self.folder / f"{name}.txt").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *words],
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def _environment(self) -> dict[str, str]:
        return clean_environment(
            self.folder / "home",
            {
                "CLARACORE_DATABASE_URL": self.database.url,
                "CLARACORE_REDIS_URL": self.broker.url,
                "CLARACORE_HF_ENDPOINT": self._hub.url,
                "CLARACORE_PRIVATE_HOSTS": "127.0.0.1",
            },
        )

    def kill(self, name: str) -> None:
        service: Service | None = {"redis": self.broker, "postgres": self.database}.get(name)
        if service is None:
            self.processes[name].kill()
            self.processes[name].wait(30)
        else:
            service.stop(signal.SIGQUIT if name == "postgres" else signal.SIGKILL)

    def revive(self, name: str) -> None:
        if name == "redis":
            self.broker.start()
        elif name == "postgres":
            self.database.start()
        else:
            self.start(name)

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)

    def sizes(self) -> str:
        """The memory of each, with what it started, in MB."""
        found = []
        running = {name: process.pid for name, process in self.processes.items()}
        for name, service in (("redis", self.broker), ("postgres", self.database)):
            if service.process is not None:
                running[name] = service.process.pid
        for name, pid in running.items():
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                family = [process, *process.children(recursive=True)]
                own = process.memory_info().rss / 1e6
                whole = sum(one.memory_info().rss for one in family) / 1e6
                found.append(f"{name} {own:.0f} ({whole:.0f} with children)")
        return ", ".join(found)


def _worker_words() -> list[str]:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    words: list[str] = compose["services"]["worker"]["command"]
    return words[1:]


# ---- People ------------------------------------------------------------------------------------


class Person:
    """Does one thing after another, with pauses to read."""

    def __init__(self, office: Office, tally: Tally, chance: random.Random) -> None:
        self._office, self._tally, self._chance = office, tally, chance
        self._client = httpx.AsyncClient(base_url=office.url, timeout=LIMIT_SECONDS)

    async def work(self, until: float) -> None:
        acts: dict[str, Callable[[], Any]] = {
            "chat": lambda: self._ask("/v1/chat/completions", self._chat(stream=False)),
            "stream": lambda: self._ask("/v1/chat/completions", self._chat(stream=True)),
            "embed": lambda: self._ask("/v1/embeddings", {"model": "letters", "input": "a b"}),
            "quick": lambda: self._ask("/v1/chat/completions", {"model": "echo"}),
            "page": lambda: self._look(self._chance.choice(PAGES)),
            "rest": lambda: self._look(self._chance.choice(REST)),
            "fetch": self._fetch,
        }
        async with self._client:
            while time.monotonic() < until:
                name = self._chance.choices(list(MIX), list(MIX.values()))[0]
                await self._do(name, acts[name])
                await asyncio.sleep(self._chance.expovariate(1 / PAUSE_SECONDS))

    async def _do(self, name: str, act: Callable[[], Any]) -> None:
        began = time.monotonic()
        dying = self._tally.dying
        try:
            status = await act()
        except httpx.HTTPError as error:
            if dying or self._tally.dying:
                self._tally.outcomes[name]["broken off by a kill"] += 1
            else:
                self._tally.outcomes[name]["broken off"] += 1
                self._tally.wrong.append(f"{name}: {type(error).__name__} {error}")
            return
        self._tally.outcomes[name][str(status)] += 1
        if 200 <= status < 400:
            self._tally.delays[name].append(time.monotonic() - began)
        elif status not in STATED and not (dying or self._tally.dying):
            self._tally.wrong.append(f"{name}: status {status}")

    async def _ask(self, path: str, body: dict[str, Any]) -> int:
        if not body.get("stream"):
            reply = await self._client.post(path, json=body)
            self._tally.answered += reply.status_code == 200
            return reply.status_code
        text = b""
        async with self._client.stream("POST", path, json=body) as streamed:
            async for piece in streamed.aiter_bytes():
                text += piece
        if streamed.status_code == 200:
            if b"[DONE]" not in text:
                raise httpx.ReadError("the stream ended early")
            self._tally.answered += 1
        return streamed.status_code

    def _chat(self, stream: bool) -> dict[str, Any]:
        messages = [{"role": "user", "content": "Go on."}]
        return {"model": "fox", "messages": messages, "stream": stream}

    async def _look(self, path: str) -> int:
        reply = await self._client.get(path, follow_redirects=True)
        return reply.status_code

    async def _fetch(self) -> int:
        number = self._chance.randrange(8)
        body = {"url": self._office._hub.file_url(f"owner/m{number}", "m.gguf")}
        body["filename"] = f"m{number}.gguf"
        reply = await self._client.post("/api/models/download", json=body)
        # The same file is fetched already, or is there: an answer as well.
        return 200 if reply.status_code == 409 else reply.status_code


# ---- The day -----------------------------------------------------------------------------------


async def _is_well(client: httpx.AsyncClient, tally: Tally) -> bool:
    try:
        ready = await client.get("/health/ready", timeout=10)
        chat = {"model": "fox", "messages": [{"role": "user", "content": "Go on."}]}
        answer = await client.post("/v1/chat/completions", json=chat, timeout=30)
    except httpx.HTTPError:
        return False
    tally.answered += answer.status_code == 200
    told = ready.json() if ready.status_code == 200 else {}
    return answer.status_code == 200 and all(
        told.get(name, {}).get("status") == "ok" for name in ("database", "broker")
    )


async def _killing(office: Office, tally: Tally, seconds: float) -> None:
    """Each is killed once, spread over the day."""
    async with httpx.AsyncClient(base_url=office.url) as client:
        for name in KILLS:
            await asyncio.sleep(seconds / (len(KILLS) + 1) / 2)
            tally.dying = True
            await asyncio.to_thread(office.kill, name)
            await asyncio.sleep(2)
            began = time.monotonic()
            await asyncio.to_thread(office.revive, name)
            while not await _is_well(client, tally):
                if time.monotonic() - began > WELL_LIMIT_SECONDS:
                    tally.wrong.append(f"{name}: not well again after {WELL_LIMIT_SECONDS:.0f} s")
                    break
                await asyncio.sleep(0.2)
            tally.recoveries.append(f"{name}: well again {time.monotonic() - began:.1f} s after")
            await asyncio.sleep(2)
            tally.dying = False


async def _weighing(office: Office, tally: Tally, until: float, every: float) -> None:
    began = time.monotonic()
    while time.monotonic() < until:
        tally.memory.append(f"{time.monotonic() - began:4.0f} s  {office.sizes()}")
        await asyncio.sleep(every)


async def _day(office: Office, tally: Tally, options: argparse.Namespace) -> None:
    chance = random.Random(options.seed)
    until = time.monotonic() + options.seconds
    people = [Person(office, tally, random.Random(chance.random())) for _ in range(options.users)]
    tasks = [person.work(until) for person in people]
    tasks.append(_weighing(office, tally, until, max(options.seconds / 10, 5)))
    if options.kill:
        tasks.append(_killing(office, tally, options.seconds))
    await asyncio.gather(*tasks)


def _missing_rows(office: Office, tally: Tally) -> int:
    """How many rows of answered requests are missing, once the worker had time to write them."""
    deadline = time.monotonic() + 60
    while True:
        with office.database.connect(NAME) as connection:
            query = "SELECT count(*) FROM proxy_app_usagerow WHERE status = 200"
            (rows,) = connection.execute(query).fetchone() or (0,)
        missing = tally.answered - int(rows)
        if missing <= 0 or time.monotonic() > deadline:
            return max(missing, 0)
        time.sleep(1)


@contextmanager
def office(hub: Hub, tally: Tally) -> Iterator[Office]:
    with (
        tempfile.TemporaryDirectory(prefix="claracore-office-") as scratch,
        postgresql() as database,
        redis_server() as broker,
    ):
        with database.connect() as connection:
            connection.execute(f"CREATE DATABASE {NAME}".encode())
        folder = Path(scratch)
        _prepare(folder)
        one = Office(folder, database, broker, hub)
        one.settle()
        one.start("web")
        one.start("worker")
        try:
            _until_well(one, tally)
            yield one
        finally:
            one.stop()


def _prepare(folder: Path) -> None:
    models = folder / "models"
    models.mkdir()
    (folder / "home").mkdir(mode=0o700)
    write_reciter(models / "fox-f32.gguf", FOX)
    write_embedder(models / "letters-f32.gguf")
    echo = f"{sys.executable} -m tests.echo_engine ${{PORT}}"
    config = {
        "models": {"echo": {"cmd": echo, "checkEndpoint": "/", "env": [f"PYTHONPATH={ROOT}"]}},
        "groups": {"echoes": {"swap": False, "exclusive": False, "members": ["echo"]}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def _until_well(one: Office, tally: Tally) -> None:
    async def wait() -> None:
        async with httpx.AsyncClient(base_url=one.url) as client:
            deadline = time.monotonic() + WELL_LIMIT_SECONDS
            while not await _is_well(client, tally):
                if time.monotonic() > deadline:
                    raise SystemExit((one.folder / "web.txt").read_text())
                await asyncio.sleep(0.3)

    asyncio.run(wait())


def _tell(tally: Tally, missing: int) -> None:
    total = sum(sum(found.values()) for found in tally.outcomes.values())
    print(f"{total} acts")
    for name, found in sorted(tally.outcomes.items()):
        delays = sorted(tally.delays[name])
        times = ""
        if delays:
            p99 = delays[min(len(delays) - 1, int(0.99 * len(delays)))]
            times = f"  p50 {statistics.median(delays) * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms"
        print(f"  {name:7} {dict(found)}{times}")
    print("`quick` asks an engine that answers at once: what it takes is the delay that is added.")
    for line in (*tally.recoveries, *tally.memory):
        print(f"  {line}")
    print(f"{tally.answered} answers of engines, {missing} of them without a usage row")
    for line in tally.wrong[:20]:
        print(f"WRONG {line}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.users} people, {options.seconds:.0f} s")
    tally = Tally()
    hub = Hub()
    hub.start()
    try:
        with tempfile.TemporaryDirectory() as scratch, office(hub, tally) as one:
            for number in range(8):
                file = write_reciter(Path(scratch) / f"m{number}.gguf", f"Number {number}.")
                hub.add(f"owner/m{number}", {"m.gguf": file.read_bytes()})
            asyncio.run(_day(one, tally, options))
            missing = _missing_rows(one, tally)
    finally:
        hub.close()
    _tell(tally, missing)
    # What a killed server had not written within its last moments may be gone.
    allowed = 5 if options.kill else 0
    return int(bool(tally.wrong) or missing > allowed)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "claracore_site.settings")
    sys.exit(main())
