"""Folders of files into the database, at once: tracked, and scanned in the foreground."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from models_app import folders, scan_runs
from models_app.models import ModelFolder, ScanRun
from models_app.moving_in.report import Report
from models_app.scan import Progress

Show = Callable[[Progress], None]


def track(paths: Mapping[str, bool], report: Report, show: Show) -> None:
    """Track and scan folders; each path says whether what lies below it counts, too."""
    tracked = [folder for path, below in paths.items() if (folder := _one(path, below, report))]
    if not tracked:
        return
    run = scan_runs.create(tracked)
    done = scan_runs.perform(run.pk, listener=show)
    if done is None or done.status != ScanRun.Status.COMPLETED:
        report.notes.append("A worker took the scan over; the admin shows how it ends.")
        return
    for summary in done.summary:
        if summary["status"] == "error":
            report.notes.append(f"{summary['folder']}: {summary['error']}")
        else:
            report.done.append(
                f"{summary['folder']}: {summary['models']} models in {summary['files']} files"
            )


def _one(path: str, below: bool, report: Report) -> ModelFolder | None:
    try:
        return folders.add(path, recursive=below)
    except folders.AlreadyCovered as error:
        return error.covering
    except folders.FolderError as error:
        report.notes.append(f"{error} It is not tracked.")
        return None
