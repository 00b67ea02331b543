"""Any command that serves HTTP can be an engine: two that have nothing to do with llama-server."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from models_app import config_yaml
from models_app.models import LoadRecord
from proxy_app.after_load import remember_load
from proxy_app.errors import GatewayError, ModelBackingOff, ModelFailedToStart
from proxy_app.guards import GuardPool
from proxy_app.ledger import Ledger
from proxy_app.lineup import line_up
from proxy_app.process import Engine, EngineState
from proxy_app.runner import Runner
from tests.processes import HANG_SECONDS, alive

NGINX = shutil.which("nginx")

NGINX_CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:PORT;
        location = /alive {{ return 200 "yes"; }}
        location / {{ return 200 "nginx answers"; }}
    }}
}}
"""

CONFIGURATION = """
models:
  pages:
    cmd: {python} -m http.server --bind 127.0.0.1 --directory {folder}/pages ${{PORT}}
    checkEndpoint: /hello.txt
    cmdStop: /bin/sh -c 'echo "$WHO stops $0" > {folder}/stopped; kill $0' ${{PID}}
    env: ["WHO=pages"]
  web:
    cmd: /bin/sh -c 'sed s/PORT/$0/ {folder}/nginx.in > {folder}/nginx.conf &&
      exec {nginx} -e {folder}/error.log -c {folder}/nginx.conf' ${{PORT}}
    cmdStop: '{nginx} -e {folder}/error.log -c {folder}/nginx.conf -s quit'
    proxy: http://localhost:${{PORT}}/
    checkEndpoint: /alive
  broken:
    cmd: /bin/sh -c 'echo no luck on $0; exit 3' ${{PORT}}
"""


class House:
    """A runner with what it needs around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.guards = GuardPool()
        self.runner = Runner(
            folder,
            self.guards,
            Ledger(folder / "ledger"),
            on_change=lambda: None,
            descend=_never_smaller,
            on_ready=_nothing_after,
        )
        self.configure()

    def configure(self, more: str = "", *, pinned: str = "") -> None:
        text = CONFIGURATION.format(python=sys.executable, nginx=NGINX, folder=self.folder)
        document = config_yaml.parse(text + more).document
        if pinned:
            stays = replace(document.models[pinned], pinned=True)
            document = replace(document, models={**document.models, pinned: stays})
        self.runner.apply(line_up(document))

    def configure_env(self, variable: str) -> None:
        """The same, but `pages` gets another environment."""
        text = CONFIGURATION.format(python=sys.executable, nginx=NGINX, folder=self.folder)
        text = text.replace('"WHO=pages"', f'"WHO=pages", "{variable}"')
        self.runner.apply(line_up(config_yaml.parse(text).document))

    async def get(self, model: str, path: str) -> tuple[int, bytes, int]:
        """Status and body of an answer, and the engine's process id."""
        with await self.runner.acquire(model) as lease:
            engine = lease.engine
            assert engine.pool is not None and engine.pid is not None
            async with await engine.pool.request(b"GET", path.encode(), []) as response:
                return response.status, b"".join([part async for part in response]), engine.pid


async def _never_smaller(model: str, reason: str) -> bool:
    return False


async def _nothing_after(engine: Engine, seconds: float) -> None:
    return


async def _no_file(learn: Callable[[], LoadRecord | None]) -> LoadRecord | None:
    return None


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "hello.txt").write_text("python answers")
    (tmp_path / "nginx.in").write_text(NGINX_CONFIGURATION.format(folder=tmp_path))
    house = House(tmp_path)
    try:
        yield house
    finally:
        async with asyncio.timeout(HANG_SECONDS):
            await house.runner.close(0)
            await house.guards.aclose()


async def test_pythons_file_server_is_an_engine_with_a_health_path_and_a_stop_command(
    house: House,
) -> None:
    status, body, pid = await house.get("pages", "/hello.txt")
    assert (status, body) == (200, b"python answers")
    await house.runner.unload("pages")
    assert not alive(pid)
    assert (house.folder / "stopped").read_text() == f"pages stops {pid}\n"


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
async def test_nginx_is_an_engine_whose_workers_end_by_its_stop_command(house: House) -> None:
    status, body, pid = await house.get("web", "/anything")
    assert (status, body) == (200, b"nginx answers")
    await house.runner.unload("web")
    assert not alive(pid)
    # It removes this file when it was asked to quit, but not when it was killed.
    assert not (house.folder / "nginx.pid").exists()
    failure = house.runner.engine("web")
    assert failure is None


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
async def test_they_swap_like_models(house: House) -> None:
    _, _, first = await house.get("pages", "/hello.txt")
    await house.get("web", "/")
    assert not alive(first)
    assert (await house.get("pages", "/hello.txt"))[1] == b"python answers"


async def test_what_a_command_of_ones_own_takes_is_measured_unless_it_works_elsewhere(
    house: House,
) -> None:
    await house.get("pages", "/hello.txt")
    engine = house.runner.engine("pages")
    assert engine is not None and engine.spec.stop_argv
    assert await remember_load(engine, 1.0, _no_file) == ()
    engine.spec = replace(engine.spec, stop_argv=())
    (ram,) = await remember_load(engine, 1.0, _no_file)
    assert (ram.device, ram.predicted) == ("CPU", None)
    assert ram.measured is not None and ram.measured > 1024**2


# ---- What fails again and again ----------------------------------------------------------------


async def fail(house: House) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await house.get("broken", "/")
    return caught.value


async def test_a_model_that_fails_again_is_left_alone_for_a_while(house: House) -> None:
    """The first implementation's P4: no back-off after repeated failures."""
    first, second, third = [await fail(house) for _ in range(3)]
    assert first.status == second.status == 502
    assert (first.retry_after, second.retry_after) == (None, 5)
    assert "no luck" in str(second)
    assert isinstance(third, ModelBackingOff)
    assert third.status == 503
    assert third.retry_after is not None and 0 < third.retry_after <= 5
    assert "2 times in a row: the engine ended by itself with exit code 3" in str(third)


async def test_a_person_who_loads_it_is_not_made_to_wait(house: House) -> None:
    for _ in range(3):
        last = await fail(house)
    assert isinstance(last, ModelBackingOff)
    house.runner.load("broken")
    with pytest.raises(ModelFailedToStart):
        await house.runner.wait_until_settled("broken")


async def test_a_changed_configuration_ends_the_pause(house: House) -> None:
    for _ in range(3):
        last = await fail(house)
    assert isinstance(last, ModelBackingOff)
    house.configure("    description: changed\n")
    assert isinstance(await fail(house), ModelFailedToStart)


async def test_a_pause_of_one_model_is_none_for_others(house: House) -> None:
    for _ in range(3):
        await fail(house)
    assert (await house.get("pages", "/hello.txt"))[0] == 200


# ---- Pinned models -----------------------------------------------------------------------------


async def loaded_anew(house: House, model: str, before: int) -> int:
    """The process id of the model's engine once it is ready and another one than before."""
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            engine = house.runner.engine(model)
            ready = engine is not None and engine.state is EngineState.READY
            if engine is not None and ready and engine.pid not in (None, before):
                assert engine.pid is not None
                return engine.pid
            await asyncio.sleep(0.01)


async def test_a_pinned_model_that_crashes_is_loaded_again_though_nobody_asks(
    house: House,
) -> None:
    house.configure(pinned="pages")
    pid = await loaded_anew(house, "pages", 0)
    os.kill(pid, signal.SIGKILL)
    await loaded_anew(house, "pages", pid)


async def test_a_pinned_model_that_was_unloaded_by_hand_while_it_rests_stays_unloaded(
    house: House,
) -> None:
    house.configure(pinned="broken")
    async with asyncio.timeout(HANG_SECONDS):
        while not house.runner.is_resting("broken"):
            await asyncio.sleep(0.01)
        await house.runner.unload("broken")
    assert not house.runner.is_resting("broken")
    assert house.runner.state("broken") is EngineState.STOPPED
