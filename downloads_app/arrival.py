"""What happens when all files of a download are here: tracked, scanned, served under its id."""

from __future__ import annotations

import os
import time
from pathlib import Path

from django.db.models import QuerySet

from downloads_app.models import Download
from downloads_app.names import is_gguf
from models_app import answering, folders, introduce, scan_runs
from models_app.models import GgufFile, ModelFolder, Revision, ScanRun, ServedModel
from models_app.scan import Report

TAKE_IN_SECONDS = 3.0
POLL_SECONDS = 0.1


def register(download: Download, report: Report) -> str:
    """Bring the models of the download into service; returns what a person should know, or "".

    `report` hears how the scan gets on, and may end it by raising.
    """
    paths = [os.path.join(download.folder, file.name) for file in download.files.all()]
    ggufs = [path for path in paths if is_gguf(path)]
    if not ggufs:
        return ""
    try:
        folder = _tracked(Path(download.folder))
    except folders.FolderError as error:
        return f"The file is whole, but its folder cannot be tracked: {error}"
    run = scan_runs.perform(scan_runs.create([folder]).pk, listener=report)
    if run is None or run.status != ScanRun.Status.COMPLETED:
        return "The file is whole; the scan that makes a model of it still has to end."
    rows = GgufFile.objects.filter(path__in=ggufs)
    # A person who fetches a model again wants it again, even if they once took it away.
    introduce.introduce_again(rows)
    return _problem(rows) or _name(download, rows)


def wait_until_served(version: int) -> None:
    """Give the serving process the moment it needs to take in a change of the configuration.

    Who hears that a download is complete asks for its model at once. Nothing is waited for
    longer than `TAKE_IN_SECONDS`: perhaps nobody serves, or nothing changed.
    """
    deadline = time.monotonic() + TAKE_IN_SECONDS
    while time.monotonic() < deadline:
        if Revision.objects.filter(version__gte=version).exists():
            time.sleep(POLL_SECONDS)  # The revision is noted just before it is put in place.
            return
        time.sleep(POLL_SECONDS)


def _tracked(path: Path) -> ModelFolder:
    try:
        return folders.add(path)
    except folders.AlreadyCovered as error:
        return error.covering


def _problem(rows: QuerySet[GgufFile]) -> str:
    for row in rows:
        if row.state != GgufFile.State.OK and row.problem:
            return f"{os.path.basename(row.path)}: {row.problem}"
    return ""


def _name(download: Download, rows: QuerySet[GgufFile]) -> str:
    """Let the model answer to the id that was asked for."""
    model = ServedModel.objects.filter(file__in=rows).order_by("pk").first()
    if model is None:
        return "No model of its own comes of it; another model may use it."
    return answering.also_as(model, download.model_id)
