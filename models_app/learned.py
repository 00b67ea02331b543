"""What loads really took, remembered by file, options, build and device.

A record never counts as a change of the configuration: it is looked at when something else makes
the server plan again, so a measurement alone restarts no engine.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models_app.measured import DeviceLoad, Measured
from models_app.models import EngineBuild, GgufFile, LoadRecord, ServedModel
from models_app.preferences import Candidate
from models_app.tuning import Plan

PER_LOAD: Final = 4
"""Records kept of loads that were the same in every respect."""
PER_FILE: Final = 24
"""Records kept of one file."""

_WITHOUT_EFFECT: Final = frozenset({
    "--host", "--port", "--model", "-m", "--alias", "-a", "--threads", "-t", "--threads-batch",
    "-tb", "--cache-ram", "-cram", "--chat-template", "--fit", "-fit",
})  # fmt: skip
"""Options that take a value and do not decide what a ready engine has taken. The prompt cache is
still empty then; fitting decides by the others."""
_COMPANIONS: Final = frozenset({"--mmproj", "-mm", "--spec-draft-model", "--model-draft", "-md"})
"""Options whose file counts with its contents, not with its path."""
_SWITCHES: Final = frozenset({"--jinja", "--no-jinja", "--metrics"})


@dataclass(frozen=True, slots=True)
class Build:
    """One build of llama-server: the binary, and what tells that it was replaced."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of_row(cls, row: EngineBuild) -> Build:
        return cls(row.path, row.size, row.mtime_ns)

    @classmethod
    def of_binary(cls, path: str) -> Build:
        """As the file is now; without size and time when there is none by that path."""
        try:
            status = os.stat(path)
        except OSError:
            return cls(path, 0, 0)
        return cls(path, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Key:
    """What two loads must have in common to take the same, beside the build."""

    contents: str
    options: str
    device: str


Known = Mapping[int, Mapping[Key, Measured]]
"""By the file's primary key."""


def contents_of(file: GgufFile, candidate: Candidate) -> str:
    """A digest of what is loaded: it changes when the file or one loaded beside it does."""
    companions = [one for one in (candidate.projector, candidate.draft) if one]
    parts = [f"{file.size} {file.mtime_ns}", *(f"{one.path} {one.size}" for one in companions)]
    return _digest(parts)


def options_of(argv: Sequence[str]) -> str:
    """A digest of the words of a command that decide how much memory it takes."""
    kept, words = [], iter(argv[1:])
    for word in words:
        if word in _WITHOUT_EFFECT:
            next(words, None)
        elif word in _COMPANIONS:
            kept.append(word)
            next(words, None)
        elif word not in _SWITCHES:
            kept.append(word)
    return _digest(kept)


def device_of(processor: str, plan: Plan | None = None) -> str:
    """What a load ran on: the processor, and the GPUs that its plan could use."""
    gpus = plan.resources.gpus if plan else ()
    return ", ".join((processor, *(f"{gpu.name} {gpu.description}".strip() for gpu in gpus)))[:1024]


def known(build: Build) -> dict[int, dict[Key, Measured]]:
    """The newest measurement of every load with this build, in one query."""
    found: dict[int, dict[Key, Measured]] = {}
    for row in LoadRecord.objects.filter(
        build_path=build.path,
        build_size=build.size,
        build_mtime_ns=build.mtime_ns,
        predicted__isnull=False,
        measured__isnull=False,
    ).order_by("at", "pk"):
        key = Key(row.contents, row.options, row.device)
        devices = tuple(DeviceLoad.from_json(one) for one in row.devices)
        found.setdefault(row.file_id, {})[key] = Measured(devices, row.at, row.load_seconds)
    return found


def record(
    file: GgufFile,
    key: Key,
    build: Build,
    command: str,
    devices: Iterable[DeviceLoad] | None,
    load_seconds: float,
) -> LoadRecord:
    """Remember a load, and forget the oldest ones. `devices` is None where nothing can be read."""
    loads = tuple(devices or ())
    row = LoadRecord.objects.create(
        file=file,
        contents=key.contents,
        options=key.options,
        device=key.device,
        build_path=build.path,
        build_size=build.size,
        build_mtime_ns=build.mtime_ns,
        command=command,
        predicted=_sum(one.predicted for one in loads),
        measured=_sum(one.predicted if one.measured is None else one.measured for one in loads),
        devices=[one.to_json() for one in loads],
        load_seconds=load_seconds,
    )
    _forget(row)
    return row


def _sum(values: Iterable[int | None]) -> int | None:
    """Nothing when there is nothing, or not all of it is known."""
    known_ones = list(values)
    numbers = [value for value in known_ones if value is not None]
    return sum(numbers) if numbers and len(numbers) == len(known_ones) else None


def _forget(newest: LoadRecord) -> None:
    """Keep the newest `PER_LOAD` records of this load and `PER_FILE` of its file."""
    of_file = LoadRecord.objects.filter(file_id=newest.file_id)
    of_load = of_file.filter(
        contents=newest.contents,
        options=newest.options,
        device=newest.device,
        build_path=newest.build_path,
        build_size=newest.build_size,
        build_mtime_ns=newest.build_mtime_ns,
    )
    for rows, most in ((of_load, PER_LOAD), (of_file, PER_FILE)):
        old = list(rows.values_list("pk", flat=True)[most:])
        if old:
            LoadRecord.objects.filter(pk__in=old).delete()


def load_seconds(model: ServedModel) -> tuple[float, ...]:
    """How long loads of the model's file took, the newest first; empty when it never loaded."""
    if model.file is None:
        return ()
    rows = LoadRecord.objects.filter(file=model.file)
    return tuple(rows.values_list("load_seconds", flat=True))


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()
