"""The trial run of a build of llama-server, by the process that will run it.

A build that was installed is asked what it understands and which devices it sees; then it loads a
tiny model on them and has to say the model's sentence. It never meets a user's request before.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from models_app import canary_model, engine_build, engine_installs
from models_app.engine_build import Answers, EngineProblem, Located
from models_app.engine_environment import engine_environment
from models_app.models import EngineInstall
from proxy_app import health
from proxy_app.guards import GuardedProcess, GuardPool, LaunchFailed

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
"""How often the database is asked whether a build waits for its trial."""

READY_SECONDS: Final = 180.0
"""A first start may compile shaders for every GPU."""
ANSWER_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05
LAST_LINES: Final = 3
TOKENS: Final = 16
HOST: Final = "127.0.0.1"

InDatabase = Callable[[Callable[[], Any]], Awaitable[Any]]


class CanaryFailed(Exception):
    """The build does not do its work; the text says what was seen."""


async def follow(
    guards: GuardPool,
    home: Path,
    *,
    reread: InDatabase,
    in_database: InDatabase,
    changed: Callable[[], Awaitable[None]],
) -> None:
    """Try what waits for it, one build after the other, until cancelled.

    `reread` is for what only reads and is asked again and again. `changed` is called whenever
    another build has become the active one, however.
    """
    known = await reread(engine_installs.active_key)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            row = await reread(engine_installs.next_to_try)
            if row is not None:
                await _try_and_tell(row, guards, home, in_database)
            now = await reread(engine_installs.active_key)
            if now != known:
                await changed()
                known = now
        except Exception:
            logger.exception("A build of llama-server could not be tried.")


async def _try_and_tell(
    row: EngineInstall, guards: GuardPool, home: Path, in_database: InDatabase
) -> None:
    try:
        answers = await try_out(engine_installs.located(row), guards, home)
    except CanaryFailed as failure:
        logger.error("The engine %s failed its trial run: %s", row, failure)
        await in_database(partial(engine_installs.failed, row, str(failure)))
        return
    active = bool(await in_database(partial(engine_installs.passed, row, answers)))
    logger.info("The engine %s passed its trial run%s.", row, " and is used now" if active else "")


async def try_out(located: Located, guards: GuardPool, home: Path) -> Answers:
    """What the build says of itself, once it has shown that it works. Raises CanaryFailed."""
    try:
        answers = await asyncio.to_thread(engine_build.ask, located)
        with tempfile.TemporaryDirectory(dir=_scratch(home), prefix=".trial-") as scratch:
            await _load_and_ask(answers, guards, Path(scratch))
    except (EngineProblem, LaunchFailed, OSError) as error:
        raise CanaryFailed(str(error)) from error
    return answers


def _scratch(home: Path) -> Path:
    folder = home / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


async def _load_and_ask(answers: Answers, guards: GuardPool, scratch: Path) -> None:
    model = await asyncio.to_thread(canary_model.write, scratch / "trial.gguf")
    port, key = _free_port(), secrets.token_urlsafe(24)
    own = {**answers.located.environment, "LLAMA_API_KEY": key}
    process = await guards.launch(
        _argv(answers, model, port),
        env=engine_environment(os.environ, own),
        cwd=scratch,
        log=scratch / "log.txt",
    )
    try:
        await _until_ready(process, port)
        said = await asyncio.to_thread(_complete, port, key)
    finally:
        await asyncio.shield(process.stop())
    if said.strip() != canary_model.SENTENCE:
        raise CanaryFailed(
            f"It answered {said[:100]!r} where a trial model says {canary_model.SENTENCE!r}: its "
            "arithmetic is wrong on this machine. Try a build for another backend."
        )


def _argv(answers: Answers, model: Path, port: int) -> list[str]:
    argv = [str(answers.located.path), "--model", str(model), "--host", HOST, "--port", str(port)]
    options = [("--ctx-size", "256"), ("--parallel", "1"), ("--threads", "2"), ("--fit", "off")]
    if answers.devices:
        options.append(("--gpu-layers", "99"))
    return argv + [
        word for name, value in options if name in answers.flags for word in (name, value)
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _until_ready(process: GuardedProcess, port: int) -> None:
    ended = asyncio.ensure_future(process.wait())
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not ended.done():
                if await health.ask(HOST, port, "/health", POLL_SECONDS * 20) == 200:
                    return
                await asyncio.wait([ended], timeout=POLL_SECONDS)
        exit = ended.result()
        last = "; ".join(exit.log_lines[-LAST_LINES:])
        raise CanaryFailed(
            f"It ended while it loaded a trial model ({exit}). Its last words: {last}"
        )
    except TimeoutError:
        text = f"It was not ready with a trial model of 240 KB within {READY_SECONDS:g} s."
        raise CanaryFailed(text) from None
    finally:
        ended.cancel()


def _complete(port: int, key: str) -> str:
    """What it says to a prompt. Raises CanaryFailed."""
    body = json.dumps({"prompt": "Well?", "n_predict": TOKENS, "temperature": 0})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("POST", "/completion", body, headers)
        reply = connection.getresponse()
        data = reply.read(1024 * 1024)
        if reply.status != 200:
            raise CanaryFailed(f"It answered {reply.status} to a trial request: {data[:200]!r}")
        return str(json.loads(data)["content"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise CanaryFailed(f"It gave no answer to a trial request: {error!r}.") from error
    finally:
        connection.close()
