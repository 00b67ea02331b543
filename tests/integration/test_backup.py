"""`manage.py backup` and `restore`, on homes of their own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from claracore_site.version import VERSION
from proxy_app.home_lock import HomeLock
from tests.server import ROOT, clean_environment

FILLED = """
import json
from django.contrib.auth.models import User
from downloads_app.models import Download
from models_app import api_keys, hf_token
from models_app.models import ModelFolder, ServedModel
User.objects.create_superuser("ann", "", "a-long-password")
row, key = api_keys.create("laptop")
hf_token.save("hf_of_the_hub")
ModelFolder.objects.create(path="/nowhere/models")
ServedModel.objects.create(
    model_id="own", cmd="serve --api-key swordfish --port ${PORT}", env=["HF_TOKEN=hf_hidden"]
)
Download.objects.create(folder="/nowhere", status="paused", token="hf_of_a_download")
print(key)
"""

STATE = """
from django.contrib.auth.models import User
from downloads_app.models import Download
from models_app import api_keys, hf_token
from models_app.models import ApiKey, ModelFolder, ServedModel
own = ServedModel.objects.get()
print([
    User.objects.get(username="ann").check_password("a-long-password"),
    ApiKey.objects.get().digest == api_keys.digest_of("KEY"),
    own.cmd, own.env, own.created_at.isoformat(),
    Download.objects.get().token, hf_token.read(),
    [folder.path for folder in ModelFolder.objects.all()],
])
"""

AUDITED = """
from models_app.models import AuditEntry
entry = AuditEntry.objects.latest("pk")
print(entry.who, entry.what, entry.before, entry.after)
"""

SECRETS = (b"swordfish", b"hf_hidden", b"hf_of_the_hub", b"hf_of_a_download", b"pbkdf2_sha256")


@dataclass(frozen=True)
class Done:
    """What a command said, and its complaint if it failed."""

    out: str
    error: str


def manage(home: Path, *steps: Sequence[str | Path] | str) -> list[Done]:
    """Run commands, and Python where a step is a text, one after the other in one process."""
    words = [step if isinstance(step, str) else [str(word) for word in step] for step in steps]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(words)],
        cwd=ROOT,
        env=clean_environment(home),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Done(*pair) for pair in json.loads(done.stdout)]


RUN = """
import contextlib, io, json, sys, django
django.setup()
from django.core.management import CommandError, call_command
told = []
for step in json.loads(sys.argv[1]):
    error, out = "", io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(step, {}) if isinstance(step, str) else call_command(*step, stdout=out)
        except CommandError as failure:
            error = str(failure)
    told.append((out.getvalue(), error))
print(json.dumps(told))
"""


class Backed:
    """A home with something of everything, and its backup."""

    def __init__(self, folder: Path) -> None:
        self.home, self.file = folder / "home", folder / "backup.zip"
        self.home.mkdir(mode=0o700)
        _, filled, made = manage(self.home, ["migrate", "-v0"], FILLED, ["backup", self.file])
        assert not made.error
        self.key = filled.out.split()[-1]
        self.read_state = STATE.replace("KEY", self.key)
        self.state = self.state_in(self.home)

    def state_in(self, home: Path) -> str:
        return manage(home, self.read_state)[0].out


@pytest.fixture(scope="module")
def backed(tmp_path_factory: pytest.TempPathFactory) -> Backed:
    return Backed(tmp_path_factory.mktemp("backup"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "other"
    place.mkdir(mode=0o700)
    return place


def changed(file: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """A copy of an archive with members changed, or left out for None."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if (data := change(name, old.read(name))) is not None:
                new.writestr(name, data)
    return target


def with_manifest(change: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], bytes]:
    def changing(name: str, data: bytes) -> bytes:
        if name != "manifest.json":
            return data
        manifest = msgspec.json.decode(data)
        change(manifest)
        return msgspec.json.encode(manifest)

    return changing


def test_it_brings_everything_back_with_its_secrets(backed: Backed, home: Path) -> None:
    (done,) = manage(home, ["restore", backed.file])
    # With the secret key that came along, which the process that brought it does not use yet.
    state, again = manage(home, backed.read_state, ["backup", home / "again.zip"])
    assert not done.error and not again.error
    assert state.out == backed.state
    assert "/nowhere/models is not on this machine" in done.out
    assert _digests(home / "again.zip") == _digests(backed.file)


def _digests(file: Path) -> dict[str, str]:
    with zipfile.ZipFile(file) as archive:
        manifest = msgspec.json.decode(archive.read("manifest.json"))
    return {
        table["name"]: table["sha256"]
        for table in manifest["tables"]
        # Both have the restoring itself as well.
        if table["name"] not in ("models_app.ChangeClock", "models_app.AuditEntry")
    }


def test_it_says_when_all_of_it_belongs_to_another_node(backed: Backed, home: Path) -> None:
    named = "from django.conf import settings; settings.CLARACORE_NODE = 'lab'"
    _, restored = manage(home, named, ["restore", backed.file])
    assert not restored.error
    assert "CLARACORE_NODE=main" in restored.out


def test_it_keeps_secrets_out_of_the_archive(backed: Backed) -> None:
    with zipfile.ZipFile(backed.file) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    apart = backed.file.with_name("backup.zip.secrets")
    for secret in SECRETS:
        assert secret not in everything
        assert secret in apart.read_bytes()
    for file in (backed.file, apart):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert backed.key.encode() not in file.read_bytes()
    assert backed.key.encode() not in everything
    for file in backed.home.glob("claracore.sqlite3*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, "it holds sessions"


def test_it_restores_without_secrets_and_says_what_then_is_missing(
    backed: Backed, home: Path, tmp_path: Path
) -> None:
    alone = shutil.copy(backed.file, tmp_path / "alone.zip")
    done, state = manage(home, ["restore", alone], backed.read_state)
    assert not done.error
    assert "people need new passwords (manage.py person password)" in done.out
    assert state.out.startswith("[False, False, ")
    assert "''" in state.out, "a token that is not known is none"


def test_it_asks_before_it_takes_the_place_of_a_database_in_use(backed: Backed, home: Path) -> None:
    _, _, refused, done, state, noted = manage(
        home,
        ["restore", backed.file],
        "from models_app.models import ModelFolder; ModelFolder.objects.all().delete()",
        ["restore", backed.file],
        ["restore", backed.file, "--replace"],
        backed.read_state,
        AUDITED,
    )
    assert "Add --replace" in refused.error
    assert not done.error
    assert "/nowhere/models" in state.out
    (before,) = (home / "backups").glob("before-restore-*.zip")
    assert f"manage.py restore {backed.file.name}" in noted.out
    assert "on the console" in noted.out and str(before) in noted.out
    table = "models_app.ModelFolder"
    assert _digests(before)[table] != _digests(backed.file)[table]


def test_it_refuses_what_is_damaged_or_newer_and_leaves_everything_as_it_was(
    backed: Backed, tmp_path: Path
) -> None:
    def shorter(name: str, data: bytes) -> bytes:
        return data[: len(data) // 2] if name.endswith("ServedModel.jsonl") else data

    def newer(manifest: dict[str, Any]) -> None:
        manifest["migrations"]["models_app"] = "9999_of_tomorrow"
        manifest["version"] = "99.0"

    cases = {
        "damaged": changed(backed.file, tmp_path / "short.zip", shorter),
        "newer than this one": changed(backed.file, tmp_path / "new.zip", with_manifest(newer)),
        "no backup of ClaraCore": tmp_path / "text.zip",
    }
    cases["no backup of ClaraCore"].write_text("not a backup")
    restores: list[Sequence[str | Path]] = [
        ["restore", file, "--replace"] for file in cases.values()
    ]
    *refused, state = manage(
        backed.home,
        *restores,
        backed.read_state,
    )
    for words, done in zip(cases, refused, strict=True):
        assert words in done.error
    assert state.out == backed.state


def test_a_restore_that_fails_half_way_brings_the_old_database_back(
    backed: Backed, tmp_path: Path
) -> None:
    def twice(name: str, data: bytes) -> bytes:
        return data * 2 if name.endswith("ModelFolder.jsonl") else data

    def counted(manifest: dict[str, Any]) -> None:
        table = next(t for t in manifest["tables"] if t["name"] == "models_app.ModelFolder")
        with zipfile.ZipFile(backed.file) as archive:
            data = archive.read("tables/models_app.ModelFolder.jsonl") * 2
        table["rows"], table["sha256"] = 2, hashlib.sha256(data).hexdigest()

    doubled = changed(backed.file, tmp_path / "double.zip", twice)
    file = changed(doubled, tmp_path / "counted.zip", with_manifest(counted))
    failed, state = manage(backed.home, ["restore", file, "--replace"], backed.read_state)
    assert "models_app.ModelFolder cannot be filled" in failed.error
    assert state.out == backed.state
    assert not list(backed.home.glob("*.restoring"))


def test_a_backup_of_an_older_version_is_brought_to_todays_tables(
    backed: Backed, home: Path, tmp_path: Path
) -> None:
    def older(manifest: dict[str, Any]) -> None:
        manifest["migrations"]["models_app"] = "0016_reading_timeout"
        manifest["tables"] = [table for table in manifest["tables"] if table["name"] in LONG_THERE]

        (folders,) = (table for table in manifest["tables"] if table["name"] == FOLDERS)
        place = folders["columns"].index("node")  # from before there were nodes
        del folders["columns"][place]
        rows = [json.loads(line) for line in in_archive.splitlines()]
        without.extend(row[:place] + row[place + 1 :] for row in rows)
        folders["sha256"] = hashlib.sha256(lines(without)).hexdigest()

    without: list[list[Any]] = []
    with zipfile.ZipFile(backed.file) as archive:
        in_archive = archive.read(f"tables/{FOLDERS}.jsonl")
    told = changed(backed.file, tmp_path / "told.zip", with_manifest(older))
    file = changed(
        told,
        tmp_path / "old.zip",
        lambda name, data: lines(without) if name == f"tables/{FOLDERS}.jsonl" else data,
    )
    done, counts = manage(
        home,
        ["restore", file],
        "from models_app.models import *\n"
        "print(*ModelFolder.everywhere.values_list('path', 'node').get())\n"
        "print(EngineInstall.objects.count())",
    )
    assert not done.error
    assert counts.out.split() == ["/nowhere/models", "main", "0"]


def lines(rows: list[list[Any]]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


FOLDERS = "models_app.ModelFolder"


LONG_THERE = ("auth.User", FOLDERS, "models_app.ModelGroup")


def test_it_waits_for_no_server_but_says_that_one_runs(backed: Backed, home: Path) -> None:
    with HomeLock(home):
        (refused,) = manage(home, ["restore", backed.file])
    assert f"process {os.getpid()}" in refused.error


def test_a_backup_never_writes_over_another_unasked(backed: Backed) -> None:
    (again,) = manage(backed.home, ["backup", backed.file])
    assert "Choose another name, or add --force" in again.error


def test_the_version_is_that_of_the_project() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{VERSION}"' in text
