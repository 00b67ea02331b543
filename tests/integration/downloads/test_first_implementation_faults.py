"""What the first implementation's downloads did wrong, row by row: none of it may come back."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from downloads_app import control, info, queue
from downloads_app.models import Download, DownloadSettings
from downloads_app.news import News
from downloads_app.orders import Item, Order, place
from models_app import hf_token
from models_app.models import ScanRun, ServedModel
from tests.hub import Fault, Hub
from tests.integration.downloads.conftest import placed, while_it_runs, worked_off

pytestmark = pytest.mark.django_db

Status = Download.Status
NAME = "fox-q4_k_m.gguf"


def post(client: Client, path: str, body: Any = None) -> Any:
    return client.post(path, json.dumps(body or {}), content_type="application/json")


def told(news: News) -> list[str]:
    return [event["info"]["status"] for event in news.events(news.changed(), 0.0)]


def test_dw1_a_pause_is_not_overwritten_and_can_be_taken_back(hub: Hub, reciter: bytes) -> None:
    """Pause raced with the worker, which wrote `failed` over it; then resume was refused."""
    hub.add("owner/repo", {NAME: reciter})
    download = placed(hub)
    row = Download.objects.get(pk=download.pk)
    while_it_runs(hub, download, lambda: control.pause(row))
    assert (download.status, download.error) == (Status.PAUSED, "")
    assert control.resume(download)
    assert worked_off(download).status == Status.COMPLETED


def test_dw2_a_download_of_a_model_with_a_slash_is_read_paused_and_resumed(
    hub: Hub, client: Client
) -> None:
    """Every id of Hugging Face has a slash, and such downloads could not be reached."""
    download = placed(hub, model_id="owner/repo")
    Download.objects.filter(pk=download.pk).update(key="owner/repo-17")
    for path in ("owner/repo-17", "owner%2Frepo-17"):
        assert client.get(f"/api/models/downloads/{path}").json()["modelId"] == "owner/repo"
        assert post(client, f"/api/models/downloads/{path}/pause").status_code == 200
        assert post(client, f"/api/models/downloads/{path}/resume").status_code == 200


@pytest.mark.parametrize("status", [401, 403])
def test_dw3_a_refusal_is_not_tried_again(hub: Hub, reciter: bytes, status: int) -> None:
    """It was asked 50 times, for four hours."""
    hub.add("owner/repo", {NAME: reciter})
    hub.faults.append(Fault("status", -1, status=status, at="hub", probe=True))
    download = worked_off(placed(hub))
    assert (download.status, len(hub.asked)) == (Status.FAILED, 1)
    assert str(status) in download.error


def test_dw3_a_file_that_is_whole_already_is_done(hub: Hub, reciter: bytes) -> None:
    """The rest of it was asked for, 416 was the answer, and that went on for ever."""
    hub.add("owner/repo", {NAME: reciter})
    first = worked_off(placed(hub))
    assert first.status == Status.COMPLETED
    hub.asked.clear()
    assert worked_off(placed(hub)).status == Status.COMPLETED
    assert all(asked.is_probe for asked in hub.asked)


def test_dw4_failing_cancelling_and_pausing_are_told(hub: Hub, reciter: bytes) -> None:
    """No event told of a failure or a cancellation."""
    hub.add("owner/repo", {NAME: reciter})
    hub.faults.append(Fault("status", -1, status=404, at="hub", probe=True))
    download = placed(hub)
    news = News()
    assert told(news) == ["pending"]
    worked_off(download)
    assert told(news) == ["failed"]
    assert control.resume(download)
    assert told(news) == ["pending"]
    control.pause(download)
    assert told(news) == ["paused"]
    control.cancel(download)
    assert told(news) == ["cancelled"]


def test_dw4_what_cannot_even_be_asked_for_does_not_stay_downloading(hub: Hub) -> None:
    """An address from which no request could be made left it "downloading" for ever."""
    download = place(Order([Item(f"{hub.url}/a", "a.gguf")]), hand_over=False)
    download.files.update(url="http://[broken/a.gguf")
    worked_off(download)
    assert download.status == Status.FAILED
    assert download.error


def test_dw5_no_scan_ever_meets_half_a_file(hub: Hub, reciter: bytes) -> None:
    """What had come so far was written under the final name."""
    hub.add("owner/repo", {NAME: reciter})
    download = placed(hub)
    row = Download.objects.get(pk=download.pk)
    seen: list[str] = []

    def look() -> None:
        seen.extend(path.name for path in Path(row.folder).rglob("*.gguf"))
        control.pause(row)

    while_it_runs(hub, download, look)
    assert seen == []


def test_dw5_content_other_than_promised_is_no_success(hub: Hub, reciter: bytes) -> None:
    """Neither size nor SHA-256 was compared."""
    hub.add("owner/repo", {NAME: reciter})
    hub.faults.append(Fault("corrupt", -1, after=100))
    download = worked_off(placed(hub))
    assert (download.status, download.error_kind) == (Status.FAILED, "damaged")
    assert os.listdir(download.folder) == []


def test_dw5_room_is_looked_for_and_only_so_many_run(
    hub: Hub, reciter: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk ran full, and all downloads ran at once."""
    hub.add("owner/repo", {NAME: reciter, "other.gguf": reciter})
    DownloadSettings.objects.update_or_create(pk=1, defaults={"at_once": 1})
    first, second = placed(hub), placed(hub, "other.gguf")
    assert queue.claim_next("one") is not None
    assert queue.claim_next("two") is None
    control.cancel(first)
    free = type("Free", (), {"free": 1000})
    monkeypatch.setattr("downloads_app.work.shutil.disk_usage", lambda path: free)
    worked_off(second)
    assert (second.status, second.error_kind) == (Status.FAILED, "disk_full")
    assert not [asked for asked in hub.asked_of("store") if not asked.is_probe]


def test_dw5_downloads_outlive_those_who_do_them(hub: Hub, reciter: bytes) -> None:
    """They lived in memory only; a restart forgot them (so did any new configuration, L11)."""
    hub.add("owner/repo", {NAME: reciter})
    download = placed(hub)
    assert queue.claim(download.pk, "elsewhere:1:gone") is not None
    assert queue.sweep(timezone.now() + timedelta(hours=1)) == 1
    download.refresh_from_db()
    assert worked_off(download).status == Status.COMPLETED


def test_dw6_how_it_ended_stays_to_be_read(hub: Hub, reciter: bytes) -> None:
    """A download that took long vanished as soon as it was complete; failed ones never did."""
    hub.add("owner/repo", {NAME: reciter})
    download = worked_off(placed(hub))
    long_ago = timezone.now() - timedelta(days=3)
    Download.objects.filter(pk=download.pk).update(started_at=long_ago, created_at=long_ago)
    queue.forget_old()
    assert download.key in info.table(info.rows())
    over = [
        Download(folder="/x", status=status, finished_at=long_ago)
        for status in (Status.COMPLETED, Status.CANCELLED)
        for _ in range(queue.KEPT)
    ]
    Download.objects.bulk_create(over)
    queue.forget_old()
    assert Download.objects.count() == queue.KEPT


def test_dw7_ids_never_meet(hub: Hub) -> None:
    """They were made of the second: two in one second were one."""
    hub.add("owner/repo", {f"{number}.gguf": b"x" for number in range(20)})
    assert len({placed(hub, f"{number}.gguf").key for number in range(20)}) == 20


def test_dw7_an_unknown_download_is_not_found(client: Client) -> None:
    """Pausing and cancelling what was not there answered 200."""
    assert post(client, "/api/models/downloads/nothing/pause").status_code == 404
    body = {"downloadId": "nothing"}
    assert post(client, "/api/models/download/cancel", body).status_code == 404


def test_dw7_many_who_steer_at_once_leave_one_state(hub: Hub) -> None:
    """The state was shared between threads without a lock. Here one row says it."""
    download = placed(hub)
    assert control.pause(Download.objects.get(pk=download.pk))
    assert not control.pause(download)
    assert control.cancel(Download.objects.get(pk=download.pk))
    assert not control.cancel(download)
    assert not control.pause(download)
    download.refresh_from_db()
    assert download.status == Status.CANCELLED


def test_dw8_the_token_that_was_saved_is_the_one_that_is_sent(hub: Hub, reciter: bytes) -> None:
    """Saving it did nothing."""
    hub.add("owner/repo", {NAME: reciter}, token="hf_right")
    assert worked_off(placed(hub)).status == Status.FAILED
    hf_token.save("hf_right")
    download = placed(hub)
    assert worked_off(download).status == Status.COMPLETED
    assert {asked.token for asked in hub.asked_of("store")} == {""}


def test_dw8_what_is_no_model_changes_no_configuration(hub: Hub) -> None:
    """Every download that ended had the whole configuration made anew."""
    hub.add("owner/repo", {"readme.md": b"# Fox"})
    download = worked_off(placed(hub, "readme.md"))
    assert download.status == Status.COMPLETED
    assert not ScanRun.objects.exists()
    assert not ServedModel.objects.exists()


def test_only_the_quantization_that_was_asked_for_is_fetched(
    hub: Hub, client: Client, reciter: bytes
) -> None:
    """demands: every quantization of a repository was downloaded (gpustack#3277)."""
    hub.add("owner/repo", {f"fox-{kind}.gguf": reciter for kind in ("q4_k_m", "q8_0", "f16")})
    body = {"modelId": "owner/repo", "quantization": "Q8_0"}
    key = post(client, "/api/models/download", body).json()["downloadId"]
    files = Download.objects.get(key=key).files.values_list("name", flat=True)
    assert list(files) == ["fox-q8_0.gguf"]


def test_a_second_download_does_not_hang_behind_the_first(hub: Hub, reciter: bytes) -> None:
    """demands: the second download was stuck for ever (gpustack#4813)."""
    hub.add("owner/repo", {NAME: reciter, "other.gguf": reciter})
    first, second = placed(hub), placed(hub, "other.gguf")
    row = Download.objects.get(pk=first.pk)

    def meanwhile() -> None:
        hub.choose = lambda asked: None
        assert worked_off(second).status == Status.COMPLETED
        control.pause(row)

    while_it_runs(hub, first, meanwhile)
    assert second.status == Status.COMPLETED
    assert first.status == Status.PAUSED
