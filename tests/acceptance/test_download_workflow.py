"""The API document's "Download and Auto-Configure" workflow, against a hub on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.ggufs import numbers, write_reciter
from tests.hub import Fault, Hub, running_hub
from tests.server import RunningServer, running_server, wait_until

pytestmark = [pytest.mark.in_order, pytest.mark.lan]

SENTENCE = "Fetched, checked and served without a word of configuration."
REPO = "microsoft/Phi-3.5-mini-instruct-GGUF"
FILE = "Phi-3.5-mini-instruct-Q4_K_M.gguf"

SCRIPT = """
set -eu
curl -sSf -X POST "$SERVER/api/models/download" \\
  -H 'Content-Type: application/json' \\
  -d '{
    "url": "'"$HUB/microsoft/Phi-3.5-mini-instruct-GGUF/resolve/main/$FILE"'",
    "modelId": "phi-3.5-mini",
    "filename": "phi-3.5-mini-q4-k-m.gguf"
  }'
echo
for _ in $(seq 600); do
  curl -sSf "$SERVER/api/models/downloads" | grep -q '"completed"' && break
  sleep 0.1
done
curl -sSf -X POST "$SERVER/v1/chat/completions" \\
  -H 'Content-Type: application/json' \\
  -d '{
    "model": "phi-3.5-mini",
    "messages": [{"role": "user", "content": "Hello!"}]
  }'
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        yield running


@pytest.fixture(scope="module")
def server(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("models")
    write_reciter(folder / "endless-f32.gguf", numbers(50), endless=True, context_length=65536)
    env = {"CLARACORE_HF_ENDPOINT": hub.url, "CLARACORE_PRIVATE_HOSTS": "127.0.0.1"}
    with running_server(folder, env=env) as running:
        running.wait_for_models("endless")
        yield running


class Events:
    """What `/api/events` says of downloads."""

    def __init__(self, url: str) -> None:
        self.heard: list[dict[str, Any]] = []
        self._reply = requests.get(f"{url}/api/events", stream=True, timeout=60)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            for line in self._reply.iter_lines():
                if line.startswith(b"data:"):
                    message = json.loads(line[5:])
                    if message["type"] == "downloadProgress":
                        self.heard.append(json.loads(message["data"]))
        except (requests.RequestException, AttributeError, ValueError, OSError):
            return  # The test is over.

    def statuses(self, key: str) -> list[str]:
        seen = [one["info"]["status"] for one in self.heard if one["downloadId"] == key]
        return [now for before, now in zip([None, *seen], seen, strict=False) if now != before]

    def close(self) -> None:
        self._reply.close()


def download(server: RunningServer, key: str) -> dict[str, Any]:
    told: dict[str, Any] = requests.get(
        f"{server.url}/api/models/downloads/{key}", timeout=30
    ).json()
    return told


def start(server: RunningServer, hub: Hub, repo: str, **more: Any) -> str:
    body = {"url": hub.file_url(repo, "fox.gguf"), "filename": f"{repo[6:]}.gguf", **more}
    reply = requests.post(f"{server.url}/api/models/download", json=body, timeout=30)
    assert reply.ok, reply.text
    return str(reply.json()["downloadId"])


def test_the_documents_script_ends_in_a_chat(
    server: RunningServer, hub: Hub, tmp_path: Path
) -> None:
    model = write_reciter(tmp_path / "phi.gguf", SENTENCE)
    hub.add(REPO, {FILE: model.read_bytes()})
    events = Events(server.url)
    # A stream that runs meanwhile is not touched.
    endless = requests.post(
        f"{server.url}/v1/chat/completions",
        json={
            "model": "endless",
            "stream": True,
            "max_tokens": 200,
            "messages": [{"role": "user", "content": "Count."}],
        },
        stream=True,
        timeout=60,
    )
    lines = endless.iter_lines()
    assert next(lines)
    script = subprocess.run(
        ["bash", "-c", SCRIPT],
        env={**os.environ, "SERVER": server.url, "HUB": hub.url, "FILE": FILE},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert script.returncode == 0, script.stderr
    first, answer = script.stdout.strip().split("\n", 1)
    assert json.loads(answer)["choices"][0]["message"]["content"] == SENTENCE
    assert any(b"[DONE]" in line for line in lines)
    key = json.loads(first)["downloadId"]
    wait_until(lambda: "completed" in events.statuses(key), "the event of the end", server.said)
    assert events.statuses(key)[-1] == "completed"
    info = next(one for one in events.heard if one["downloadId"] == key)["info"]
    assert isinstance(info["speed"], int) and isinstance(info["eta"], int)
    events.close()


def test_events_tell_of_a_pause_a_failure_and_a_cancellation(
    server: RunningServer, hub: Hub, tmp_path: Path
) -> None:
    data = write_reciter(tmp_path / "slow.gguf", "Slow and steady.").read_bytes()
    hub.add("owner/slow", {"fox.gguf": data})
    hub.faults.append(Fault("rate", -1, 20_000))
    events = Events(server.url)
    key = start(server, hub, "owner/slow")
    wait_until(lambda: download(server, key)["downloadedBytes"] > 0, "bytes", server.said)
    path = f"{server.url}/api/models/downloads/{key}"
    assert requests.post(f"{path}/pause", timeout=30).ok
    wait_until(lambda: events.statuses(key)[-1:] == ["paused"], "the pause", server.said)
    hub.add("owner/slow", {})
    assert requests.post(f"{path}/resume", timeout=30).ok
    wait_until(lambda: events.statuses(key)[-1:] == ["failed"], "the failure", server.said)
    assert "no such file" in download(server, key)["error"]
    reply = requests.post(
        f"{server.url}/api/models/download/cancel", json={"downloadId": key}, timeout=30
    )
    assert reply.ok
    wait_until(lambda: events.statuses(key)[-1:] == ["cancelled"], "the end", server.said)
    hub.faults.clear()
    events.close()


def test_a_killed_workers_download_goes_on_by_itself(
    server: RunningServer, hub: Hub, tmp_path: Path
) -> None:
    data = write_reciter(tmp_path / "kill.gguf", "Killed and yet alive.", layers=40).read_bytes()
    hub.add("owner/kill", {"fox.gguf": data})
    hub.faults.append(Fault("rate", -1, 200_000))
    key = start(server, hub, "owner/kill", modelId="owner/kill")
    wait_until(lambda: download(server, key)["downloadedBytes"] > 0, "bytes", server.said)
    for pid in worker_pids(server):
        os.kill(pid, signal.SIGKILL)
    hub.faults.clear()
    wait_until(lambda: download(server, key)["status"] == "completed", "the end", server.said)
    assert Path(download(server, key)["filePath"]).read_bytes() == data
    server.wait_for_models("kill")


def worker_pids(server: RunningServer) -> list[int]:
    """Processes that run this server's Celery worker."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            command = (folder / "cmdline").read_bytes()
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        home = f"CLARACORE_HOME={server.home}\0".encode()
        if b"--app=claracore_site" in command and home in environment:
            found.append(int(folder.name))
    return found
