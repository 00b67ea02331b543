"""Which engines are ours, across restarts of the server: one file per engine in a folder."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from models_app import nodes
from proxy_app import kin
from proxy_app.stop_command import StopCommand

logger = logging.getLogger(__name__)

REAP_SECONDS = 2.0
"""How long a guard may take to end after its engine has."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One engine that was started and has not been seen to end."""

    model_id: str
    pid: int
    start_time: int
    argv: tuple[str, ...]
    port: int | None
    guard_pid: int
    token: str
    ready: bool = False
    """It came up, and its guard keeps it for another server."""
    fingerprint: str = ""
    """Of what it was started with; see `EngineSpec.fingerprint`."""
    api_key: str = ""
    stop_argv: tuple[str, ...] = ()
    """The model's own stop command; empty: none."""
    stop_env: Mapping[str, str] = field(default_factory=dict)
    node: str = nodes.DEFAULT
    """Whose engine it is."""

    @property
    def stop_command(self) -> StopCommand:
        return StopCommand(self.stop_argv, self.stop_env)

    @property
    def identity(self) -> kin.Identity:
        return kin.Identity(self.pid, self.start_time, self.argv, self.token)


class Ledger:
    """The folder of entries. Readable by its owner alone, since commands may hold keys.

    Engines of another node that stand in it are neither taken over nor ended: their guards do that
    when their server does not come back.
    """

    def __init__(self, folder: Path, node: str = nodes.DEFAULT) -> None:
        self.folder = folder
        self.node = node

    def record(self, entry: Entry) -> None:
        """Write an entry, whole or not at all. Raises OSError.

        It is not flushed to the disk: a loss of power ends the engine as well.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(entry)
        unfinished = path.with_suffix(".part")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            json.dump(asdict(entry), stream)
        unfinished.replace(path)

    def forget(self, entry: Entry) -> None:
        """Remove the entry of an engine that has ended, and what its guard left beside it."""
        for suffix in (".json", ".exit", ".sock"):
            self._path(entry).with_suffix(suffix).unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """Every readable entry; files that hold none are removed."""
        for unfinished in self.folder.glob("*.part"):
            unfinished.unlink(missing_ok=True)
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                found.append(_read(path))
            except (OSError, ValueError, TypeError, KeyError) as error:
                logger.warning("Removing the unreadable ledger file %s: %s", path.name, error)
                path.unlink(missing_ok=True)
        return found

    def any_lives(self) -> bool:
        """Whether an engine of an earlier server still runs. Looks at the engines alone."""
        return any(kin.start_time(one.pid) == one.start_time for one in self.entries())

    def survivors(self) -> list[Entry]:
        """Entries of which something still lives; the files of all others are removed.

        Only for a server that has started no engine yet: it asks about those of an earlier one.
        """
        alive = []
        for entry in self.entries():
            if not nodes.is_ours(entry.node, self.node):
                continue
            if kin.processes(entry.identity):
                alive.append(entry)
            else:
                if not self._tell_end(entry):
                    entry.stop_command.run()
                _reap(entry.guard_pid)
                self.forget(entry)
        return alive

    def end_survivors(self, timeout: float = 2.0) -> int:
        """End what an earlier server left behind and tell how many engines that were."""
        survivors = self.survivors()
        for entry in survivors:
            self.end(entry, timeout)
        return len(survivors)

    def end(self, entry: Entry, timeout: float = 2.0) -> None:
        """End an engine of an earlier server: SIGTERM and, after `timeout` seconds, SIGKILL.

        Blocks; a process that does not match the entry is never touched.
        """
        logger.info("Ending the engine of %s, process %d", entry.model_id, entry.pid)
        entry.stop_command.run()
        kin.end(entry.identity, timeout)
        _reap(entry.guard_pid)
        self.forget(entry)

    def _tell_end(self, entry: Entry) -> bool:
        """Log how an engine ended that nobody could be told of at the time.

        False when its guard did not see it either, and so did not execute its stop command.
        """
        record = self._path(entry).with_suffix(".exit")
        try:
            exited = json.loads(record.read_text(encoding="utf-8"))["exited"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        by = f"signal {exited['signal']}" if exited.get("signal") else f"code {exited.get('code')}"
        logger.warning(
            "The engine of %s ended while no server was running (%s).", entry.model_id, by
        )
        return True

    def _path(self, entry: Entry) -> Path:
        return self.folder / f"{entry.token}.json"


def _reap(guard: int) -> None:
    """Collect a guard that is our child because this process was the earlier server as well."""
    try:
        process = psutil.Process(guard)
        if process.ppid() == os.getpid():
            process.wait(REAP_SECONDS)
    except psutil.Error:
        return


def _read(path: Path) -> Entry:
    fields = json.loads(path.read_text(encoding="ascii"))
    commands = {name: tuple(fields[name]) for name in ("argv", "stop_argv") if name in fields}
    entry = Entry(**{**fields, **commands})
    if not entry.argv or path.stem != entry.token or not entry.token:
        raise ValueError("it is not an entry of this ledger")
    return entry
