from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from proxy_app.guards import GuardedProcess, GuardPool, LaunchFailed
from proxy_app.kin import TOKEN_VARIABLE, Identity
from proxy_app.stop_command import StopCommand
from tests.processes import (
    HANG_SECONDS,
    alive,
    children_of,
    command_of,
    eventually,
    session_members,
)

EVERY_LOOP = True
PATH = {"PATH": os.defpath}
FORKS = "trap '' TERM; sleep 60 & echo child $!; wait"


@pytest.fixture
async def guards() -> AsyncIterator[GuardPool]:
    pool = GuardPool()
    try:
        yield pool
    finally:
        await pool.aclose()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "engine.log"


async def launch(guards: GuardPool, log: Path, *argv: str) -> GuardedProcess:
    return await guards.launch(argv, env=PATH, cwd=None, log=log)


async def said(log: Path, text: str) -> bool:
    return await asyncio.to_thread(eventually, lambda: log.exists() and text in log.read_text())


async def test_it_launches_a_program_and_tells_how_it_ended(guards: GuardPool, log: Path) -> None:
    child = await launch(guards, log, "sh", "-c", "echo hello; exit 4")
    ended = await child.wait()
    assert (ended.code, ended.signal, ended.log_lines) == (4, None, ("hello",))
    assert str(ended) == "exit code 4"
    await child.wait_closed()
    assert child.closed
    assert await asyncio.to_thread(eventually, lambda: not alive(child.guard_pid))


async def test_it_launches_with_a_guard_that_was_waiting(guards: GuardPool, log: Path) -> None:
    await guards.start()
    first = await launch(guards, log, "sleep", "60")
    second = await launch(guards, log, "sleep", "60")
    assert len({first.guard_pid, second.guard_pid}) == 2
    assert (await first.stop()).signal == signal.SIGTERM
    assert (await second.stop(0)).signal == signal.SIGKILL


async def test_it_replaces_a_waiting_guard_that_was_killed(guards: GuardPool, log: Path) -> None:
    await guards.start()
    assert await asyncio.to_thread(eventually, guard_pids)
    (spare,) = guard_pids()
    os.kill(spare, signal.SIGKILL)
    child = await launch(guards, log, "true")
    assert child.guard_pid != spare
    assert (await child.wait()).code == 0


def guard_pids() -> list[int]:
    """The guards of this process."""
    return [pid for pid in children_of(os.getpid()) if "guard" in command_of(pid)]


async def test_it_says_why_a_program_could_not_be_started(guards: GuardPool, log: Path) -> None:
    with pytest.raises(LaunchFailed, match="there is no program /no/such/program"):
        await launch(guards, log, "/no/such/program")
    with pytest.raises(LaunchFailed, match="may not be executed"):
        await launch(guards, log, str(Path(__file__)))
    with pytest.raises(LaunchFailed, match=r"working directory /no/such .* \(No such file"):
        await guards.launch(["true"], env=PATH, cwd=Path("/no/such"), log=log)
    with pytest.raises(LaunchFailed, match=r"log file .* cannot be written \(Is a directory"):
        await launch(guards, log.parent, "true")


async def test_it_says_when_the_folder_of_the_log_cannot_be_made(
    guards: GuardPool, tmp_path: Path
) -> None:
    (tmp_path / "logs").write_text("not a folder")
    with pytest.raises(LaunchFailed, match="File exists"):
        await launch(guards, tmp_path / "logs" / "engine.log", "true")


async def test_it_passes_on_nothing_of_the_servers_environment(
    guards: GuardPool, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLARACORE_SECRET_KEY", "hush")
    child = await launch(guards, log, "sh", "-c", "env; sleep 60")
    assert await said(log, TOKEN_VARIABLE)
    assert "hush" not in log.read_text()
    assert b"hush" not in Path(f"/proc/{child.guard_pid}/environ").read_bytes()


async def test_it_does_not_hold_the_servers_own_port(guards: GuardPool, log: Path) -> None:
    """uvicorn's listening socket is inheritable; an engine that held it would block a restart."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        address = listener.getsockname()
        await launch(guards, log, "sleep", "60")
    with socket.socket() as again:
        again.bind(address)


async def test_it_clears_up_after_a_guard_that_was_killed(guards: GuardPool, log: Path) -> None:
    child = await launch(guards, log, "sh", "-c", FORKS)
    assert await said(log, "child")
    os.kill(child.guard_pid, signal.SIGKILL)
    ended = await child.wait()
    assert (ended.code, ended.signal) == (None, None)
    await child.wait_closed()
    assert session_members(child.pid) == []


async def test_it_clears_up_after_a_guard_killed_while_stopping(
    guards: GuardPool, log: Path
) -> None:
    child = await launch(guards, log, "sh", "-c", FORKS)
    assert await said(log, "child")
    child.request_stop(10 * HANG_SECONDS)
    os.kill(child.guard_pid, signal.SIGKILL)
    await child.wait_closed()
    assert session_members(child.pid) == []


async def test_the_stop_command_is_executed_for_a_guard_that_was_killed(
    guards: GuardPool, log: Path, tmp_path: Path
) -> None:
    """Else a container that the engine began would stay behind."""
    note = tmp_path / "note"
    stop = ("sh", "-c", 'echo stopped > "$0"', str(note))
    child = await guards.launch(("sleep", "60"), env=PATH, cwd=None, log=log, stop_argv=stop)
    os.kill(child.guard_pid, signal.SIGKILL)
    await child.wait_closed()
    assert note.read_text() == "stopped\n"


async def test_a_launch_that_nobody_waits_for_any_more_leaves_nothing(
    guards: GuardPool, log: Path
) -> None:
    await guards.start()
    for pause in (0, 0.001, 0.003, 0.01, 0.03):
        launching = asyncio.create_task(launch(guards, log, "sleep", "61.25"))
        await asyncio.sleep(pause)
        launching.cancel()
        await asyncio.gather(launching, return_exceptions=True)
    await guards.aclose()
    assert [pid for pid in psutil.pids() if "61.25" in command_of(pid)] == []


async def test_closing_ends_every_child_and_guard(log: Path) -> None:
    guards = GuardPool()
    children = [await launch(guards, log, "sh", "-c", FORKS) for _ in range(3)]
    await guards.aclose(grace=0.2)
    for child in children:
        assert child.closed
        assert session_members(child.pid) == []
    assert guard_pids() == []


async def test_nothing_is_launched_once_it_closes(log: Path) -> None:
    guards = GuardPool()
    await guards.start()
    await guards.aclose()
    with pytest.raises(LaunchFailed, match="the server is stopping"):
        await launch(guards, log, "true")


async def test_a_guard_that_hangs_is_killed_when_the_pool_closes(log: Path) -> None:
    guards = GuardPool()
    child = await launch(guards, log, "sh", "-c", FORKS)
    assert await said(log, "child")
    os.kill(child.guard_pid, signal.SIGSTOP)
    await guards.aclose(grace=0)
    assert session_members(child.pid) == []
    assert not alive(child.guard_pid)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_it_leaves_no_descriptor_behind(log: Path) -> None:
    async def descriptors_after_use() -> int:
        guards = GuardPool()
        for _ in range(3):
            await (await launch(guards, log, "true")).wait_closed()
        await guards.aclose()
        return len(os.listdir("/proc/self/fd"))

    before = await descriptors_after_use()
    assert await descriptors_after_use() == before


async def test_children_that_are_left_to_another_server_live_on(log: Path, tmp_path: Path) -> None:
    first, second = GuardPool(), GuardPool()
    argv = ["sleep", "60"]
    child = await first.launch(argv, env=PATH, cwd=None, log=log, folder=tmp_path)
    other = await launch(first, log, "sleep", "60")
    child.keep(HANG_SECONDS)
    await first.let_go(frozenset([child.pid]))
    adopted = await second.adopt(
        Identity(child.pid, child.start_time, tuple(argv), child.token),
        child.guard_pid,
        tmp_path,
        StopCommand((), {}),
    )
    assert adopted is not None
    await second.aclose()
    assert adopted.closed
    await first.aclose()
    assert other.closed
    assert guard_pids() == []
