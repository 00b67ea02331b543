"""The pages of downloads and of the hub, as a browser without JavaScript uses them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from downloads_app import control, starter
from downloads_app.models import Download, DownloadSettings
from models_app import hf_token, scan_runs
from models_app.models import ModelFolder, ServedModel
from tests.hub import Fault, Hub
from tests.integration.downloads.conftest import placed, worked_off

pytestmark = pytest.mark.django_db

Status = Download.Status
PAGE = "/ui/downloads/"
NAME = "fox-q4_k_m.gguf"


def text(reply: Any) -> str:
    """What a page says, without its marks."""
    return " ".join(re.sub(r"<[^>]+>", " ", reply.content.decode()).split())


def press(client: Client, verb: str, download: Download) -> str:
    """Press a button of the list; returns what the page says then."""
    reply = client.post(f"{PAGE}act/", {verb: download.key}, follow=True)
    assert reply.status_code == 200
    download.refresh_from_db()
    return text(reply)


def test_each_download_is_listed_once_with_those_that_share_its_fate(client: Client) -> None:
    made = {
        status: Download.objects.create(repository=f"owner/{status}", status=status)
        for status in Status
    }
    page = client.get(PAGE).content.decode()
    assert sorted(re.findall(r'data-download="([^"]+)"', page)) == sorted(
        download.key for download in made.values()
    )
    parts = re.split(r'id="(?:failed|under-way|over)-title"', page)[1:]
    listed = [re.findall(r'data-status="(\w+)"', part) for part in parts]
    assert listed[0] == [Status.FAILED]
    assert set(listed[1]) == {Status.PENDING, Status.DOWNLOADING, Status.PAUSED}
    assert set(listed[2]) == {Status.COMPLETED, Status.CANCELLED}


def test_an_empty_page_suggests_what_fits(hub: Hub, client: Client) -> None:
    said = text(client.get(PAGE))
    assert "Nothing fetched yet" in said
    assert said.count("Look at it") == 3


def test_the_search_lists_models_and_each_leads_to_its_page(
    hub: Hub, client: Client, reciter: bytes
) -> None:
    hub.add("owner/fox-GGUF", {NAME: reciter})
    reply = client.get(f"{PAGE}search/", {"q": "fox"})
    assert "/ui/downloads/hub/owner/fox-GGUF/" in reply.content.decode()
    assert "Nothing found" in text(client.get(f"{PAGE}search/", {"q": "whale"}))
    reply = client.get(f"{PAGE}search/", {"q": "owner/fox-GGUF"})
    assert reply["Location"] == "/ui/downloads/hub/owner/fox-GGUF/"
    mark = text(client.get(f"{PAGE}fit/owner/fox-GGUF/"))
    assert mark.startswith("fits Q4_K_M")


def test_a_hub_that_does_not_answer_is_told_in_words(hub: Hub, client: Client) -> None:
    hub.faults.append(Fault("status", -1, status=500, at="hub"))
    assert "problem of its own" in text(client.get(f"{PAGE}search/", {"q": "fox"}))
    assert "cannot be looked at now" in text(client.get(f"{PAGE}hub/owner/fox/"))
    assert client.get(f"{PAGE}fit/owner/fox/").status_code == 200
    assert client.get(f"{PAGE}hub/nothing/").status_code == 404


def test_a_model_is_taken_with_its_projector_in_the_size_that_is_recommended(
    hub: Hub, client: Client, reciter: bytes
) -> None:
    files = {"fox-Q8_0.gguf": reciter, NAME: reciter + bytes(32), "mmproj-f16.gguf": reciter}
    hub.add("owner/fox-GGUF", files)
    page = client.get(f"{PAGE}hub/owner/fox-GGUF/").content.decode()
    assert re.search(r'value="Q4_K_M" checked', page)
    assert "recommended" in page and "With its projector" in page
    taken = {"repository": "owner/fox-GGUF", "quantization": "Q4_K_M", "projector": "1"}
    reply = client.post(f"{PAGE}start/", taken, follow=True)
    assert "owner/fox-GGUF is on its way." in text(reply)
    download = Download.objects.get()
    names = set(download.files.values_list("name", flat=True))
    assert names == {NAME, "mmproj-f16.gguf"}
    assert (download.model_id, download.status) == ("owner/fox-GGUF", Status.PENDING)


def test_what_is_on_this_machine_already_is_offered(
    hub: Hub, client: Client, reciter: bytes, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "old-q8_0.gguf").write_bytes(reciter)
    folder = ModelFolder.objects.create(path=str(here))
    scan_runs.perform(scan_runs.create([folder]).pk)
    hub.add("owner/fox-GGUF", {NAME: reciter})
    assert "on this machine already" in text(client.get(f"{PAGE}hub/owner/fox-GGUF/"))
    taken = {"repository": "owner/fox-GGUF", "quantization": "Q4_K_M", "reuse": "1"}
    client.post(f"{PAGE}start/", taken)
    download = Download.objects.get()
    assert download.reuse
    assert worked_off(download).status == Status.COMPLETED
    target = Path(download.folder) / NAME
    assert target.stat().st_ino == (here / "old-q8_0.gguf").stat().st_ino


def test_downloads_are_paused_resumed_cancelled_and_taken_off_the_list(
    hub: Hub, client: Client
) -> None:
    download = placed(hub)
    assert "Waiting" in text(client.get(PAGE))
    assert "Paused" in press(client, "pause", download)
    assert download.status == Status.PAUSED
    press(client, "resume", download)
    assert download.status == Status.PENDING
    assert "Cancelled" in press(client, "cancel", download)
    assert "Start it again instead" in press(client, "resume", download)
    client.post(f"{PAGE}act/", {"forget": download.key})
    assert not Download.objects.exists()
    reply = client.post(f"{PAGE}act/", {"pause": download.key}, follow=True)
    assert "no longer in the list" in text(reply)


def test_the_order_of_those_that_wait_can_be_changed(hub: Hub, client: Client) -> None:
    first, second, third = (placed(hub, f"{name}.gguf") for name in "abc")

    def order() -> list[str]:
        waiting = Download.objects.filter(status=Status.PENDING)
        return list(waiting.values_list("key", flat=True))

    press(client, "sooner", third)
    assert order() == [first.key, third.key, second.key]
    press(client, "later", first)
    assert order() == [third.key, first.key, second.key]
    press(client, "sooner", third)
    assert order() == [third.key, first.key, second.key]


def test_a_refused_download_has_the_field_for_the_token_beside_it(
    hub: Hub, client: Client, reciter: bytes
) -> None:
    hub.add("owner/repo", {NAME: reciter}, token="hf_right")
    download = worked_off(placed(hub))
    page = client.get(PAGE)
    assert "accept its terms" in text(page)
    assert f'id="{download.key}-token"' in page.content.decode()
    assert f"{hub.url}/owner/repo" in page.content.decode()
    reply = client.post(f"{PAGE}token/", {"key": download.key, "token": "has blanks"}, follow=True)
    assert "Copy it again" in text(reply)
    client.post(f"{PAGE}token/", {"key": download.key, "token": "hf_right"})
    assert hf_token.read() == ""
    assert worked_off(download).status == Status.COMPLETED


def test_a_token_may_be_kept_for_all(hub: Hub, client: Client, reciter: bytes) -> None:
    hub.add("owner/repo", {NAME: reciter}, token="hf_right")
    download = worked_off(placed(hub))
    body = {"key": download.key, "token": "hf_right", "keep": "1"}
    client.post(f"{PAGE}token/", body)
    assert hf_token.read() == "hf_right"
    download.refresh_from_db()
    assert download.token == ""
    assert worked_off(download).status == Status.COMPLETED


def test_what_is_here_can_be_tried(hub: Hub, client: Client, reciter: bytes) -> None:
    hub.add("owner/repo", {NAME: reciter})
    worked_off(placed(hub))
    said = text(client.get(PAGE))
    model = ServedModel.objects.get()
    assert f"Try {model.model_id}" in said and "Here" in said
    assert "Clear this list" in said
    client.post(f"{PAGE}clear/")
    assert not Download.objects.exists()


def test_a_file_is_fetched_from_an_address(hub: Hub, client: Client, reciter: bytes) -> None:
    hub.add("owner/repo", {NAME: reciter})
    reply = client.post(f"{PAGE}address/", {"url": "https://evil.example/x.gguf"})
    assert reply.status_code == 422
    assert "not among the hosts" in text(reply)
    reply = client.post(f"{PAGE}address/", {"url": hub.file_url("owner/repo", NAME)})
    download = Download.objects.get()
    assert reply["Location"] == f"{PAGE}#{download.key}"


def test_limits_are_changed_and_nonsense_is_refused(hub: Hub, client: Client) -> None:
    reply = client.post(f"{PAGE}limits/", {"at_once": "99", "connections": "4"})
    assert reply.status_code == 422
    client.post(f"{PAGE}limits/", {"at_once": "3", "connections": "2", "rate": "25"})
    row = DownloadSettings.current()
    assert (row.at_once, row.connections, row.rate_limit) == (3, 2, 25_000_000)


def test_a_download_that_found_the_file_elsewhere_offers_to_take_it(
    hub: Hub, client: Client
) -> None:
    download = placed(hub)
    Download.objects.filter(pk=download.pk).update(reuse_path="/elsewhere/fox.gguf")
    assert "/elsewhere/fox.gguf" in text(client.get(PAGE))
    press(client, "reuse", download)
    assert download.reuse
    control.cancel(download)


def test_nothing_is_changed_by_looking(hub: Hub, client: Client) -> None:
    download = placed(hub)
    for path in ("act/", "clear/", "token/", "limits/", "address/", "start/"):
        reply = client.get(f"{PAGE}{path}", {"cancel": download.key, "forget": download.key})
        assert reply["Location"] == PAGE
    download.refresh_from_db()
    assert download.status == Status.PENDING


def test_without_the_hub_the_starter_model_is_offered_and_taken(
    client: Client, settings: Any
) -> None:
    settings.CLARACORE_HF_ENDPOINT = "http://127.0.0.1:9"
    settings.CLARACORE_PRIVATE_HOSTS = ["127.0.0.1"]
    for path in (PAGE, f"{PAGE}search/?q=fox", f"{PAGE}hub/owner/fox-GGUF/"):
        said = text(client.get(path))
        assert "copy a .gguf file into one of your folders" in said, path
        assert "Get the starter model" in said, path
        assert path == PAGE or "check this machine's network" in said, path
    assert client.post(f"{PAGE}starter/").status_code == 302
    [download] = Download.objects.all()
    assert download.files.get().url == starter.ADDRESS
    assert "Without Hugging Face" not in text(client.get(PAGE))
    Download.objects.update(status=Status.FAILED, error_kind="connection")
    assert "Without Hugging Face" in text(client.get(PAGE))


def test_a_model_that_is_not_there_is_not_blamed_on_the_network(hub: Hub, client: Client) -> None:
    said = text(client.get(f"{PAGE}hub/owner/none-GGUF/"))
    assert "cannot be looked at now" in said
    assert "network" not in said and "Without Hugging Face" not in said
