from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from proxy_app.engine_states import EngineEvent, next_state
from proxy_app.errors import UpstreamGone
from proxy_app.guards import GuardPool
from proxy_app.ledger import Ledger
from proxy_app.ports import PortPool
from proxy_app.process import (
    ENGINE_TRANSITIONS,
    Engine,
    EngineSpec,
    EngineStartFailed,
    EngineState,
    EngineStopped,
    EngineTimeouts,
    NoSuchTransition,
)
from proxy_app.start_failures import FailureKind
from tests.processes import ROOT, alive, child_in, eventually, fake_engine, session_members

STOPPED, STARTING, READY, STOPPING = EngineState
Moves = list[tuple[EngineState, EngineState]]


class House:
    """What engines need around them, and a record of how they moved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.guards = GuardPool()
        self.ports = PortPool(22_000)
        self.ledger = Ledger(folder / "ledger")
        self.moves: Moves = []
        self.timeouts = EngineTimeouts()

    def spec(self, *options: str, argv: tuple[str, ...] | None = None) -> EngineSpec:
        return EngineSpec(
            model_id="fox",
            argv=argv or fake_engine(*options),
            log_path=self.folder / "logs" / "fox.log",
            working_directory=ROOT,
        )

    def engine(self, *options: str, argv: tuple[str, ...] | None = None) -> Engine:
        return self.engine_of(self.spec(*options, argv=argv))

    def engine_of(self, spec: EngineSpec) -> Engine:
        return Engine(
            spec,
            guards=self.guards,
            ports=self.ports,
            ledger=self.ledger,
            timeouts=self.timeouts,
            on_change=self.note,
        )

    def note(self, engine: Engine, old: EngineState, new: EngineState) -> None:
        assert engine.state is new
        self.moves.append((old, new))

    async def reaches(self, engine: Engine, state: EngineState) -> None:
        while engine.state is not state:
            await asyncio.sleep(0.005)

    async def child_of(self, engine: Engine) -> int:
        log = engine.spec.log_path
        assert await asyncio.to_thread(eventually, lambda: child_in(log))
        child = child_in(log)
        assert child is not None
        return child


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    try:
        yield house
    finally:
        await house.guards.aclose(0)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """The port of a server that is no engine and gives everybody the same answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


# ---- The table ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "event"), list(product(EngineState, EngineEvent)))
def test_every_move_is_in_the_table_or_an_error(state: EngineState, event: EngineEvent) -> None:
    if (state, event) in ENGINE_TRANSITIONS:
        assert next_state(state, event) is ENGINE_TRANSITIONS[state, event]
    else:
        with pytest.raises(NoSuchTransition, match=f"is {state} has no move for '{event}'"):
            next_state(state, event)


def test_every_state_can_be_reached_and_left() -> None:
    assert {state for state, _ in ENGINE_TRANSITIONS} == set(EngineState)
    assert set(ENGINE_TRANSITIONS.values()) == set(EngineState)


# ---- Start -------------------------------------------------------------------------------------


async def test_it_starts_when_it_is_needed_and_stops_when_told(house: House) -> None:
    engine = house.engine()
    assert engine.state is STOPPED
    await engine.ensure_ready()
    assert engine.port is not None and engine.pid is not None and engine.pool is not None
    assert engine.base_url == f"http://127.0.0.1:{engine.port}"
    async with await engine.pool.request(b"GET", b"/health", []) as response:
        assert response.status == 200
    (entry,) = house.ledger.survivors()
    assert (entry.model_id, entry.pid, entry.port) == ("fox", engine.pid, engine.port)
    pid = engine.pid
    await engine.stop()
    assert not alive(pid)
    assert house.moves == [
        (STOPPED, STARTING),
        (STARTING, READY),
        (READY, STOPPING),
        (STOPPING, STOPPED),
    ]
    assert engine.failure is None
    assert house.ledger.entries() == []


async def test_one_start_serves_everybody_who_waits(house: House) -> None:
    engine = house.engine("--load-seconds", "0.2")
    engine.start()
    await asyncio.gather(*(engine.ensure_ready() for _ in range(10)))
    assert house.moves == [(STOPPED, STARTING), (STARTING, READY)]
    await engine.stop()


async def test_it_can_be_started_again(house: House) -> None:
    engine = house.engine()
    await engine.ensure_ready()
    first = (engine.pid, engine.port)
    await engine.stop()
    await engine.ensure_ready()
    assert (engine.pid, engine.port) != first
    await engine.stop()


async def test_it_is_not_ready_before_its_model_is_loaded(house: House) -> None:
    engine = house.engine("--load-seconds", "0.5")
    engine.start()
    await house.reaches(engine, STARTING)
    log = engine.spec.log_path
    assert await asyncio.to_thread(
        eventually, lambda: log.exists() and "loading" in log.read_text()
    )
    assert engine.state is STARTING
    await engine.ensure_ready()
    # The guard writes down what the engine says a moment after it said it.
    assert await asyncio.to_thread(eventually, lambda: "model loaded" in log.read_text())
    await engine.stop()


async def test_leaving_the_wait_does_not_stop_the_engine(house: House) -> None:
    engine = house.engine("--load-seconds", "0.2")
    impatient = asyncio.create_task(engine.ensure_ready())
    await house.reaches(engine, STARTING)
    impatient.cancel()
    await engine.ensure_ready()
    await engine.stop()
    assert impatient.cancelled()


async def test_an_engine_that_is_not_asked_counts_as_up_when_it_lives_on(house: House) -> None:
    spec = replace(house.spec(argv=("sleep", "60")), check_endpoint="none")
    engine = house.engine_of(spec)
    await engine.ensure_ready()
    await engine.stop()
    broken = house.engine_of(replace(spec, argv=("false",)))
    with pytest.raises(EngineStartFailed, match="exit code 1"):
        await broken.ensure_ready()


async def test_it_serves_on_a_fixed_port(house: House) -> None:
    port = house.ports.acquire()
    spec = replace(
        house.spec(argv=fake_engine(port=str(port))),
        proxy_url=f"http://localhost:{port}/",
        check_endpoint="/health",
    )
    engine = house.engine_of(spec)
    await engine.ensure_ready()
    assert engine.base_url == f"http://localhost:{port}"
    assert house.ledger.survivors()[0].port is None
    await engine.stop()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:${PORT}", "127.0.0.1:${PORT}", "http://", ""])
def test_an_address_it_could_never_reach_is_refused(house: House, url: str) -> None:
    with pytest.raises(ValueError, match="the address of fox"):
        replace(house.spec(), proxy_url=url)


def test_an_empty_command_is_refused(house: House) -> None:
    with pytest.raises(ValueError, match="the command of fox is empty"):
        replace(house.spec(), argv=())


async def test_the_port_is_filled_in_wherever_it_is_named(house: House) -> None:
    script = "echo $1 $ADDRESS; sleep 60"
    spec = replace(
        house.spec(argv=("sh", "-c", script, "sh", "port=${PORT}")),
        env={"ADDRESS": "here:${PORT}"},
        check_endpoint="none",
    )
    engine = house.engine_of(spec)
    await engine.ensure_ready()
    expected = f"port={engine.port} here:{engine.port}\n"
    assert await asyncio.to_thread(eventually, lambda: spec.log_path.read_text() == expected)
    await engine.stop()


async def test_its_environment_holds_no_secret_of_the_server(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLARACORE_SECRET_KEY", "hush")
    engine = house.engine()
    await engine.ensure_ready()
    assert b"hush" not in Path(f"/proc/{engine.pid}/environ").read_bytes()
    await engine.stop()


def test_it_shows_what_it_is(house: House) -> None:
    assert repr(house.engine()) == "<Engine fox stopped for 0 s>"


# ---- Failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ("weights", FailureKind.MEMORY_WEIGHTS),
        ("kv", FailureKind.MEMORY_KV),
        ("compute", FailureKind.MEMORY_COMPUTE),
        ("projector", FailureKind.MEMORY_OTHER),
        ("flag", FailureKind.UNKNOWN_FLAG),
        ("architecture", FailureKind.UNSUPPORTED_ARCHITECTURE),
        ("truncated", FailureKind.CORRUPT_FILE),
        ("missing", FailureKind.MISSING_FILE),
        ("silent", FailureKind.EXITED),
    ],
)
async def test_everybody_who_waits_is_told_why_it_died_loading(
    house: House, cause: str, kind: FailureKind
) -> None:
    engine = house.engine("--die-loading", cause)
    told = await asyncio.gather(*(engine.ensure_ready() for _ in range(3)), return_exceptions=True)
    for error in told:
        assert isinstance(error, EngineStartFailed)
        assert error.failure is engine.failure
    assert engine.failure is not None
    assert engine.failure.kind is kind
    assert any("loading model" in line for line in engine.failure.log_tail)
    assert house.moves == [(STOPPED, STARTING), (STARTING, STOPPED)]
    assert house.ledger.entries() == []
    assert f"failure={kind}" in repr(engine)


async def test_a_failure_is_forgotten_with_the_next_start(house: House, tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    flag.touch()
    run_fake = " ".join(fake_engine())
    engine = house.engine(argv=("sh", "-c", f"[ -e {flag} ] && exit 1; exec {run_fake}"))
    with pytest.raises(EngineStartFailed):
        await engine.ensure_ready()
    flag.unlink()
    await engine.ensure_ready()
    assert engine.failure is None
    await engine.stop()


async def test_a_program_that_does_not_exist_is_a_plain_reason(house: House) -> None:
    engine = house.engine(argv=("/no/such/llama-server", "--port", "${PORT}"))
    with pytest.raises(EngineStartFailed, match="there is no program /no/such/llama-server"):
        await engine.ensure_ready()
    assert engine.failure is not None
    assert engine.failure.kind is FailureKind.NOT_STARTED
    assert engine.failure.log_tail == ()


async def test_an_engine_that_never_answers_is_ended_after_its_time(house: House) -> None:
    # A shell, since a Python under load may not have come to its fork after the half second.
    forks = "sleep 60 & echo fake: child $!; wait"
    spec = house.spec(argv=("sh", "-c", forks, "${PORT}"))
    engine = house.engine_of(replace(spec, start_timeout=0.5, stop_grace=0.2))
    with pytest.raises(EngineStartFailed, match=r"not ready within 0.5 s .*never answered"):
        await engine.ensure_ready()
    assert engine.failure is not None
    assert engine.failure.kind is FailureKind.TIMED_OUT
    assert not alive(await house.child_of(engine))
    assert house.moves == [(STOPPED, STARTING), (STARTING, STOPPED)]


async def test_the_last_answer_of_an_engine_that_stays_unhealthy_is_told(house: House) -> None:
    async with answering(b"HTTP/1.1 500 Internal Server Error\r\n\r\n") as port:
        spec = replace(
            house.spec(argv=("sleep", "60")),
            proxy_url=f"http://127.0.0.1:{port}/base/",
            start_timeout=0.5,
        )
        with pytest.raises(EngineStartFailed, match=r"GET /base/health last answered 500"):
            await house.engine_of(spec).ensure_ready()


async def test_a_crash_is_noticed_at_once(house: House) -> None:
    engine = house.engine("--fork-child")
    await engine.ensure_ready()
    child = await house.child_of(engine)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    await house.reaches(engine, STOPPED)
    assert engine.failure is not None
    assert engine.failure.signal == signal.SIGKILL
    assert house.moves[2:] == [(READY, STOPPING), (STOPPING, STOPPED)]
    assert not alive(child)
    assert engine.pool is not None
    with pytest.raises(UpstreamGone):
        await engine.pool.request(b"GET", b"/health", [])


async def test_an_engine_asked_for_while_a_crashed_one_is_cleared_up_starts_again(
    house: House,
) -> None:
    engine = house.engine("--fork-child")
    await engine.ensure_ready()
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    await house.reaches(engine, STOPPING)
    await engine.ensure_ready()
    assert engine.state is READY
    assert engine.failure is None
    await engine.stop()


# ---- Ports -------------------------------------------------------------------------------------

BINDS_SOON = """
import runpy, socket, sys
if not __import__("os").path.exists({flag!r}):
    open({flag!r}, "w").close()
    thief = socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])))
runpy.run_module("tests.fake_engine", run_name="__main__", alter_sys=True)
"""


async def test_an_engine_whose_port_was_taken_meanwhile_is_started_on_another(
    house: House, tmp_path: Path
) -> None:
    script = BINDS_SOON.format(flag=str(tmp_path / "taken once"))
    engine = house.engine(argv=(sys.executable, "-c", script, "--port", "${PORT}"))
    await engine.ensure_ready()
    assert "couldn't bind" in engine.spec.log_path.read_text()
    assert house.moves == [(STOPPED, STARTING), (STARTING, READY)]
    await engine.stop()


async def test_an_engine_that_ended_without_its_last_words_is_asked_once_more(
    house: House, tmp_path: Path
) -> None:
    been = tmp_path / "been"
    wordless = (
        f"if [ -e {been} ]; then echo \"unknown model architecture: 'x'\"; fi; touch {been}; exit 1"
    )
    spec = replace(house.spec(argv=("sh", "-c", wordless)), may_lose_its_last_words=True)
    with pytest.raises(EngineStartFailed, match="does not support the architecture x"):
        await house.engine_of(spec).ensure_ready()


async def test_an_engine_that_says_nothing_twice_is_not_tried_again(
    house: House, tmp_path: Path
) -> None:
    counted = f"echo started >> {tmp_path / 'starts'}; exit 3"
    spec = replace(house.spec(argv=("sh", "-c", counted)), may_lose_its_last_words=True)
    with pytest.raises(EngineStartFailed, match="exit code 3"):
        await house.engine_of(spec).ensure_ready()
    assert (tmp_path / "starts").read_text().count("started") == 2


async def test_it_gives_up_when_port_after_port_is_taken(house: House) -> None:
    engine = house.engine("--die-loading", "port")
    with pytest.raises(EngineStartFailed, match="its port is taken"):
        await engine.ensure_ready()
    assert engine.spec.log_path.read_text().count("couldn't bind") == 4
    assert house.moves == [(STOPPED, STARTING), (STARTING, STOPPED)]


async def test_a_stranger_that_answers_on_the_port_does_not_count(house: House) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as port:
        argv = fake_engine("--no-listen", port=str(port))
        spec = replace(house.spec(argv=argv), proxy_url=f"http://127.0.0.1:{port}")
        with pytest.raises(EngineStartFailed, match=f"port {port} is served by another program"):
            await house.engine_of(spec).ensure_ready()


async def test_a_port_is_given_back_when_the_engine_is_gone(house: House) -> None:
    engine = house.engine("--fork-child", "--keep-port")
    await engine.ensure_ready()
    port = engine.port
    assert port is not None
    await engine.stop(0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


# ---- Stop --------------------------------------------------------------------------------------


async def test_stopping_what_is_stopped_is_no_work(house: House) -> None:
    engine = house.engine()
    await engine.stop()
    await engine.kill()
    assert house.moves == []


async def test_a_starting_engine_can_be_stopped(house: House) -> None:
    engine = house.engine("--load-seconds", "60", "--fork-child")
    waiting = asyncio.create_task(engine.ensure_ready())
    child = await house.child_of(engine)
    await engine.stop()
    with pytest.raises(EngineStopped, match="fox was stopped while it started"):
        await waiting
    assert not alive(child)
    assert engine.failure is None
    assert house.moves == [(STOPPED, STARTING), (STARTING, STOPPING), (STOPPING, STOPPED)]


async def test_an_engine_can_be_stopped_before_it_was_even_launched(house: House) -> None:
    engine = house.engine("--load-seconds", "60")
    engine.start()
    await house.reaches(engine, STARTING)
    await engine.stop()
    assert engine.state is STOPPED
    assert house.ledger.entries() == []


async def test_stopping_cuts_the_connections_of_requests_that_would_go_on(house: House) -> None:
    engine = house.engine("--fake", '{"never": true}')
    await engine.ensure_ready()
    assert engine.pool is not None
    body = b'{"messages": [], "stream": true}'
    asking = asyncio.create_task(engine.pool.request(b"POST", b"/v1/chat/completions", [], body))
    await asyncio.sleep(0.1)
    await engine.stop()
    with pytest.raises(UpstreamGone):
        await asking


async def test_stops_at_once_from_several_sides_are_one(house: House) -> None:
    engine = house.engine()
    await engine.ensure_ready()
    await asyncio.gather(*(engine.stop() for _ in range(5)), engine.kill())
    assert house.moves[2:] == [(READY, STOPPING), (STOPPING, STOPPED)]


async def test_an_engine_that_ignores_sigterm_is_killed_with_its_children(house: House) -> None:
    engine = house.engine("--ignore-sigterm", "--fork-child")
    await engine.ensure_ready()
    pid, child = engine.pid, await house.child_of(engine)
    assert pid is not None
    await engine.stop(0.2)
    assert session_members(pid) == []
    assert not alive(child)


async def test_killing_shortens_a_patient_stop(house: House) -> None:
    engine = house.engine("--ignore-sigterm")
    await engine.ensure_ready()
    patient = asyncio.create_task(engine.stop(600))
    await house.reaches(engine, STOPPING)
    await engine.kill()
    await patient
    assert engine.state is STOPPED


async def test_an_engine_wanted_while_it_stops_starts_again_afterwards(house: House) -> None:
    engine = house.engine()
    await engine.ensure_ready()
    stopping = asyncio.create_task(engine.stop())
    await house.reaches(engine, STOPPING)
    await engine.ensure_ready()
    await stopping
    assert [new for _, new in house.moves] == [STARTING, READY, STOPPING, STOPPED, STARTING, READY]
    await engine.stop()


async def test_a_stop_takes_back_the_wish_for_another_start(house: House) -> None:
    engine = house.engine("--ignore-sigterm")
    await engine.ensure_ready()
    stopping = asyncio.create_task(engine.stop(600))
    await house.reaches(engine, STOPPING)
    wanting = asyncio.create_task(engine.ensure_ready())
    await asyncio.sleep(0)
    await engine.kill()
    await stopping
    with pytest.raises(EngineStopped):
        await wanting
    assert engine.state is STOPPED


async def test_whoever_is_told_of_a_move_may_ask_for_the_next(house: House) -> None:
    moves: Moves = []
    stops: list[asyncio.Task[None]] = []

    def stop_when_ready(engine: Engine, old: EngineState, new: EngineState) -> None:
        moves.append((old, new))
        if new is READY:
            stops.append(asyncio.create_task(engine.stop()))

    engine = Engine(
        house.spec(),
        guards=house.guards,
        ports=house.ports,
        ledger=house.ledger,
        on_change=stop_when_ready,
    )
    await engine.ensure_ready()
    await asyncio.gather(*stops)
    assert [new for _, new in moves] == [STARTING, READY, STOPPING, STOPPED]


async def test_a_listener_that_fails_does_not_lose_the_engine(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(engine: Engine, old: EngineState, new: EngineState) -> None:
        raise RuntimeError(f"told of {new}")

    engine = Engine(
        house.spec(), guards=house.guards, ports=house.ports, ledger=house.ledger, on_change=fail
    )
    await engine.ensure_ready()
    await engine.stop()
    assert engine.state is STOPPED
    assert "told of ready" in caplog.text


async def test_a_ledger_that_cannot_be_written_does_not_keep_it_from_serving(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    (house.folder / "ledger").write_text("not a folder")
    engine = house.engine()
    await engine.ensure_ready()
    await engine.stop()
    assert "could not be entered in the ledger" in caplog.text


async def test_a_restful_engine_leaves_no_task_behind(house: House) -> None:
    engine = house.engine()
    await engine.ensure_ready()
    await engine.stop()
    await house.guards.aclose()
    left = [task.get_name() for task in asyncio.all_tasks() if "fox" in task.get_name()]
    assert left == []
