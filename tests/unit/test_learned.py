from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app import hardware
from models_app.catalog import build
from models_app.changes import current_version
from models_app.facts import FileFacts
from models_app.kinds import Kind
from models_app.learned import PER_FILE, PER_LOAD, Build, load_seconds, options_of
from models_app.learning import learn
from models_app.machine import GIB, Cpu, Machine, Ram
from models_app.measured import Reading
from models_app.models import EngineBuild, GgufFile, LoadRecord, ModelFolder, ServedModel
from models_app.plans import PlanContext, command_text, plan_for
from models_app.tuning import Plan

pytestmark = pytest.mark.django_db

MIB = 1024**2
FACTS = FileFacts(
    kind=Kind.CHAT,
    architecture="llama",
    tensor_bytes=400 * MIB,
    context_length=8192,
    vocabulary=32000,
    block_count=16,
    embedding_length=1024,
    feed_forward_length=4096,
    head_count=16,
    kv_heads=(4,) * 16,
    key_length=64,
    value_length=64,
)


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    """A file in the place of llama-server, with its row."""
    path = tmp_path / "llama-server"
    path.write_bytes(b"an engine")
    found = Build.of_binary(str(path))
    EngineBuild.objects.create(
        path=found.path, size=found.size, mtime_ns=found.mtime_ns, active=True
    )
    return path


@pytest.fixture
def model(binary: Path) -> ServedModel:
    hardware.store(Machine("linux", "amd64", Cpu("x", 4, 8, 4), Ram(16 * GIB, 15 * GIB)))
    file = GgufFile.objects.create(
        folder=ModelFolder.objects.create(path="/models"),
        path="/models/a.gguf",
        relative_path="a.gguf",
        size=420 * MIB,
        mtime_ns=1,
        facts=FACTS.to_json(),
        last_seen_at=timezone.now(),
    )
    return ServedModel.objects.create(model_id="a", file=file)


def plan_of(model: ServedModel) -> Plan:
    return plan_for(model, PlanContext.load())


def argv_of(model: ServedModel) -> list[str]:
    return shlex.split(command_text(model, PlanContext.load()))


def load(model: ServedModel, private: int, seconds: float = 1.0) -> LoadRecord:
    """The model loads as planned now, and takes `private` MiB."""
    row = learn(model.model_id, argv_of(model), Reading(0, 0, 0, private * MIB), seconds)
    assert row is not None
    return row


def words(plan: Plan, topic: str) -> str:
    return " ".join(reason.text for reason in plan.reasons if reason.topic == topic)


def test_the_next_plan_uses_what_was_measured_and_says_so(model: ServedModel) -> None:
    before = plan_of(model)
    assert before.measured is None and before.total == before.memory.total
    load(model, 1000)

    after = plan_of(model)

    assert after.memory == before.memory
    assert after.total == 1000 * MIB + before.memory.cpu.compute
    assert after.measured is not None
    assert after.measured.error == pytest.approx(before.memory.total / after.total - 1)
    assert "Measured on" in words(after, "measured") and "% off" in words(after, "measured")


def test_the_newest_measurement_counts(model: ServedModel) -> None:
    load(model, 1000)
    load(model, 2000)
    assert plan_of(model).total > 2000 * MIB


def test_other_options_were_not_measured(model: ServedModel) -> None:
    load(model, 1000)
    ServedModel.objects.update(context=2048)
    model.refresh_from_db()
    assert plan_of(model).measured is None


def test_a_replaced_file_was_not_measured(model: ServedModel) -> None:
    load(model, 1000)
    GgufFile.objects.update(mtime_ns=2)
    assert plan_of(ServedModel.objects.get()).measured is None


def test_another_build_was_not_measured(model: ServedModel, binary: Path) -> None:
    load(model, 1000)
    EngineBuild.objects.update(mtime_ns=5)
    assert plan_of(model).measured is None


def test_another_processor_was_not_measured(model: ServedModel) -> None:
    load(model, 1000)
    hardware.store(Machine("linux", "amd64", Cpu("y", 4, 8, 4), Ram(16 * GIB, 15 * GIB)))
    assert plan_of(model).measured is None


def test_options_without_effect_on_memory_make_no_difference() -> None:
    argv = ["llama-server", "--port", "1", "--alias", "a", "--model", "m", "--ctx-size", "4096"]
    same = ["other", "--port", "2", "--model", "n", "--ctx-size", "4096", "--fit", "off", "--jinja"]
    assert options_of(argv) == options_of(same)
    assert options_of(argv) != options_of([*argv, "--no-repack"])
    assert options_of([*argv, "--mmproj", "a"]) == options_of([*argv, "--mmproj", "b"])
    assert options_of([*argv, "--mmproj", "a"]) != options_of(argv)


def test_a_load_that_took_more_than_there_is_makes_the_next_plan_smaller(
    model: ServedModel,
) -> None:
    hardware.store(Machine("linux", "amd64", Cpu("x", 4, 8, 4), Ram(2 * GIB, 2 * GIB)))
    big = plan_of(model)
    assert big.memory.total < big.resources.ram == GIB
    load(model, 1000)

    smaller = plan_of(model)

    assert smaller.fits and smaller.measured is None
    assert smaller.memory.total < big.memory.total
    assert "more than was predicted" in words(smaller, "machine")
    load(model, 500)
    assert plan_of(model).measured is not None, "it stays with that, and learns about it"


def test_a_load_without_room_says_so_when_nothing_smaller_fits(model: ServedModel) -> None:
    load(model, plan_of(model).resources.ram // MIB + 100)
    plan = plan_of(model)
    assert not plan.fits
    assert "more than there is room for" in words(plan, "memory")


def test_a_load_that_had_room_needs_no_probing_any_more(model: ServedModel) -> None:
    unknown = replace(FACTS, architecture="brandnew")
    GgufFile.objects.update(facts=unknown.to_json())
    model = ServedModel.objects.get()
    unsure = plan_of(model)
    assert not unsure.sure and unsure.options.fit is None
    load(model, 1000)

    sure = plan_of(model)

    assert sure.sure and sure.options.fit is False
    assert "had room the last time" in words(sure, "fit")
    load(model, 1000)
    assert plan_of(model).measured is not None, "the option that it gained changes nothing"


def test_a_record_is_no_change_of_the_configuration(model: ServedModel) -> None:
    build()
    before = current_version()
    load(model, 1000)
    load(model, 2000)
    LoadRecord.objects.all().delete()
    assert current_version() == before


def test_the_catalog_reads_all_records_at_once(model: ServedModel) -> None:
    build()
    with CaptureQueriesContext(connection) as without:
        build()
    load(model, 1000)
    with CaptureQueriesContext(connection) as with_records:
        build()
    assert len(with_records) == len(without)


def test_the_history_is_bounded(model: ServedModel) -> None:
    for number in range(PER_LOAD + 2):
        load(model, 1000 + number, seconds=float(number))
    assert load_seconds(model) == tuple(float(n) for n in range(PER_LOAD + 1, 1, -1))
    for number in range(PER_FILE + 2):
        ServedModel.objects.update(context=1024 + 256 * number)
        load(ServedModel.objects.get(), 1000)
    assert LoadRecord.objects.count() == PER_FILE


def test_a_command_by_hand_is_measured_without_a_prediction(model: ServedModel) -> None:
    ServedModel.objects.update(cmd="llama-server --port ${PORT}")
    row = learn("a", ["llama-server", "--port", "${PORT}"], Reading(0, 0, 0, 5), 2.0)
    assert row is not None
    assert (row.predicted, row.measured, row.error) == (None, 5, None)
    assert load_seconds(model) == (2.0,)


def test_where_memory_cannot_be_read_the_time_is_kept(model: ServedModel) -> None:
    row = learn("a", argv_of(model), None, 3.0)
    assert row is not None and row.measured is None
    assert load_seconds(model) == (3.0,)
    assert plan_of(model).measured is None


def test_a_model_that_is_gone_is_not_recorded(model: ServedModel) -> None:
    assert learn("nobody", ["llama-server"], None, 1.0) is None
    GgufFile.objects.all().delete()
    assert learn("a", ["llama-server"], None, 1.0) is None
    assert load_seconds(ServedModel.objects.get()) == ()


def test_the_plan_is_shown_with_the_measurement(model: ServedModel, client: Client) -> None:
    fresh = client.get("/api/models/a/plan").json()
    assert fresh["measured"] is fresh["error"] is fresh["loadSeconds"] is None
    assert fresh["predicted"] == fresh["totalBytes"]
    load(model, 1000, seconds=2.5)
    LoadRecord.objects.update(at=timezone.now() - timedelta(days=1))

    body = client.get("/api/models/a/plan").json()

    assert body["predicted"] == fresh["predicted"]
    assert body["measured"] == body["totalBytes"] == body["memory"][0]["measured"]
    assert body["error"] == pytest.approx(body["predicted"] / body["measured"] - 1, abs=1e-4)
    assert body["loadSeconds"] == 2.5
    other = client.get("/api/models/a/plan?context=1024").json()
    assert other["measured"] is None

    out = StringIO()
    call_command("plan", "a", stdout=out)
    assert "measured 1.0 GiB, predicted" in out.getvalue()
