"""The routes of downloads and of the hub."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from downloads_app import info, queue
from downloads_app.models import Download
from downloads_app.sources import fit
from models_app import folders, hardware
from models_app.machine import GIB, Cpu, Machine, Ram
from models_app.models import GgufFile, ModelFolder
from tests.ggufs import write_split
from tests.hub import Blob, Fault, Hub, Repo
from tests.integration.downloads.conftest import placed, worked_off

pytestmark = pytest.mark.django_db

Status = Download.Status


def post(client: Client, path: str, body: Any = None) -> Any:
    return client.post(path, json.dumps(body or {}), content_type="application/json")


def test_the_documents_request_starts_a_download(hub: Hub, client: Client, reciter: bytes) -> None:
    hub.add("owner/repo", {"fox-q4_k_m.gguf": reciter})
    body = {
        "url": hub.file_url("owner/repo", "fox-q4_k_m.gguf"),
        "modelId": "phi-3.5-mini-instruct",
        "filename": "phi-3.5-mini-instruct-q4-k-m.gguf",
        "hfApiKey": "hf_your_token_here",
    }
    reply = post(client, "/api/models/download", body)
    assert reply.status_code == 200
    key = reply.json()["downloadId"]
    assert reply.json() == {
        "downloadId": key,
        "status": "download started",
        "modelId": "phi-3.5-mini-instruct",
        "filename": "phi-3.5-mini-instruct-q4-k-m.gguf",
    }
    download = Download.objects.get(key=key)
    assert download.status == Status.PENDING
    assert client.get("/api/models/downloads").json()[key]["status"] == "pending"
    worked_off(download)
    told = client.get(f"/api/models/downloads/{key}").json()
    assert (told["status"], told["progress"], told["error"]) == ("completed", 100.0, "")
    assert os.path.exists(told["filePath"])


def test_the_parts_of_a_split_model_are_one_download(hub: Hub, client: Client) -> None:
    body = {
        "modelId": "owner/big",
        "isMultiPart": True,
        "quantization": "Q8_0",
        "files": [f"Q8_0/big-0000{number}-of-00002.gguf" for number in (1, 2)],
    }
    reply = post(client, "/api/models/download", body).json()
    assert reply["partCount"] == 2
    download = Download.objects.get(key=reply["downloadIds"][0])
    assert download.files.count() == 2
    assert Path(download.folder).name == "Q8_0"


def test_words_for_people_stand_beside_numbers(hub: Hub, client: Client) -> None:
    download = placed(hub)
    Download.objects.filter(pk=download.pk).update(
        status=Status.DOWNLOADING,
        total_bytes=2_730_000_000,
        done_bytes=1_234_567_890,
        speed=15_200_000,
    )
    told = client.get(f"/api/models/downloads/{download.key}").json()
    assert (told["speed"], told["eta"]) == ("15.2 MB/s", "1m 38s")
    assert (told["speedBytesPerSecond"], told["etaSeconds"]) == (15_200_000, 98)
    assert told["progress"] == 45.2
    event = info.of_event(info.rows().get(pk=download.pk))
    assert (event["speed"], event["eta"]) == (15_200_000, 98)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"filename": "x.gguf"}, "URL is required"),
        ({"url": "ftp://huggingface.co/x.gguf"}, "not a web address"),
        ({"url": "https://huggingface.co/", "filename": "undefined"}, "no name for a file"),
        ({"url": "https://example.org/x.gguf"}, "not among the hosts"),
        ({"url": "https://huggingface.co.evil.org/x.gguf"}, "not among the hosts"),
        ({"url": "https://huggingface.co@evil.org/x.gguf"}, "name or password"),
        ({"url": "http://[::1/x.gguf"}, "not a web address"),
        ({"url": "https://huggingface.co/x.gguf", "destinationPath": "/etc"}, "neither"),
        ({"url": "https://huggingface.co/x.gguf", "destinationPath": "../.."}, "neither"),
        ({"url": "https://huggingface.co/x.gguf", "modelId": "a\nb"}, "printable"),
        ({"isMultiPart": True, "files": ["../x.gguf"], "modelId": "a/b"}, "not a file"),
        ({"isMultiPart": True, "files": ["x.gguf"], "modelId": "../b"}, "not a repository"),
        (
            {"isMultiPart": True, "files": ["a/x.gguf", "b/x.gguf"], "modelId": "a/b"},
            "same name",
        ),
        ({"url": 5}, "url must be a text"),
    ],
)
def test_a_request_that_cannot_be_met_says_why(
    hub: Hub, client: Client, body: dict[str, Any], words: str
) -> None:
    reply = post(client, "/api/models/download", body)
    assert reply.status_code == 400
    assert set(reply.json()) >= {"error", "details", "code"}
    assert words in reply.json()["error"]
    assert not Download.objects.exists()


def test_a_link_out_of_the_allowed_folders_is_followed_before_it_is_judged(
    hub: Hub, client: Client, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    folders.add(models)
    (models / "out").symlink_to("/etc")
    url = "https://huggingface.co/x.gguf"
    reply = post(client, "/api/models/download", {"url": url, "destinationPath": f"{models}/out"})
    assert reply.status_code == 400
    reply = post(client, "/api/models/download", {"url": url, "destinationPath": f"{models}/in"})
    assert reply.status_code == 200


def test_steering_a_download_is_idempotent(hub: Hub, client: Client) -> None:
    key = placed(hub).key
    path = f"/api/models/downloads/{key}"
    for _ in range(2):
        assert post(client, f"{path}/pause").json()["status"] == "download paused"
        assert client.get(path).json()["status"] == "paused"
    for _ in range(2):
        assert post(client, f"{path}/resume").json()["status"] == "download resumed"
        assert client.get(path).json()["status"] == "pending"
    for _ in range(2):
        reply = post(client, "/api/models/download/cancel", {"downloadId": key})
        assert reply.json() == {"status": "download cancelled", "downloadId": key}
    assert post(client, f"{path}/resume").status_code == 409


@pytest.mark.parametrize("key", ["owner/repo-file.gguf-123", "nothing", "a%2Fb"])
def test_an_unknown_id_is_not_found_whatever_it_holds(client: Client, key: str) -> None:
    assert client.get(f"/api/models/downloads/{key}").status_code == 404
    assert post(client, f"/api/models/downloads/{key}/pause").status_code == 404
    assert post(client, f"/api/models/downloads/{key}/resume/").status_code == 404
    assert post(client, "/api/models/download/cancel", {"downloadId": key}).status_code == 404


def test_an_id_with_slashes_is_reached(hub: Hub, client: Client) -> None:
    download = placed(hub)
    Download.objects.filter(pk=download.pk).update(key="owner/repo-fox.gguf-17")
    path = "/api/models/downloads/owner/repo-fox.gguf-17"
    assert client.get(path).json()["id"] == "owner/repo-fox.gguf-17"
    assert post(client, f"{path}/pause").status_code == 200
    assert client.get("/api/models/downloads/owner%2Frepo-fox.gguf-17").status_code == 200


def test_the_queue_can_be_put_in_another_order(hub: Hub, client: Client) -> None:
    keys = [placed(hub, f"{name}.gguf").key for name in "abc"]
    order = [keys[2], keys[0]]
    reply = post(client, "/api/models/downloads/reorder", {"downloadIds": order})
    assert reply.json()["downloadIds"] == [keys[2], keys[0], keys[1]]
    reply = post(client, "/api/models/downloads/reorder", {"downloadIds": ["what"]})
    assert reply.status_code == 404


def test_limits_are_read_and_set(hub: Hub, client: Client) -> None:
    download = placed(hub)
    path = "/api/models/downloads/limits"
    assert post(client, path, {"rateLimit": 5000, "atOnce": 3}).json() == {
        "rateLimit": 5000,
        "atOnce": 3,
        "connections": 4,
    }
    post(client, path, {"downloadId": download.key, "rateLimit": 700})
    assert client.get(f"/api/models/downloads/{download.key}").json()["rateLimit"] == 700
    assert client.get(path).json()["rateLimit"] == 5000
    reply = post(client, path, {"atOnce": 99})
    assert reply.status_code == 400 and "atOnce" in reply.json()["error"]


def test_destinations_are_told_from_what_the_last_scan_found(
    hub: Hub, client: Client, tmp_path: Path, django_assert_max_num_queries: Any
) -> None:
    folder = ModelFolder.objects.create(path=str(tmp_path / "models"))
    GgufFile.objects.bulk_create(
        GgufFile(
            folder=folder,
            path=f"{folder.path}/{number}.gguf",
            relative_path=f"{number}.gguf",
            size=1,
            mtime_ns=1,
            last_seen_at=timezone.now(),
        )
        for number in range(2000)
    )
    with django_assert_max_num_queries(10):
        told = client.get("/api/models/download-destinations").json()
    first, second = told["destinations"]
    assert told["count"] == 2
    assert (first["type"], first["name"], first["modelCount"]) == (
        "default",
        "Default Downloads",
        0,
    )
    assert os.path.isdir(first["path"])
    assert (second["path"], second["modelCount"]) == (folder.path, 2000)
    assert second["description"] == "Model folder (2000 models)"


# ---- The hub ---------------------------------------------------------------------------------


@pytest.fixture
def machine() -> None:
    hardware.store(Machine("linux", "amd64", Cpu("CPU", 8, 8, 8), Ram(32 * GIB, 24 * GIB)))


def test_the_hub_is_searched(hub: Hub, client: Client, reciter: bytes) -> None:
    hub.add("owner/fox-GGUF", {"fox.gguf": reciter})
    hub.repos["owner/fox-weights"] = Repo({}, tags=("safetensors",))
    found = client.get("/api/hub/search", {"q": "fox"}).json()
    assert [model["id"] for model in found["models"]] == ["owner/fox-GGUF"]
    assert client.get("/api/hub/search").status_code == 400


@pytest.mark.usefixtures("machine")
def test_a_repository_tells_what_fits_before_anything_is_fetched(
    hub: Hub, client: Client, reciter: bytes
) -> None:
    fit._cache.clear()
    huge = Blob(reciter)
    repo = hub.add("owner/fox", {"fox-Q4_K_M.gguf": reciter, "fox-Q8_0.gguf": reciter})
    repo.files["fox-BF16.gguf"] = huge
    huge.__dict__["size"] = 200 * GIB  # what the hub says of it
    repo.files["mmproj-F16.gguf"] = Blob(reciter + b"\0")
    repo.files["README.md"] = Blob(b"# Fox", large=False)
    told = client.get("/api/hub/models/owner/fox").json()
    assert told["problem"] == ""
    names = [entry["quantization"] for entry in told["quantizations"]]
    assert names == ["Q4_K_M", "Q8_0", "BF16"]
    first, second, third = told["quantizations"]
    assert (first["fits"], first["estimated"], first["parts"]) == (True, False, 1)
    assert first["context"] >= 4096 and first["memoryBytes"] > first["size"]
    assert (second["fits"], second["estimated"]) == (True, True)
    assert third["fits"] is False
    assert [file["path"] for file in told["projectors"]] == ["mmproj-F16.gguf"]
    assert told["architecture"] == "llama"
    assert not Download.objects.exists()


@pytest.mark.usefixtures("machine")
def test_a_repository_with_40_quantizations_is_read_once(
    hub: Hub, client: Client, reciter: bytes
) -> None:
    fit._cache.clear()
    names = [f"Q{bits}_{kind}" for bits in range(2, 9) for kind in ("0", "1", "K_S", "K_M", "K_L")]
    names += ["IQ1_S", "IQ2_XXS", "IQ3_M", "IQ4_XS", "IQ4_NL"]
    hub.page = 7
    hub.add("owner/many", {f"fox-{name}.gguf": reciter for name in names})
    told = client.get("/api/hub/models/owner/many").json()
    assert {entry["quantization"] for entry in told["quantizations"]} == set(names)
    assert told["quantizations"][0]["quantization"] == "Q4_K_M"
    assert all(entry["fits"] for entry in told["quantizations"])
    assert len({one.path for one in hub.asked_of("store")}) == 1


def test_a_gated_repository_keeps_its_names_and_says_why_nothing_is_told(
    hub: Hub, client: Client, reciter: bytes, settings: Any
) -> None:
    fit._cache.clear()
    hub.add("owner/gated", {"fox-Q4_K_M.gguf": reciter}, token="hf_right")
    told = client.get("/api/hub/models/owner/gated").json()
    assert told["gated"] and "accept its terms" in told["problem"]
    assert told["quantizations"][0]["fits"] is None
    settings.CLARACORE_HF_TOKEN = "hf_right"
    assert client.get("/api/hub/models/owner/gated").json()["problem"] == ""


def test_the_token_is_not_told_to_the_store_that_headers_are_read_from(
    hub: Hub, client: Client, reciter: bytes, settings: Any
) -> None:
    fit._cache.clear()
    settings.CLARACORE_HF_TOKEN = "hf_right"
    hub.add("owner/gated", {"fox-Q4_K_M.gguf": reciter}, token="hf_right")
    assert client.get("/api/hub/models/owner/gated").json()["problem"] == ""
    assert [asked.is_probe for asked in hub.asked_of("store")] == [True, False]
    assert {asked.token for asked in hub.asked_of("store")} == {""}


def test_a_quantization_is_picked_with_its_projector(
    hub: Hub, client: Client, reciter: bytes, tmp_path: Path
) -> None:
    parts = {f"Q8_0/{path.name}": path for path in write_split(tmp_path / "fox-Q8_0", 3)}
    hub.add("owner/fox", {"fox-Q4_K_M.gguf": reciter, "mmproj-F16.gguf": reciter[::-1], **parts})
    body = {"modelId": "owner/fox", "quantization": "q8_0", "includeProjector": True}
    reply = post(client, "/api/models/download", body).json()
    download = Download.objects.get(key=reply["downloadId"])
    names = list(download.files.values_list("name", flat=True))
    assert names == [*(path.rpartition("/")[2] for path in parts), "mmproj-F16.gguf"]
    assert all(download.files.values_list("sha256", flat=True))
    assert Path(download.folder).name == "fox"
    reply = post(client, "/api/models/download", {"modelId": "owner/fox", "quantization": "Q2_K"})
    assert reply.status_code == 404 and "it has Q4_K_M, Q8_0" in reply.json()["error"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("status", -1, status=500, at="hub"), 502),
        (Fault("status", -1, status=429, at="hub", headers={"Retry-After": "7"}), 503),
    ],
    ids=["500", "429"],
)
def test_trouble_with_the_hub_is_told(hub: Hub, client: Client, fault: Fault, status: int) -> None:
    hub.faults.append(fault)
    reply = client.get("/api/hub/search", {"q": "fox"})
    assert reply.status_code == status and reply.json()["error"]


def test_an_unknown_repository_is_not_found(hub: Hub, client: Client) -> None:
    assert client.get("/api/hub/models/owner/none").status_code == 404
    assert client.get("/api/hub/models/none").status_code == 404


def test_the_sweep_hands_a_waiting_download_to_the_workers(hub: Hub) -> None:
    download = placed(hub)
    Download.objects.filter(pk=download.pk).update(queued_at=timezone.now() - 2 * queue.PATIENCE)
    queue.sweep()
    download.refresh_from_db()
    assert timezone.now() - download.queued_at < queue.PATIENCE
