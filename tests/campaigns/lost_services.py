"""PostgreSQL and Redis end in every way there is, while every page and REST call is asked.

    python -m tests.campaigns.lost_services [--seconds 120] [--seed N]

Each answer must be one that says what to do: a page, a redirect, a refusal, what is wrong with the
request, or 503 with `Retry-After` or a reason. It prints each that is not, and then ends with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from tests.ggufs import write_reciter
from tests.lan import DATABASE_URL, REDIS_URL
from tests.server import RunningServer, clean_environment, running_server
from tests.services import NAME, PostgreSql, Redis, postgresql_with_database, redis_server

PASSWORD: Final = "correct horse battery"
SIGN_IN: Final = "/ui/sign-in/"
LIMIT_SECONDS: Final = 120.0
VISITORS: Final = 6
NO_PAGES: Final = ("events", "stream", "unload", "sign-", "logout", "password/", "texts.js")
"""Streams without an end, and what would sign the visitors out."""

ACTS: Final = {
    "/ui/scan/": {},
    "/ui/settings/": {"section": "", "usage_days": "90"},
    "/admin/models_app/modelgroup/add/": {"name": "made meanwhile"},
}
"""Posted with the form's token; what is wrong with the form is an answer as well."""

CALLS: Final[dict[str, dict[str, object]]] = {
    "/api/config/scan-folder?wait=0": {"folderPath": "", "addToDatabase": True},
    "/api/models/download": {"url": "https://localhost/none.gguf"},
    "/v1/chat/completions": {"model": "fox", "messages": [{"role": "user", "content": "Go on."}]},
}


class Tally:
    """What came of it all."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()

    def note(self, method: str, path: str, reply: httpx.Response) -> None:
        self.statuses[f"{method} {reply.status_code}"] += 1
        if reply.status_code < 500:
            return
        if reply.status_code == 503 and ("Retry-After" in reply.headers or '"code"' in reply.text):
            return
        self.wrong[f"{method} {path}: {reply.status_code} {reply.text[:300]!r}"] += 1


class Visitor:
    """Signed in, looks at one thing after another and now and then does something."""

    def __init__(self, url: str, cookies: httpx.Cookies, paths: list[str], folder: Path) -> None:
        self._client = httpx.AsyncClient(base_url=url, cookies=cookies, timeout=LIMIT_SECONDS)
        self._paths = paths
        self._folder = folder

    async def stay(self, until: float, chance: random.Random, tally: Tally) -> None:
        async with self._client:
            while time.monotonic() < until:
                path = chance.choice(self._paths)
                tally.note("GET", path, await self._client.get(path))
                if chance.random() < 0.2:
                    await self._act(chance.choice([*ACTS, *CALLS]), tally)

    async def _act(self, path: str, tally: Tally) -> None:
        headers = {"Referer": str(self._client.base_url)}
        headers["X-CSRFToken"] = self._client.cookies["csrftoken"]
        if path in ACTS:
            reply = await self._client.post(path, data=ACTS[path], headers=headers)
        else:
            body = {**CALLS[path]}
            if "folderPath" in body:
                body["folderPath"] = str(self._folder)
            reply = await self._client.post(path, json=body, headers=headers)
        tally.note("POST", path, reply)


async def lose(database: PostgreSql, broker: Redis, until: float, chance: random.Random) -> None:
    """One of them ends and comes back, again and again, and is well for a moment in between."""
    while time.monotonic() < until:
        way = chance.choice(("stopped", "ended at once", "crashed", "redis"))
        print(f"{way}", flush=True)
        away = chance.uniform(0, 3)
        if way == "crashed":
            _crash(database)
        elif way == "redis":
            await asyncio.to_thread(broker.stop, signal.SIGKILL)
            await asyncio.sleep(away)
            await asyncio.to_thread(broker.start)
        else:
            how = signal.SIGINT if way == "stopped" else signal.SIGQUIT
            await asyncio.to_thread(database.stop, how)
            await asyncio.sleep(away)
            await asyncio.to_thread(database.start)
        await asyncio.sleep(chance.uniform(0.5, 4))


def _crash(database: PostgreSql) -> None:
    """Kill the process of one connection: all others end, and the data are recovered."""
    with suppress(Exception), database.connect() as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s LIMIT 1", [NAME]
        ).fetchone()
        if found:
            os.kill(found[0], signal.SIGKILL)


def signed_in(url: str) -> httpx.Cookies:
    with httpx.Client(base_url=url, timeout=LIMIT_SECONDS) as client:
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(SIGN_IN).text)
        said = {"name": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token[0]}
        reply = client.post(SIGN_IN, data=said, headers={"Referer": url + SIGN_IN})
        assert reply.status_code == 302, reply.text
        return client.cookies


def readable(paths: Iterable[str]) -> list[str]:
    """Those that can be looked at again and again."""
    ours = ("/ui/", "/admin/", "/api/")
    return [
        path for path in paths if path.startswith(ours) and not any(no in path for no in NO_PAGES)
    ]


def all_paths() -> list[str]:
    import django

    django.setup()
    from tests.routes import routes

    return readable(route.path for route in routes() if route.method == "GET")


def run(seconds: float, seed: int) -> Tally:
    chance = random.Random(seed)
    tally = Tally()
    with (
        tempfile.TemporaryDirectory(prefix="claracore-lost-") as scratch,
        postgresql_with_database() as database,
        redis_server() as broker,
    ):
        folder = Path(scratch) / "models"
        folder.mkdir()
        home = Path(scratch) / "home"
        write_reciter(folder / "fox-f32.gguf", "The quick brown fox jumps over the lazy dog.")
        env = {
            DATABASE_URL: database.url,
            REDIS_URL: broker.url,
            "CLARACORE_ADMIN_PASSWORD": PASSWORD,
        }
        with running_server(folder, home=home, env=env) as server:
            _work(server, database, broker, folder, seconds, chance, tally)
            print(server.said()[-6000:] if tally.wrong else "")
    return tally


def _work(
    server: RunningServer,
    database: PostgreSql,
    broker: Redis,
    folder: Path,
    seconds: float,
    chance: random.Random,
    tally: Tally,
) -> None:
    cookies = signed_in(server.url)
    paths = all_paths()
    print(len(paths), "paths")
    until = time.monotonic() + seconds

    async def day() -> None:
        visitors = [Visitor(server.url, cookies, paths, folder) for _ in range(VISITORS)]
        await asyncio.gather(
            *(one.stay(until, random.Random(chance.random()), tally) for one in visitors),
            lose(database, broker, until, chance),
        )

    asyncio.run(day())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:.0f} s")
    with tempfile.TemporaryDirectory() as home:
        for name, value in clean_environment(Path(home)).items():
            os.environ[name] = value
        tally = run(options.seconds, options.seed)
    print()
    for what, times in tally.statuses.most_common():
        print(f"{times:6} {what}")
    for what, times in tally.wrong.most_common():
        print(f"WRONG {times} x {what}")
    return int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
