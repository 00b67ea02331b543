from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from models_app import folders, scan_runs
from models_app.leases import LEASE, RunLost, this_worker
from models_app.models import ModelFolder, ScanRun, ServedModel
from models_app.scan import Progress
from models_app.scan_runs import MAX_ATTEMPTS, PATIENCE, STARTING
from models_app.tasks import scan as scan_task
from tests import broker
from tests.ggufs import write_reciter

pytestmark = pytest.mark.django_db

Status = ScanRun.Status
Commit = Callable[..., AbstractContextManager[list[Callable[[], Any]]]]


@pytest.fixture
def tracked(tmp_path: Path) -> ModelFolder:
    write_reciter(tmp_path / "fox.gguf", "Hello there.")
    return folders.add(tmp_path)


@pytest.fixture
def messages() -> Callable[[], int]:
    """How many messages were sent to the workers since the test began."""
    before = broker.messages()
    return lambda: broker.messages() - before


def later(seconds: float = 0.0, **parts: float) -> Any:
    return timezone.now() + timedelta(seconds=seconds, **parts)


def running(owner: str = "a worker", **values: Any) -> ScanRun:
    run = scan_runs.claim(scan_runs.create().pk, owner)
    assert run is not None
    ScanRun.objects.filter(pk=run.pk).update(**values)
    run.refresh_from_db()
    return run


def test_the_row_is_there_before_the_workers_hear_of_it(
    tracked: ModelFolder,
    messages: Callable[[], int],
    django_capture_on_commit_callbacks: Commit,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        run = scan_runs.request([tracked])
        assert messages() == 0

    assert messages() == 1
    assert (run.status, run.attempts, list(run.folders.all())) == (Status.QUEUED, 1, [tracked])


def test_a_request_for_what_is_waiting_already_joins_it(
    tracked: ModelFolder,
    tmp_path: Path,
    messages: Callable[[], int],
    django_capture_on_commit_callbacks: Commit,
) -> None:
    (tmp_path / "other").mkdir()
    ModelFolder.objects.update(recursive=False)
    other = folders.add(tmp_path / "other")

    with django_capture_on_commit_callbacks(execute=True):
        whole, one, both = (
            scan_runs.request(),
            scan_runs.request([tracked]),
            scan_runs.request([tracked, other]),
        )
        assert scan_runs.request() == whole
        assert scan_runs.request([tracked]) == one
        assert scan_runs.request([other, tracked]) == both

    assert len({whole.pk, one.pk, both.pk}) == 3
    assert messages() == 3


def test_a_request_does_not_join_a_running_scan(tracked: ModelFolder) -> None:
    # That one may have passed the new file already.
    assert scan_runs.request() != running()


def test_only_one_worker_gets_a_run() -> None:
    run = scan_runs.create()

    won = scan_runs.claim(run.pk, "first")
    lost = scan_runs.claim(run.pk, "second")

    assert won is not None and (won.status, won.owner) == (Status.RUNNING, "first")
    assert won.started_at is not None
    assert lost is None


def test_a_silent_worker_loses_its_run_to_the_next_that_asks() -> None:
    run = running("first")

    assert scan_runs.claim(run.pk, "second", now=later(LEASE.seconds - 5)) is None
    won = scan_runs.claim(run.pk, "second", now=later(LEASE.seconds + 5))
    assert won is not None and won.owner == "second"

    with pytest.raises(RunLost):
        scan_runs.heartbeat(run, Progress("Reading files"))
    with pytest.raises(RunLost):
        scan_runs.finish(run, [])
    scan_runs.fail(run, "too late")
    won.refresh_from_db()
    assert (won.status, won.problem) == (Status.RUNNING, "")


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
def test_a_run_that_is_over_is_never_claimed_again(status: str) -> None:
    run = running(status=status)

    assert scan_runs.claim(run.pk, "late", now=later(days=1)) is None
    assert scan_runs.claim(0, "nobody's") is None


def test_a_heartbeat_shows_where_the_scan_is() -> None:
    run = running(heartbeat_at=later(-20))

    scan_runs.heartbeat(run, Progress("Reading files", "a.gguf", 10, 3))

    before = run.heartbeat_at
    run.refresh_from_db()
    assert (run.step, run.current, run.total, run.processed) == ("Reading files", "a.gguf", 10, 3)
    assert before is not None and run.heartbeat_at is not None and run.heartbeat_at > before


def test_the_task_scans_and_completes_its_row(tracked: ModelFolder) -> None:
    run = scan_runs.create()

    scan_task(run.pk)

    run.refresh_from_db()
    assert (run.status, run.total, run.processed) == (Status.COMPLETED, 1, 1)
    assert run.summary[0]["folder"] == tracked.path and run.summary[0]["models"] == 1
    assert run.finished_at is not None and run.current == "" and run.problem == ""
    assert ServedModel.objects.get().model_id == "fox"


def test_a_message_that_comes_twice_does_nothing_the_second_time(tracked: ModelFolder) -> None:
    run = scan_runs.create()
    scan_task(run.pk)
    finished = ScanRun.objects.get(pk=run.pk).finished_at

    scan_task(run.pk)

    assert ScanRun.objects.get(pk=run.pk).finished_at == finished


def test_a_run_without_folders_leaves_out_the_disabled_ones(
    tracked: ModelFolder, tmp_path: Path
) -> None:
    ModelFolder.objects.update(enabled=False)

    assert scan_runs.folders_of(scan_runs.create()) == []
    # Asked for by name it is looked at all the same.
    assert scan_runs.folders_of(scan_runs.create([tracked])) == [tracked]


def test_writes_of_progress_are_rare_but_a_listener_hears_all(
    tmp_path: Path, django_assert_max_num_queries: Any
) -> None:
    for number in range(60):
        (tmp_path / f"{number}.gguf").write_text("no model")
    folders.add(tmp_path)
    heard: list[Progress] = []

    with django_assert_max_num_queries(50):
        scan_runs.perform(scan_runs.create().pk, listener=heard.append)

    assert len(heard) == 62


def test_a_scan_that_breaks_says_why_in_its_row(tracked: ModelFolder) -> None:
    def listener(progress: Progress) -> None:
        raise OSError(28, "No space left on device")

    run = scan_runs.create()
    with pytest.raises(OSError):
        scan_runs.perform(run.pk, listener=listener)

    run.refresh_from_db()
    assert run.status == Status.FAILED
    assert run.problem == "The scan was ended by OSError: [Errno 28] No space left on device"


def test_a_worker_that_lost_its_run_stops_quietly(tracked: ModelFolder) -> None:
    run = scan_runs.create()

    def listener(progress: Progress) -> None:
        ScanRun.objects.update(owner="another")

    done = scan_runs.perform(run.pk, listener=listener)

    assert done is not None and (done.status, done.owner) == (Status.RUNNING, "another")


def test_the_sweep_takes_up_what_a_dead_worker_left(
    messages: Callable[[], int], django_capture_on_commit_callbacks: Commit
) -> None:
    run = running(heartbeat_at=later(-LEASE.seconds - 1))
    alive = running(heartbeat_at=later(-1))

    with django_capture_on_commit_callbacks(execute=True):
        assert scan_runs.sweep() == [run]

    run.refresh_from_db()
    assert (run.status, run.owner, run.attempts) == (Status.QUEUED, "", 2)
    assert messages() == 1
    alive.refresh_from_db()
    assert alive.status == Status.RUNNING


def test_the_sweep_sends_a_lost_message_again(
    messages: Callable[[], int], django_capture_on_commit_callbacks: Commit
) -> None:
    run, young = scan_runs.create(), scan_runs.create()
    ScanRun.objects.filter(pk=run.pk).update(queued_at=later(-PATIENCE.seconds - 1))

    with django_capture_on_commit_callbacks(execute=True):
        assert scan_runs.sweep() == [run]
        assert scan_runs.sweep() == []

    assert messages() == 1
    assert ScanRun.objects.get(pk=young.pk).attempts == 1


def test_waiting_behind_a_busy_worker_is_no_lost_message() -> None:
    running()
    run = scan_runs.create()
    ScanRun.objects.filter(pk=run.pk).update(queued_at=later(days=-1))

    assert scan_runs.sweep() == []


def test_the_sweep_gives_up_after_so_many_attempts_and_says_why() -> None:
    silent = running(
        attempts=MAX_ATTEMPTS, current="evil.gguf", heartbeat_at=later(-LEASE.seconds - 1)
    )
    ignored = scan_runs.create()
    long_ago = later(-STARTING.total_seconds() - 1)
    ScanRun.objects.filter(pk=ignored.pk).update(created_at=long_ago, queued_at=long_ago)

    assert scan_runs.sweep() == []

    silent.refresh_from_db()
    ignored.refresh_from_db()
    assert (silent.status, ignored.status) == (Status.FAILED, Status.FAILED)
    assert silent.problem == (
        "The worker died 3 times during this scan, the last time at evil.gguf."
    )
    assert ignored.problem == ("No worker took it for 10 minutes. Is the Celery worker running?")


def test_a_scan_outlasts_a_worker_that_starts_slowly() -> None:
    """Told anew every half minute, it was given up after the third time, before one was up."""
    run = scan_runs.create()
    for minute in range(1, 9):
        assert scan_runs.sweep(later(minutes=minute)) == [run]
    claimed = scan_runs.claim(run.pk, "a worker, at last")
    assert claimed is not None and claimed.attempts == 1


def test_each_claim_has_an_owner_of_its_own() -> None:
    assert this_worker() != this_worker()


def test_only_the_newest_of_the_scans_that_are_over_are_kept() -> None:
    ScanRun.objects.bulk_create(ScanRun(status=Status.COMPLETED) for _ in range(scan_runs.KEPT + 5))
    waiting = running()
    ScanRun.objects.filter(pk=waiting.pk).update(status=Status.QUEUED)

    newest = scan_runs.create()

    assert ScanRun.objects.count() == scan_runs.KEPT + 2
    assert {waiting, newest} <= set(ScanRun.objects.all())
