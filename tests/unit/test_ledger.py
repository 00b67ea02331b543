from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy_app import kin
from proxy_app.ledger import Entry, Ledger
from tests.processes import HANG_SECONDS, alive, eventually, session_members

TOKEN = "0123456789abcdef"
FORKS = "trap '' TERM; sleep 60 & echo up; wait"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "run" / "engines")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / "engines"


@pytest.fixture
def engine() -> Iterator[subprocess.Popen[bytes]]:
    """Leads a session like an engine without its guard, and has a child of its own."""
    with started("sh", "-c", FORKS) as process:
        yield process
        for pid in session_members(process.pid):
            os.kill(pid, signal.SIGKILL)


def started(*argv: str, token: str = TOKEN) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        argv,
        start_new_session=True,
        stdout=subprocess.PIPE,
        env={"PATH": os.defpath, kin.TOKEN_VARIABLE: token},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


def entry_of(process: subprocess.Popen[bytes]) -> Entry:
    since = kin.start_time(process.pid)
    assert since is not None
    argv = tuple(str(word) for word in process.args)  # type: ignore[union-attr]
    return Entry("qwen", process.pid, since, argv, 5801, 1, TOKEN)


def test_it_remembers_an_engine_for_its_owner_alone(
    ledger: Ledger, folder: Path, engine: subprocess.Popen[bytes]
) -> None:
    entry = entry_of(engine)
    ledger.record(entry)
    assert ledger.survivors() == [entry]
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_it_forgets_an_engine(ledger: Ledger, engine: subprocess.Popen[bytes]) -> None:
    ledger.record(entry_of(engine))
    ledger.forget(entry_of(engine))
    ledger.forget(entry_of(engine))
    assert ledger.entries() == []


def test_an_empty_ledger_has_no_survivors(ledger: Ledger) -> None:
    assert ledger.survivors() == []
    assert ledger.end_survivors() == 0


def test_it_ends_a_survivor_with_all_its_children(
    ledger: Ledger, folder: Path, engine: subprocess.Popen[bytes]
) -> None:
    ledger.record(entry_of(engine))
    assert len(session_members(engine.pid)) == 2
    assert ledger.end_survivors(timeout=0.2) == 1
    assert session_members(engine.pid) == []
    assert list(folder.iterdir()) == []


def test_it_leaves_engines_of_another_node_alone(
    ledger: Ledger, folder: Path, engine: subprocess.Popen[bytes]
) -> None:
    entry = replace(entry_of(engine), node="gpu-2")
    ledger.record(entry)
    assert ledger.end_survivors(timeout=0) == 0
    assert alive(engine.pid)
    assert Ledger(folder, "gpu-2").survivors() == [entry]


def test_an_entry_from_before_there_were_nodes_is_the_first_ones(
    ledger: Ledger, folder: Path, engine: subprocess.Popen[bytes]
) -> None:
    ledger.record(entry_of(engine))
    (file,) = folder.iterdir()
    fields = json.loads(file.read_text())
    del fields["node"]
    file.write_text(json.dumps(fields))
    assert ledger.survivors() == [entry_of(engine)]


def test_it_ends_a_survivor_gently_if_it_can(ledger: Ledger) -> None:
    script = "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.01; done"
    with started("sh", "-c", script) as engine:
        ledger.record(entry_of(engine))
        assert ledger.end_survivors(timeout=HANG_SECONDS) == 1
        assert engine.stdout is not None
        assert engine.stdout.read() == b"bye\n"


def test_it_ends_a_child_whose_parent_is_gone(
    ledger: Ledger, engine: subprocess.Popen[bytes]
) -> None:
    ledger.record(entry_of(engine))
    engine.kill()
    engine.wait()
    (child,) = session_members(engine.pid)
    assert ledger.end_survivors(timeout=0) == 1
    assert not alive(child)


@pytest.mark.parametrize(
    "changes",
    [{"start_time": 1}, {"argv": ("sh", "-c", "something else")}, {"argv": ("other",)}],
)
def test_a_process_that_does_not_match_is_never_touched(
    ledger: Ledger,
    folder: Path,
    engine: subprocess.Popen[bytes],
    changes: dict[str, object],
) -> None:
    stranger = replace(entry_of(engine), token="another token", **changes)  # type: ignore[arg-type]
    ledger.record(stranger)
    assert ledger.end_survivors(timeout=0) == 0
    assert len(session_members(engine.pid)) == 2
    assert list(folder.iterdir()) == []


def test_a_script_is_known_by_its_arguments_though_the_kernel_names_its_interpreter(
    ledger: Ledger, tmp_path: Path
) -> None:
    script = tmp_path / "engine"
    script.write_text("#!/bin/sh\necho up\nsleep 60\n")
    script.chmod(0o755)
    for arguments in ((), ("--port", "5801")):
        with started(str(script), *arguments, token="") as engine:
            ledger.record(entry_of(engine))
            assert ledger.end_survivors(timeout=HANG_SECONDS) == 1
            assert session_members(engine.pid) == []


def test_a_process_that_ended_but_is_not_reaped_is_no_survivor(
    ledger: Ledger, engine: subprocess.Popen[bytes]
) -> None:
    for pid in session_members(engine.pid):
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: session_members(engine.pid) == [])
    ledger.record(entry_of(engine))
    assert ledger.survivors() == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": 1}', json.dumps({"argv": 5}), "\ufffd", None]
)
def test_it_removes_a_file_that_is_no_entry(
    ledger: Ledger, folder: Path, content: str | None, engine: subprocess.Popen[bytes]
) -> None:
    ledger.record(entry_of(engine))
    broken = folder / "broken.json"
    if content is None:  # A good entry under another's name.
        broken.write_bytes((folder / f"{TOKEN}.json").read_bytes())
    else:
        broken.write_text(content)
    (folder / "unfinished.part").write_text("{")
    assert ledger.entries() == [entry_of(engine)]
    assert [path.name for path in folder.iterdir()] == [f"{TOKEN}.json"]


# ---- Stop commands of engines whose guards were killed -----------------------------------------


def stopping(entry: Entry, note: Path, word: str = "container") -> Entry:
    """The entry of a model whose own stop command writes a word to a file."""
    argv = ("sh", "-c", 'echo "$WHO stops $0" >> "$1"', word, str(note))
    return replace(entry, stop_argv=argv, stop_env={"WHO": "qwen", "PATH": os.defpath})


def test_the_stop_command_of_a_survivor_is_executed(
    ledger: Ledger, tmp_path: Path, engine: subprocess.Popen[bytes]
) -> None:
    ledger.record(stopping(entry_of(engine), tmp_path / "note"))
    assert ledger.end_survivors(timeout=0) == 1
    assert (tmp_path / "note").read_text() == "qwen stops container\n"


def test_so_is_that_of_an_engine_of_which_nothing_lives(ledger: Ledger, tmp_path: Path) -> None:
    """Both were killed, server and guard: the engine died with them, its container did not."""
    entry = Entry("qwen", 0, 0, ("docker", "run"), 5801, 0, TOKEN)
    ledger.record(stopping(entry, tmp_path / "note"))
    assert ledger.survivors() == []
    assert (tmp_path / "note").read_text() == "qwen stops container\n"
    assert ledger.entries() == []


def test_but_not_once_more_when_the_guard_had_seen_to_it(
    ledger: Ledger, folder: Path, tmp_path: Path
) -> None:
    ledger.record(stopping(Entry("qwen", 0, 0, ("x",), 5801, 0, TOKEN), tmp_path / "note"))
    (folder / f"{TOKEN}.exit").write_text('{"exited": {"code": 0, "signal": null}}')
    assert ledger.survivors() == []
    assert not (tmp_path / "note").exists()


def test_nor_one_that_names_a_process_that_may_be_a_strangers_by_now(
    ledger: Ledger, tmp_path: Path
) -> None:
    entry = Entry("qwen", os.getpid(), 0, ("x",), 5801, 0, TOKEN)
    ledger.record(stopping(entry, tmp_path / "note", word="${PID}"))
    assert ledger.survivors() == []
    assert not (tmp_path / "note").exists()


def test_a_stop_command_that_fails_keeps_nobody_up(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    entry = Entry("qwen", 0, 0, ("x",), 5801, 0, TOKEN)
    for argv in (("no such program",), ("sh", "-c", "echo no such container >&2; exit 1")):
        ledger.record(replace(entry, stop_argv=argv, stop_env={"PATH": os.defpath}))
        assert ledger.survivors() == []
    assert "The stop command failed" in caplog.text
    assert "The stop command ended with 1: no such container" in caplog.text


def test_the_start_time_of_a_process_never_changes_and_of_none_is_none() -> None:
    with started("sh", "-c", "echo up; read line") as process:
        first = kin.start_time(process.pid)
        assert first is not None
        assert kin.start_time(process.pid) == first
        process.kill()
    assert kin.start_time(process.pid) is None
