"""Does a download: file after file, then its registration. The row follows, and decides.

The files are fetched by a thread that knows nothing of the database; the thread that called writes
to the row how it gets on, and stops the other when the row is no longer its own.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django.db.models import F
from django.utils import timezone
from requests import Session

from downloads_app import (
    arrival,
    background,
    control,
    hosts,
    names,
    places,
    queue,
    shelf,
    starter,
    starter_download,
    tokens,
)
from downloads_app.halt import Halt, Stopped
from downloads_app.models import Download, DownloadFile, DownloadSettings
from downloads_app.pacing import Bandwidth
from downloads_app.remote import Remote
from downloads_app.transfer import Done, Order, Phase, Progress, Transfer
from downloads_app.trouble import Kind, Trouble, of_disk
from models_app import causes
from models_app.changes import current_version
from models_app.gguf import GgufError, read_header
from models_app.leases import RunLost

logger = logging.getLogger(__name__)

Status = Download.Status
Listener = Callable[[Download], None]

LOOK_SECONDS: Final = 0.5
"""How often the row is asked whether somebody paused or cancelled it."""

WRITE_SECONDS: Final = 1.0
"""Between two reports of progress."""

LEAVE_SECONDS: Final = 2.0
"""How long the thread that fetches may take to end once it was stopped."""

SPARE_BYTES: Final = 64 * 1024 * 1024
"""What a disk keeps free beside the file."""

LINE: Final = Bandwidth()
"""The limit that all downloads of this process share."""

stopping = threading.Event()
"""Set when this worker is about to end: its downloads then wait for the next one."""


def perform(
    download: Download,
    listener: Listener = lambda download: None,
    patience: float = 1.0,
    serves: bool = False,
) -> None:
    """Do a download that was claimed, to its end or until the row is somebody else's.

    With `serves`, it is complete only once the serving process knows of the model.
    """
    job = _Job(download, listener, patience, serves)
    try:
        job.run()
    except RunLost:
        logger.info("%s goes on elsewhere, or was stopped.", download)
        _clean_up_after(download)
    except Trouble as trouble:
        _fail(download, trouble.message, trouble.kind)
    except Stopped:
        queue.put_back(download)
    except KeyboardInterrupt:
        control.pause(download)
        raise
    except Exception as error:
        _fail(download, f"The download was ended by {type(error).__name__}: {error}", "fault")
        raise
    finally:
        download.refresh_from_db()
        listener(download)


class _Job:
    def __init__(
        self, download: Download, listener: Listener, patience: float, serves: bool
    ) -> None:
        self._download = download
        self._listener = listener
        self._patience = patience
        self._serves = serves
        self._own_limit = Bandwidth(download.rate_limit)
        self._progress = Progress(Phase.LOOKING)
        self._offer = ""
        self._written_at = 0.0
        self._began_with = download.done_bytes
        self._finished_bytes = 0
        self._files = list(download.files.all())

    def run(self) -> None:
        self._follow_settings()
        for file in self._files:
            if not file.done:
                self._fetch(file)
            self._finished_bytes += file.size or 0
        self._write(phase="registering", speed=0, connections=0)
        with causes.told(f"download of {self._files[0].name}"):
            note = arrival.register(self._download, lambda progress: self._beat())
        if self._serves:
            arrival.wait_until_served(current_version())
        now = timezone.now()
        queue.LEASES.write(
            self._download,
            status=Status.COMPLETED,
            phase="",
            done_bytes=F("total_bytes"),
            token="",
            reuse_path="",
            finished_at=now,
            changed_at=now,
            **({"note": note} if note else {}),
        )

    # ---- One file ----------------------------------------------------------------------------

    def _fetch(self, file: DownloadFile) -> None:
        halt, rules = Halt(), hosts.rules()
        order = self._order(file, halt)
        outcome: list[Done | BaseException] = []

        def connect() -> Session:
            return hosts.session(rules, halt)

        def told(progress: Progress) -> None:
            self._progress = progress

        def fetch() -> None:
            background.step_back()
            try:
                if order.url == starter.ADDRESS:
                    outcome.append(starter_download.fetch(order, told, halt))
                else:
                    outcome.append(Transfer(order, told, halt, connect).run())
            except BaseException as error:
                outcome.append(error)

        self._progress = Progress(Phase.LOOKING)
        thread = threading.Thread(target=fetch, name=self._download.key, daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(LOOK_SECONDS)
                self._follow()
        except BaseException:
            halt.set()
            # It ends at once, unless it looks up a name or makes a connection. Then it is left
            # to itself: it finds out that it was stopped before it does anything.
            thread.join(LEAVE_SECONDS)
            raise
        result = outcome[0]
        if isinstance(result, BaseException):
            self._follow()
            raise result
        self._done(file, result, order.target)

    def _done(self, file: DownloadFile, done: Done, target: Path) -> None:
        try:
            self._write(done_bytes=self._finished_bytes + done.size)
        except RunLost:
            # Cancelled while it got its name; a file that was there before stays.
            if (
                done.made
                and Download.objects.filter(pk=self._download.pk, status=Status.CANCELLED).exists()
            ):
                target.unlink(missing_ok=True)
            raise
        file.size, file.sha256 = done.size, done.sha256
        file.done, file.verified = True, done.verified
        file.save(update_fields=["size", "sha256", "done", "verified"])
        if all(one.size is not None for one in self._files):
            self._write(total_bytes=sum(one.size or 0 for one in self._files))

    def _order(self, file: DownloadFile, halt: Halt) -> Order:
        folder = Path(self._download.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise of_disk(error, str(folder)) from error
        if os.path.realpath(folder) != str(folder) and not _same_place(folder):
            text = f"{folder} leads to another place than when it was chosen. Start again."
            raise Trouble(Kind.FOLDER, text)
        target = folder / file.name
        settings = DownloadSettings.current()
        later = sum(one.size or 0 for one in self._files if not one.done and one is not file)
        look = _Look(
            target,
            shelf.shelf(),
            self._download.reuse,
            later,
            halt.is_set,
            self._found,
        )
        return Order(
            url=file.url,
            target=target,
            key=control.stage_key(self._download, file.name),
            token=tokens.for_address(file.url, self._download.token),
            sha256=file.sha256,
            connections=settings.connections,
            most_connections=2 * settings.connections,
            limits=(LINE, self._own_limit),
            check=_check_of(file.name),
            before=look,
            patience=self._patience,
        )

    def _found(self, path: Path) -> None:
        self._offer = str(path)

    # ---- The row -----------------------------------------------------------------------------

    def _follow(self) -> None:
        """Report, and stop when the row is not ours any more or this worker is to end."""
        if stopping.is_set():
            raise Stopped
        if time.monotonic() - self._written_at >= WRITE_SECONDS:
            self._report()
        elif not Download.objects.filter(
            pk=self._download.pk, status=Status.DOWNLOADING, owner=self._download.owner
        ).exists():
            raise RunLost
        self._follow_settings()

    def _report(self) -> None:
        now = self._progress
        done = self._finished_bytes + now.done
        others = [one.size for one in self._files if not one.done]
        values: dict[str, Any] = {
            "phase": now.phase.value,
            "done_bytes": done,
            "speed": int(now.speed),
            "connections": now.connections,
            "reuse_path": self._offer,
            "note": now.note,
        }
        if now.failures:
            values["failures"] = now.failures
        if done > self._began_with:
            values["attempts"] = 0
        if len(others) == 1 and now.size is not None:
            values["total_bytes"] = self._finished_bytes + now.size
        elif now.size is not None and None not in others:
            values["total_bytes"] = self._finished_bytes + sum(size or 0 for size in others)
        self._write(**values)

    def _beat(self) -> None:
        if time.monotonic() - self._written_at >= WRITE_SECONDS:
            self._write()

    def _write(self, **values: Any) -> None:
        now = timezone.now()
        queue.LEASES.write(self._download, heartbeat_at=now, changed_at=now, **values)
        for name, value in values.items():
            setattr(self._download, name, value)
        self._written_at = time.monotonic()
        self._listener(self._download)

    def _follow_settings(self) -> None:
        LINE.rate = DownloadSettings.current().rate_limit
        own = Download.objects.filter(pk=self._download.pk).values_list("rate_limit", flat=True)
        self._own_limit.rate = own.first() or 0


class _Look:
    """Decides, once a file's size and digest are known, whether it has to be fetched at all."""

    def __init__(
        self,
        target: Path,
        known: shelf.Shelf,
        reuse: bool,
        later: int,
        stop: Callable[[], bool],
        found: Callable[[Path], None],
    ) -> None:
        self._target = target
        self._shelf = known
        self._reuse = reuse
        self._later = later
        self._stop = stop
        self._found = found

    def __call__(self, remote: Remote, sha256: str, here: int) -> Done | None:
        """`here` are the bytes that are staged already. Raises Trouble, Stopped."""
        if self._target.exists():
            return self._there_already(remote, sha256)
        adopted = self._adopted(sha256, remote.size) if sha256 and remote.size else None
        if adopted is None:
            self._check_room(remote, here)
        return adopted

    def _there_already(self, remote: Remote, sha256: str) -> Done:
        size = self._target.stat().st_size
        if remote.size == size and sha256 and shelf.sha256_of(self._target, self._stop) == sha256:
            return Done(self._target, size, sha256, verified=True, made=False)
        text = (
            f"{self._target} is there already and is not known to be the same file. Remove it or "
            "choose another folder."
        )
        raise Trouble(Kind.EXISTS, text)

    def _adopted(self, sha256: str, size: int) -> Done | None:
        source = self._shelf.find(sha256, size, self._target)
        if source is None:
            return None
        self._found(source)
        if self._reuse and shelf.adopt(source, self._target, sha256, self._stop):
            return Done(self._target, size, sha256, verified=True, adopted=source)
        return None

    def _check_room(self, remote: Remote, here: int) -> None:
        if remote.size is None:
            return
        free = shutil.disk_usage(self._target.parent).free
        needed = max(0, remote.size - here) + self._later + SPARE_BYTES
        if free < needed:
            text = (
                f"The disk of {self._target.parent} has {free / 1e9:.1f} GB free, and "
                f"{needed / 1e9:.1f} GB are needed. Make room or choose another folder, then "
                "resume."
            )
            raise Trouble(Kind.DISK_FULL, text)


def _same_place(folder: Path) -> bool:
    """Whether the folder's links still lead to where downloads may go."""
    try:
        places.chosen(str(folder))
    except places.BadPlace:
        return False
    return True


def _check_of(name: str) -> Callable[[Path], str]:
    def check(path: Path) -> str:
        if not names.is_gguf(name):
            return ""
        try:
            read_header(path)
        except GgufError as error:
            return (
                f"What arrived is no whole GGUF file: {error}. It is thrown away. Check the "
                "address: it may lead to a web page instead of the file."
            )
        return ""

    return check


def _fail(download: Download, message: str, kind: str) -> None:
    now = timezone.now()
    Download.objects.filter(pk=download.pk, status=Status.DOWNLOADING, owner=download.owner).update(
        status=Status.FAILED,
        phase="",
        error=message,
        error_kind=kind,
        speed=0,
        connections=0,
        finished_at=now,
        changed_at=now,
    )


def _clean_up_after(download: Download) -> None:
    row = Download.objects.filter(pk=download.pk).first()
    if row is None or row.status == Status.CANCELLED:
        control.discard(download)
