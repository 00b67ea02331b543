"""A download from its order to the model that is served, with the row as its witness."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from downloads_app import control, queue, work
from downloads_app.models import Download, DownloadSettings
from downloads_app.orders import Item, Order, place
from downloads_app.stage import FOLDER
from models_app import catalog, folders, scan_runs
from models_app.leases import LEASE, RunLost
from models_app.models import ModelAlias, ModelFolder, ServedModel
from tests.ggufs import write_reciter, write_split
from tests.hub import Fault, Hub
from tests.integration.downloads.conftest import placed, while_it_runs, worked_off

pytestmark = pytest.mark.django_db

Status = Download.Status


def test_a_download_ends_as_a_served_model(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    download = worked_off(placed(hub, model_id="my-fox"))
    assert (download.status, download.error, download.note) == (Status.COMPLETED, "", "")
    assert (download.done_bytes, download.total_bytes) == (len(reciter), len(reciter))
    path = Path(download.folder) / "fox-q4_k_m.gguf"
    assert path.read_bytes() == reciter
    assert ModelFolder.objects.get().path == download.folder
    model = ModelAlias.objects.get(alias="my-fox").model
    assert model.file is not None and model.file.path == str(path)
    assert "my-fox" in str(catalog.build())
    file = download.files.get()
    assert (file.done, file.verified) == (True, True)
    assert file.sha256 == hashlib.sha256(reciter).hexdigest()


@pytest.mark.parametrize("name", ["owner/repo", "phi-3.5-mini"])
def test_the_id_asked_for_may_be_any(hub: Hub, reciter: bytes, name: str) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    worked_off(placed(hub, model_id=name))
    assert ModelAlias.objects.filter(alias=name).exists()


def test_an_id_that_is_taken_stays_where_it_is(hub: Hub, reciter: bytes) -> None:
    ServedModel.objects.create(model_id="taken", cmd="llama-server")
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    download = worked_off(placed(hub, model_id="taken"))
    assert download.status == Status.COMPLETED
    assert "already belongs to another model" in download.note


def test_a_model_that_a_person_deleted_comes_back_when_it_is_fetched_again(
    hub: Hub, reciter: bytes
) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    worked_off(placed(hub))
    ServedModel.objects.all().delete()
    second = worked_off(placed(hub))
    assert second.status == Status.COMPLETED
    assert ServedModel.objects.count() == 1
    assert not [one for one in hub.asked_of("store")[2:] if not one.is_probe]


def test_a_split_model_of_20_parts_is_one_download(hub: Hub, tmp_path: Path) -> None:
    parts = write_split(tmp_path / "big", 20)
    hub.add("owner/repo", {f"Q8_0/{path.name}": path for path in parts})
    items = [Item(hub.file_url("owner/repo", f"Q8_0/{path.name}"), path.name) for path in parts]
    order = Order(items, model_id="owner/big", subfolder="Q8_0")
    download = worked_off(place(order, hand_over=False))
    assert (download.status, download.note) == (Status.COMPLETED, "")
    assert download.total_bytes == sum(path.stat().st_size for path in parts)
    assert len(os.listdir(download.folder)) == 20
    assert ModelAlias.objects.get(alias="owner/big").model == ServedModel.objects.get()


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("my model q4_k_m.gguf", "my model q4_k_m.gguf"),
        ("../../../etc/evil.gguf", "evil.gguf"),
        ("..\\..\\evil.gguf", "evil.gguf"),
        ("模型-ü-q4_k_m.gguf", "模型-ü-q4_k_m.gguf"),
        ('a<b>:"|?*.gguf', "a_b______.gguf"),
        (".hidden.gguf", "hidden.gguf"),
        ("CON.gguf", "_CON.gguf"),
    ],
)
def test_any_name_becomes_a_file_of_the_folder(
    hub: Hub, reciter: bytes, given: str, stored: str
) -> None:
    hub.add("owner/repo", {"ünï code/my model.gguf": reciter})
    download = worked_off(placed(hub, "ünï code/my model.gguf", name=given))
    assert (download.status, download.error) == (Status.COMPLETED, "")
    assert os.listdir(download.folder) == [stored]


def test_a_failure_is_told_in_plain_words_and_can_be_resumed(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter}, token="hf_right")
    download = worked_off(placed(hub))
    assert (download.status, download.error_kind) == (Status.FAILED, "forbidden")
    assert "accept its terms" in download.error
    Download.objects.filter(pk=download.pk).update(token="hf_right")
    assert control.resume(download)
    worked_off(download)
    assert (download.status, download.error, download.token) == (Status.COMPLETED, "", "")


def test_the_token_of_the_environment_is_used_for_the_hub_alone(
    hub: Hub, reciter: bytes, settings: Any
) -> None:
    settings.CLARACORE_HF_TOKEN = "hf_right"
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter}, token="hf_right")
    assert worked_off(placed(hub)).status == Status.COMPLETED
    hub.plain = dict(hub.repos["owner/repo"].files)
    item = Item(f"{hub.store_url}/files/fox-q4_k_m.gguf", "other.gguf")
    other = place(Order([item], token="hf_right"), hand_over=False)
    assert worked_off(other).status == Status.COMPLETED
    assert {one.token for one in hub.asked_of("store")} == {""}


def test_a_web_page_instead_of_the_model_is_no_model(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    hub.plain = dict(hub.repos["owner/repo"].files)
    hub.faults.append(Fault("page", -1, probe=True))
    item = Item(f"{hub.store_url}/files/fox-q4_k_m.gguf", "fox.gguf")
    download = worked_off(place(Order([item]), hand_over=False))
    assert (download.status, download.error_kind) == (Status.FAILED, "not_a_model")
    assert os.listdir(download.folder) == []


def test_too_little_room_is_noticed_before_a_byte_is_fetched(
    hub: Hub, reciter: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    monkeypatch.setattr(work, "SPARE_BYTES", 1 << 60)
    download = worked_off(placed(hub))
    assert (download.status, download.error_kind) == (Status.FAILED, "disk_full")
    assert "GB are needed" in download.error
    assert [one for one in hub.asked_of("store") if not one.is_probe] == []
    assert os.listdir(download.folder) == []


def test_a_file_of_that_name_is_never_replaced(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    download = placed(hub)
    Path(download.folder).mkdir(parents=True)
    (Path(download.folder) / "fox-q4_k_m.gguf").write_bytes(b"mine")
    worked_off(download)
    assert (download.status, download.error_kind) == (Status.FAILED, "exists")


@pytest.mark.parametrize("where", ["tracked", "ollama", "hub cache", "lm studio"])
def test_the_same_content_on_this_machine_is_offered_and_linked_when_agreed(
    hub: Hub, reciter: bytes, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    digest = hashlib.sha256(reciter).hexdigest()
    places = {
        "tracked": tmp_path / "tracked" / "other-name.gguf",
        "ollama": tmp_path / "ollama" / "blobs" / f"sha256-{digest}",
        "lm studio": tmp_path / ".lmstudio" / "models" / "owner" / "fox" / "other.gguf",
        "hub cache": tmp_path / "hf" / "models--owner--repo" / "blobs" / digest,
    }
    source = places[where]
    source.parent.mkdir(parents=True)
    source.write_bytes(reciter)
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("HOME", str(tmp_path))
    if where == "tracked":
        scan_runs.perform(scan_runs.create([folders.add(source.parent)]).pk)
    hub.faults.append(Fault("status", -1, status=404))
    download = worked_off(placed(hub))
    assert download.reuse_path == str(source)
    assert download.status == Status.FAILED  # the store refuses; only the offer helps
    control.agree_to_reuse(download)
    worked_off(download)
    assert (download.status, download.error) == (Status.COMPLETED, "")
    target = Path(download.folder) / "fox-q4_k_m.gguf"
    assert target.samefile(source)


def test_a_namesake_of_other_content_is_not_adopted(
    hub: Hub, reciter: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    digest = hashlib.sha256(reciter).hexdigest()
    liar = tmp_path / "ollama" / "blobs" / f"sha256-{digest}"
    liar.parent.mkdir(parents=True)
    liar.write_bytes(reciter[:-1] + b"!")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    download = worked_off(placed(hub, reuse=True))
    assert (Path(download.folder) / "fox-q4_k_m.gguf").read_bytes() == reciter


# ---- The row decides -------------------------------------------------------------------------


def test_pausing_at_any_moment_stays_paused_and_can_be_resumed(hub: Hub, reciter: bytes) -> None:
    """The first implementation's worker overwrote `paused` with `failed`."""
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    download = placed(hub)
    row = Download.objects.get(pk=download.pk)
    while_it_runs(hub, download, lambda: control.pause(row))
    assert (download.status, download.error) == (Status.PAUSED, "")
    assert not control.pause(download)
    assert control.resume(download)
    assert not control.resume(download)
    worked_off(download)
    assert download.status == Status.COMPLETED


def test_cancelling_leaves_nothing_behind(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    download = placed(hub)
    row = Download.objects.get(pk=download.pk)
    while_it_runs(hub, download, lambda: control.cancel(row))
    assert download.status == Status.CANCELLED
    assert os.listdir(download.folder) == []
    assert not control.cancel(download)
    with pytest.raises(control.NotResumable):
        control.resume(download)


def test_a_paused_download_keeps_its_parts_where_no_scan_sees_them(
    hub: Hub, reciter: bytes
) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    download = placed(hub)
    row = Download.objects.get(pk=download.pk)
    while_it_runs(hub, download, lambda: control.pause(row))
    assert os.listdir(download.folder) == [FOLDER]
    run = scan_runs.perform(scan_runs.create([folders.add(download.folder)]).pk)
    assert run is not None and run.summary[0]["files"] == 0
    control.cancel(download)
    assert os.listdir(download.folder) == []


def test_a_dead_workers_download_goes_on_by_itself(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    download = placed(hub)
    held = queue.claim(download.pk, "elsewhere:1:dead")
    assert held is not None
    assert queue.sweep() == 0
    assert queue.sweep(timezone.now() + LEASE + timedelta(seconds=1)) == 1
    download.refresh_from_db()
    assert (download.status, download.attempts) == (Status.PENDING, 1)
    with pytest.raises(RunLost):
        queue.LEASES.write(held, note="I am still here")
    assert worked_off(download).status == Status.COMPLETED


def test_a_download_that_kills_every_worker_ends(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    download = placed(hub)
    for _ in range(queue.MAX_ATTEMPTS + 1):
        assert queue.claim(download.pk, "elsewhere:1:dead")
        queue.sweep(timezone.now() + LEASE + timedelta(seconds=1))
    download.refresh_from_db()
    assert (download.status, download.error_kind) == (Status.FAILED, "worker")


def test_only_so_many_run_at_once_and_in_their_order(hub: Hub) -> None:
    hub.add("owner/repo", {f"{name}.gguf": b"x" for name in "abcd"})
    downloads = [placed(hub, f"{name}.gguf") for name in "abcd"]
    DownloadSettings.objects.update(at_once=2)
    queue.reorder([downloads[3].key, downloads[1].key])
    first, second = queue.claim_next("one"), queue.claim_next("two")
    assert [first and first.key, second and second.key] == [downloads[3].key, downloads[1].key]
    assert queue.claim_next("three") is None
    control.pause(downloads[3])
    third = queue.claim_next("three")
    assert third is not None and third.key == downloads[0].key


def test_the_same_order_twice_is_one_download(hub: Hub) -> None:
    assert placed(hub).pk == placed(hub).pk


def test_a_worker_that_ends_gives_its_download_back(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    download = placed(hub)
    try:
        while_it_runs(hub, download, work.stopping.set)
    finally:
        work.stopping.clear()
    assert download.status == Status.PENDING
    assert worked_off(download).status == Status.COMPLETED


def test_a_limit_holds_for_one_download_and_for_all(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    DownloadSettings.current()
    DownloadSettings.objects.update(rate_limit=10**9)
    assert worked_off(placed(hub, rate_limit=10**9)).status == Status.COMPLETED
    assert work.LINE.rate == 10**9
    work.LINE.rate = 0


def test_a_folder_behind_a_link_is_not_left(hub: Hub, reciter: bytes, tmp_path: Path) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    download = placed(hub)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = Path(download.folder) / "sub"
    Download.objects.filter(pk=download.pk).update(folder=str(folder))
    folder.parent.mkdir(parents=True)
    folder.symlink_to(elsewhere)
    worked_off(download)
    assert (download.status, download.error_kind) == (Status.FAILED, "folder")
    assert os.listdir(elsewhere) == []


def test_a_reciter_written_here_is_a_reciter(tmp_path: Path, reciter: bytes) -> None:
    assert write_reciter(tmp_path / "again.gguf", "All that is fetched is here.").read_bytes() == (
        reciter
    )
