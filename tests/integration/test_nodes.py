"""Two nodes on one database: each sees, changes and fetches what carries its own name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.utils import timezone

from downloads_app import control, orders, queue
from downloads_app.engines import orders as engine_orders
from downloads_app.models import Download, DownloadSettings
from downloads_app.tasks import work_off
from models_app import (
    answering,
    catalog,
    engine_installs,
    folders,
    hardware,
    importing,
    nodes,
    revisions,
    scan_runs,
)
from models_app.config_yaml import ConfigError, parse
from models_app.leases import LEASE
from models_app.models import (
    ConfigFile,
    EngineBuild,
    EngineInstall,
    GgufFile,
    MachineReport,
    ModelFolder,
    Node,
    ScanRun,
    ServedModel,
)
from proxy_app.node_hold import NodeHold, NodeInUse
from tests.ggufs import write_reciter

pytestmark = pytest.mark.django_db

On = Callable[[str], Any]


@pytest.fixture
def on(settings: Any) -> On:
    """Be another node for a while: what two servers do in turn, one process does here."""

    @contextmanager
    def on(node: str) -> Iterator[None]:
        before = settings.CLARACORE_NODE
        settings.CLARACORE_NODE = node
        try:
            yield
        finally:
            settings.CLARACORE_NODE = before

    return on


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder that both nodes have under the same path, as two machines well may."""
    write_reciter(tmp_path / "fox.gguf", "Hello there.")
    return tmp_path


def scanned() -> None:
    scan_runs.perform(scan_runs.create().pk)


def tracked_by(on: On, node: str, folder: Path) -> None:
    with on(node):
        folders.add(folder)
        scanned()


# ---- Files ---------------------------------------------------------------------------------------


def test_what_is_gone_on_one_node_is_still_there_on_the_other(on: On, models: Path) -> None:
    tracked_by(on, "a", models)
    tracked_by(on, "b", models)
    (models / "fox.gguf").unlink()
    with on("b"):
        scanned()
        assert GgufFile.objects.get().state == GgufFile.State.VANISHED
    with on("a"):
        assert GgufFile.objects.get().state == GgufFile.State.OK


def test_a_folder_let_go_on_one_node_stays_on_the_other(on: On, models: Path) -> None:
    tracked_by(on, "a", models)
    tracked_by(on, "b", models)
    with on("b"):
        folders.remove(ModelFolder.objects.get())
        assert not ServedModel.objects.exists()
    with on("a"):
        assert [row.model_id for row in ServedModel.objects.all()] == ["fox"]
        assert catalog.build().models.keys() == {"fox"}


def test_only_what_lies_here_is_planned_and_offered(on: On, models: Path) -> None:
    tracked_by(on, "a", models)
    with on("b"):
        assert not catalog.build().models
        assert not folders.tracked_as(str(models))
        ServedModel.objects.create(model_id="own", cmd="program --port ${PORT}")
        assert catalog.build().models.keys() == {"own"}
    with on("a"):
        assert catalog.build().models.keys() == {"fox"}


def test_an_id_is_one_for_all_nodes(on: On, models: Path) -> None:
    """Otherwise nobody could tell, one day, which of two models a request means."""
    tracked_by(on, "a", models)
    tracked_by(on, "b", models)
    ids = ServedModel.everywhere.values_list("model_id", flat=True)
    assert len(set(ids)) == 2
    with on("b"):
        own = ServedModel.objects.get()
        assert own.model_id != "fox"
        assert "another model" in answering.also_as(own, "fox")
        with pytest.raises(ValidationError, match="node a"):
            ServedModel(model_id="fox", cmd="program").full_clean()
        with pytest.raises(ConfigError, match="node a"):
            importing.apply(parse("models:\n  fox:\n    cmd: program --port ${PORT}\n"))


def test_going_back_takes_no_id_from_another_node(on: On, models: Path) -> None:
    with on("b"):
        ServedModel.objects.create(model_id="fox", cmd="program --port ${PORT}")
        with_fox = revisions.keep()
        ServedModel.objects.all().delete()
        revisions.keep()
    tracked_by(on, "a", models)
    with on("b"):
        assert with_fox is not None
        done = revisions.rollback(with_fox)
        assert done.warnings == ("The id fox is a model's of the node a by now.",)
        assert not ServedModel.objects.exists()


def test_each_node_has_its_own_history_and_file_of_the_configuration(on: On, models: Path) -> None:
    tracked_by(on, "a", models)
    with on("a"):
        first = revisions.keep()
        ConfigFile.current()
    with on("b"):
        assert revisions.newest() is None
        assert ConfigFile.current().digest == ""
    assert first is not None and ConfigFile.everywhere.count() == 2


def test_a_scan_is_done_by_a_worker_of_its_node(on: On, models: Path) -> None:
    with on("a"):
        folders.add(models)
        run = scan_runs.create()
    with on("b"):
        assert scan_runs.perform(run.pk) is None
        assert scan_runs.sweep(timezone.now() + 10 * LEASE) == []
    with on("a"):
        done = scan_runs.perform(run.pk)
        assert done is not None and done.status == ScanRun.Status.COMPLETED


# ---- Downloads and builds ------------------------------------------------------------------------


def waiting(name: str = "fox.gguf") -> Download:
    item = orders.Item(f"https://huggingface.co/o/r/resolve/main/{name}", name)
    return orders.place(orders.Order([item]), hand_over=False)


def test_a_worker_takes_no_download_of_another_node(on: On, settings: Any, tmp_path: Path) -> None:
    settings.CLARACORE_HOME = tmp_path
    with on("a"):
        download = waiting()
    with on("b"):
        assert queue.claim_next("worker") is None
        assert queue.claim(download.pk, "worker") is None
        work_off()  # would fail on the network, and say so in the row
        control.cancel(download)
    download.refresh_from_db()
    assert download.status == Download.Status.PENDING
    with on("a"):
        assert queue.claim_next("worker") == download


def test_nodes_do_not_take_each_others_places(on: On, settings: Any, tmp_path: Path) -> None:
    """The line of each is its own: as many at once as the settings say."""
    settings.CLARACORE_HOME = tmp_path
    DownloadSettings.objects.update_or_create(pk=1, defaults={"at_once": 1})
    for node in ("a", "b"):
        with on(node):
            waiting()
            assert queue.claim_next("worker") is not None


def test_what_a_dead_worker_left_is_taken_up_by_its_node(
    on: On, settings: Any, tmp_path: Path
) -> None:
    settings.CLARACORE_HOME = tmp_path
    with on("a"):
        waiting()
        queue.claim_next("worker")
    late = timezone.now() + 2 * LEASE
    with on("b"):
        assert queue.sweep(late) == 0
    with on("a"):
        assert queue.sweep(late) == 1


def test_a_build_is_installed_and_used_on_its_node(on: On) -> None:
    with on("a"):
        row = EngineInstall.objects.create(binary="/opt/llama", active=True)
        waits = EngineInstall.objects.create(status=EngineInstall.Status.QUEUED)
        EngineBuild.objects.create(path="/opt/llama", size=1, mtime_ns=1, active=True)
    with on("b"):
        assert engine_installs.active() is None
        assert engine_orders.claim(waits.pk, "worker") is None
        # One is active on each node, and the same path is another program there.
        EngineInstall.objects.create(binary="/opt/llama", active=True)
        EngineBuild.objects.create(path="/opt/llama", size=2, mtime_ns=2, active=True)
    with on("a"):
        assert engine_installs.active() == row
        assert engine_orders.claim(waits.pk, "worker") == waits


def test_each_node_plans_for_its_own_machine(on: On) -> None:
    small = hardware.detect()
    large = replace(small, ram=replace(small.ram, total=small.ram.total * 2))
    with on("a"):
        hardware.store(small)
    with on("b"):
        assert hardware.stored() is None
        hardware.store(large)
        assert hardware.stored() == large
    with on("a"):
        assert hardware.stored() == small
    assert MachineReport.everywhere.count() == 2


def test_a_row_of_an_older_version_is_the_first_nodes(on: On) -> None:
    """Its columns do not name a node: a server that is being replaced goes on writing so."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO models_app_modelfolder (path, recursive, enabled, added_at, problem) "
            "VALUES ('/models', true, true, '2030-01-01 00:00:00+00:00', '')"
        )
    with on(nodes.DEFAULT):
        assert ModelFolder.objects.get().path == "/models"
    with on("b"):
        assert not ModelFolder.objects.exists()


# ---- The name ------------------------------------------------------------------------------------


def hold(home: Path, node: str = "a") -> NodeHold:
    home.mkdir(exist_ok=True)
    return NodeHold(home, node)


def test_whose_folders_are_another_nodes_is_told_once(on: On, models: Path, tmp_path: Path) -> None:
    tracked_by(on, "a", models)
    with on("b"):
        assert hold(tmp_path / "home", "b").take(), "the name is new"
        assert "CLARACORE_NODE=a" in folders.of_other_nodes()
        assert not hold(tmp_path / "home", "b").take()
        folders.add(models)
        assert not folders.of_other_nodes()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x" * 100])
def test_a_home_whose_id_was_spoilt_gets_a_new_one(tmp_path: Path, content: bytes) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "home_id").write_bytes(content)
    assert hold(home).take()
    assert not hold(home).take()


def test_a_home_that_was_moved_keeps_its_name(tmp_path: Path) -> None:
    hold(tmp_path / "home").take()
    (tmp_path / "home").rename(tmp_path / "moved")
    hold(tmp_path / "moved").take()


def test_a_second_home_may_not_go_by_the_same_name(tmp_path: Path) -> None:
    hold(tmp_path / "one").take()
    hold(tmp_path / "one").take()  # the same home again, as after a crash
    with pytest.raises(NodeInUse, match="CLARACORE_NODE"):
        hold(tmp_path / "two").take()
    hold(tmp_path / "two", "b").take()
    assert Node.objects.count() == 2


def test_a_name_is_free_once_its_server_stopped_or_fell_silent(tmp_path: Path) -> None:
    one, two, three = (hold(tmp_path / name) for name in ("one", "two", "three"))
    one.take()
    one.give_back()
    two.take()
    three.take(timezone.now() + nodes.HOLD + timedelta(seconds=1))


def test_a_server_says_once_that_it_lost_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = hold(tmp_path / "one"), hold(tmp_path / "two")
    now = timezone.now()
    one.take(now)
    two.take(now + 2 * nodes.HOLD)
    with caplog.at_level(logging.ERROR):
        one.keep()
        one.keep()
        two.keep()
        one.give_back()
    assert len(caplog.records) == 1 and "CLARACORE_NODE" in caplog.text
    row = Node.objects.get()
    assert row.seen_at is not None, "what is another's is not given back"


# ---- Shown ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["modelfolder", "gguffile", "node"])
def test_the_admin_shows_the_node(
    admin_client: Client, on: On, models: Path, tmp_path: Path, page: str
) -> None:
    hold(tmp_path / "home", "lab-7").take()
    tracked_by(on, "lab-7", models)
    with on("lab-7"):
        found = admin_client.get(f"/admin/models_app/{page}/")
    assert found.status_code == 200
    assert "lab-7" in found.content.decode()
