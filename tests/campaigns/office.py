"""An office on PostgreSQL and Redis: people chat, search, look at pages and download, all day.

    python -m tests.campaigns.office [--seconds 900] [--users 50] [--kill] [--seed N]

All services run as docker-compose.yml says, in containers of our own (`tests/compose.py`). With
--kill each of server, worker, Redis and PostgreSQL is killed and started again in turn, and how
long it took until everything was well again is printed. Afterwards every request must have been
answered or refused for a stated reason, every answered one must have its usage row, and every
download must have come to a whole file. It ends with 1 when any of that does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import yaml

from tests.campaigns.office_tally import Tally, tell
from tests.compose import CORE, PASSWORD, Stack
from tests.ggufs import write_embedder, write_reciter
from tests.hub import Hub
from tests.server import ROOT

FOX: Final = "The quick brown fox jumps over the lazy dog."
STATED: Final = {429, 503}
"""Refusals that say when to come back."""

MIX: Final = {
    "chat": 40,
    "stream": 25,
    "embed": 15,
    "quick": 15,
    "page": 6,
    "rest": 3,
    "fetch": 1,
}
SCOPES: Final = ("inference", "manage", "admin")
SIGN_IN: Final = "/ui/sign-in/"
"""How often people do what, among each other."""

PAGES: Final = ("/ui/models/", "/ui/", "/admin/", "/admin/models_app/servedmodel/")
REST: Final = ("/api/models", "/api/queue", "/api/usage?by=hour", "/api/requests?limit=20")
LIMIT_SECONDS: Final = 120.0
PAUSE_SECONDS: Final = 2.0
"""A person's mean pause between two acts."""

WELL_LIMIT_SECONDS: Final = 120.0
LOST_BY_A_KILL: Final = 5
"""Usage rows: a server that is killed had not written what ended in its last 20 ms."""

CONFIGURATION: Final = {
    "models": {
        "echo": {
            "cmd": "/venv/bin/python -m tests.echo_engine ${PORT}",
            "checkEndpoint": "/",
            "env": ["PYTHONPATH=/app"],
        }
    },
    "groups": {"echoes": {"swap": False, "exclusive": False, "members": ["echo"]}},
}
KILLS: Final = ("worker", "redis", "postgres", "web")


class Office(Stack):
    """The four services, with an echo engine among the models and a hub to download from."""

    def __init__(self, folder: Path, models: Path, hub: Hub) -> None:
        # The tests lie beside the program, as a folder that an override file mounts would.
        super().__init__(folder, models, also={"/app/tests": ROOT / "tests"})
        self.hub = hub
        for name in ("web", "worker"):
            said = self.services[name]["environment"]
            said["CLARACORE_HF_ENDPOINT"] = hub.url
            said["CLARACORE_PRIVATE_HOSTS"] = "127.0.0.1"
        self.headers: dict[str, str] = {}
        self.cookies: dict[str, str] = {}

    def settle(self) -> None:
        """What an administrator does on the first day: signs in, makes a key, brings a config."""
        scopes = [word for scope in SCOPES for word in ("--scope", scope)]
        key = self._manage("key", "create", "office", *scopes).strip()
        self.headers = {"Authorization": f"Bearer {key}"}
        self._manage("config", "import", "/models/office.yaml")
        code = "from models_app.models import ServerSettings as S; S.current();"
        self._manage("shell", "--no-imports", "-c", code + "S.objects.update(side_by_side=True)")
        with httpx.Client(base_url=self.url, timeout=LIMIT_SECONDS) as client:
            form = client.get(SIGN_IN).text
            token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[0]
            said = {"name": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token}
            reply = client.post(SIGN_IN, data=said, headers={"Referer": self.url + SIGN_IN})
            assert reply.status_code == 302, reply.text
            self.cookies = dict(client.cookies)

    def _manage(self, *words: str) -> str:
        done = self["web"].run(["python", "manage.py", *words])
        if done.returncode:
            raise SystemExit(f"{words}: {done.stderr}")
        return done.stdout

    def echo_url(self) -> str:
        """Where the echo engine itself listens; empty while it does not run."""
        for process in self["web"].processes():
            with suppress(psutil.Error):
                words = process.cmdline()
                if "tests.echo_engine" in words and words[0].endswith("python"):
                    return f"http://127.0.0.1:{words[-1]}"
        return ""

    def asked(self, query: str) -> list[str]:
        """Lines of what the database answers."""
        words = ["psql", "-h", "/run/postgresql", "-U", "claracore", "-Atc", query]
        return self["postgres"].run(words).stdout.splitlines()

    def sizes(self) -> dict[str, tuple[float, float]]:
        """MB that each program holds, and all of its container; shared pages count once."""
        found = {}
        for name in CORE:
            with suppress(psutil.Error):
                held = [one.memory_full_info().pss / 1e6 for one in self[name].processes()]
                found[name] = (held[0], sum(held)) if held else (0.0, 0.0)
        return found

    def limit(self, name: str) -> float:
        """MB that the file lets the container have; 0: no limit."""
        text = str(self.services[name]["deploy"]["resources"]["limits"]["memory"])
        return float(text.rstrip("gm")) * {"g": 1073.7, "m": 1.0486}.get(text[-1], 1e-6)


# ---- People ------------------------------------------------------------------------------------


class Person:
    """Does one thing after another, with pauses to read."""

    def __init__(self, office: Office, tally: Tally, chance: random.Random) -> None:
        self._office, self._tally, self._chance = office, tally, chance
        self._client = httpx.AsyncClient(
            base_url=office.url, headers=office.headers, timeout=LIMIT_SECONDS
        )
        self._browser = httpx.AsyncClient(
            base_url=office.url, cookies=office.cookies, timeout=LIMIT_SECONDS
        )

    async def work(self, until: float) -> None:
        acts: dict[str, Callable[[], Any]] = {
            "chat": lambda: self._ask("/v1/chat/completions", self._chat(stream=False)),
            "stream": lambda: self._ask("/v1/chat/completions", self._chat(stream=True)),
            "embed": lambda: self._ask("/v1/embeddings", {"model": "letters", "input": "a b"}),
            "quick": self._compare,
            "page": lambda: self._look(self._browser, self._chance.choice(PAGES)),
            "rest": lambda: self._look(self._client, self._chance.choice(REST)),
            "fetch": self._fetch,
        }
        async with self._client, self._browser:
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
        if status == 200 and name != "quick":  # which is timed where it is asked
            self._tally.delays[name].append(time.monotonic() - began)
        elif status not in {200, *STATED} and not (dying or self._tally.dying):
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

    async def _compare(self) -> int:
        """The echo engine through the server, and itself, one right after the other.

        Only of the same moment, and so of the same load, does the difference say what the server
        adds. The engine has no door for people: of its own answers no promise is made.
        """
        url = await asyncio.to_thread(self._office.echo_url)
        took: dict[str, float] = {}
        status = 503
        for name in self._chance.sample(("quick", "engine"), 2):
            began = time.monotonic()
            if name == "quick":
                status = await self._ask("/v1/chat/completions", {"model": "echo"})
                alright = status == 200
            else:
                alright = bool(url) and await self._answers(f"{url}/")
            if alright:
                took[name] = time.monotonic() - began
                self._tally.delays[name].append(took[name])
        if len(took) == 2:
            self._tally.added.append(took["quick"] - took["engine"])
        return status

    async def _answers(self, url: str) -> bool:
        try:
            return (await self._client.post(url, json={"model": "echo"})).status_code == 200
        except httpx.HTTPError:
            return False

    async def _look(self, client: httpx.AsyncClient, path: str) -> int:
        """The page, or 401 where it would have one sign in."""
        reply = await client.get(path, follow_redirects=True)
        if reply.status_code == 500:  # never right, not even while something is being killed
            self._tally.wrong.append(f"500 from {reply.url.path}: {reply.text[:200]!r}")
        return 401 if reply.url.path == SIGN_IN else reply.status_code

    async def _fetch(self) -> int:
        number = self._chance.randrange(8)
        body = {"url": self._office.hub.file_url(f"owner/m{number}", "m.gguf")}
        body["filename"] = f"m{number}.gguf"
        reply = await self._client.post("/api/models/download", json=body)
        # The same file is fetched already, or is there: an answer as well.
        return 200 if reply.status_code == 409 else reply.status_code


# ---- The day -----------------------------------------------------------------------------------


async def _is_well(client: httpx.AsyncClient, tally: Tally) -> bool:
    """Ready by its own word, a model answers, and the worker does a scan."""
    scan = {"folderPath": "/models", "addToDatabase": True}
    try:
        ready = await client.get("/health/ready", timeout=10)
        for model in ("fox", "echo"):
            chat = {"model": model, "messages": [{"role": "user", "content": "Go on."}]}
            answer = await client.post("/v1/chat/completions", json=chat, timeout=60)
            tally.answered += answer.status_code == 200
            if answer.status_code != 200:
                return False
        scanned = await client.post("/api/config/scan-folder?wait=5", json=scan, timeout=30)
    except httpx.HTTPError:
        return False
    told = ready.json() if ready.status_code == 200 else {}
    well = all(told.get(name, {}).get("status") == "ok" for name in ("database", "broker"))
    done = scanned.status_code == 200 and scanned.json().get("code") != "NOT_DONE_YET"
    return well and done


async def _until_well(one: Office, tally: Tally, name: str, began: float) -> None:
    async with httpx.AsyncClient(base_url=one.url, headers=one.headers) as client:
        while not await _is_well(client, tally):
            if time.monotonic() - began > WELL_LIMIT_SECONDS:
                tally.wrong.append(f"{name}: not well again after {WELL_LIMIT_SECONDS:.0f} s")
                return
            await asyncio.sleep(0.2)


async def _killing(office: Office, tally: Tally, seconds: float) -> None:
    """Each is killed once, spread over the day, and started at once, as a restart policy does."""
    for name in KILLS:
        await asyncio.sleep(seconds / (len(KILLS) + 1) / 2)
        tally.dying = True
        began = time.monotonic()
        await asyncio.to_thread(office[name].kill)
        await asyncio.to_thread(office.start, name)
        await _until_well(office, tally, name, began)
        tally.recoveries.append(f"{name}: well {time.monotonic() - began:.1f} s after its kill")
        await asyncio.sleep(2)
        tally.dying = False


async def _weighing(office: Office, tally: Tally, until: float, every: float) -> None:
    began = time.monotonic()
    while time.monotonic() < until:
        sizes = await asyncio.to_thread(office.sizes)
        texts = [f"{name} {own:.0f} (all {whole:.0f})" for name, (own, whole) in sizes.items()]
        tally.memory.append(f"{time.monotonic() - began:4.0f} s  {', '.join(texts)}")
        for name, (_, whole) in sizes.items():
            if 0 < office.limit(name) < whole:
                tally.wrong.append(f"{name} holds {whole:.0f} MB, more than its container may")
        await asyncio.sleep(every)


async def _day(
    office: Office, tally: Tally, seconds: float, users: int, kill: bool, seed: int
) -> None:
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    people = [Person(office, tally, random.Random(chance.random())) for _ in range(users)]
    tasks = [person.work(until) for person in people]
    tasks.append(_weighing(office, tally, until, max(seconds / 10, 5)))
    if kill:
        tasks.append(_killing(office, tally, seconds))
    await asyncio.gather(*tasks)


def _settled(office: Office, tally: Tally) -> int:
    """Wait until the worker has written and fetched everything; how many rows are missing."""
    deadline = time.monotonic() + 60
    while True:
        (rows,) = office.asked("SELECT count(*) FROM proxy_app_usagerow WHERE status = 200")
        query = "SELECT model_id || ' ' || status FROM downloads_app_download"
        unfinished = office.asked(f"{query} WHERE status <> 'completed'")
        missing = max(tally.answered - int(rows), 0)
        if (not missing and not unfinished) or time.monotonic() > deadline:
            tally.wrong += [f"download {line}" for line in unfinished]
            return missing
        time.sleep(1)


@contextmanager
def office(hub: Hub) -> Iterator[Office]:
    with tempfile.TemporaryDirectory(prefix="claracore-office-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)  # the containers' users go through it
        models = folder / "models"
        models.mkdir()
        write_reciter(models / "fox-f32.gguf", FOX)
        write_embedder(models / "letters-f32.gguf")
        (models / "office.yaml").write_text(yaml.safe_dump(CONFIGURATION))
        for number in range(8):
            file = write_reciter(folder / f"m{number}.gguf", f"Number {number}.")
            hub.add(f"owner/m{number}", {"m.gguf": file.read_bytes()})
        one = Office(folder, models, hub)
        try:
            one.up()
            one.settle()
            yield one
        finally:
            one.down()


def run(seconds: float, users: int, kill: bool, seed: int) -> tuple[Tally, int]:
    """A day in the office, and how many usage rows are missing after it."""
    tally = Tally()
    hub = Hub()
    hub.start()
    try:
        with office(hub) as one:
            asyncio.run(_until_well(one, tally, "the start", time.monotonic()))
            asyncio.run(_day(one, tally, seconds, users, kill, seed))
            return tally, _settled(one, tally)
    finally:
        hub.close()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.users} people, {options.seconds:.0f} s")
    tally, missing = run(options.seconds, options.users, options.kill, options.seed)
    tell(tally, missing)
    return int(bool(tally.wrong) or missing > (LOST_BY_A_KILL if options.kill else 0))


if __name__ == "__main__":
    sys.exit(main())
