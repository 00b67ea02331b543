from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from models_app import hardware
from models_app.facts import FileFacts
from models_app.kinds import Kind
from models_app.machine import GIB, Cpu, Machine, Ram
from models_app.models import GgufFile, ModelAlias, ModelFolder, ServedModel
from models_app.what_if import BadWish, read_wishes

pytestmark = pytest.mark.django_db


@pytest.fixture
def model() -> ServedModel:
    hardware.store(Machine("linux", "amd64", Cpu("x", 4, 8, 4), Ram(16 * GIB, 15 * GIB)))
    facts = FileFacts(
        kind=Kind.CHAT,
        architecture="llama",
        tensor_bytes=400 * 1024**2,
        context_length=65536,
        vocabulary=32000,
        block_count=16,
        embedding_length=1024,
        feed_forward_length=4096,
        head_count=16,
        kv_heads=(4,) * 16,
        key_length=64,
        value_length=64,
    )
    file = GgufFile.objects.create(
        folder=ModelFolder.objects.create(path="/models"),
        path="/models/a.gguf",
        relative_path="a.gguf",
        size=420 * 1024**2,
        mtime_ns=1,
        facts=facts.to_json(),
        last_seen_at=timezone.now(),
    )
    row = ServedModel.objects.create(model_id="owner/some-model", file=file)
    ModelAlias.objects.create(alias="short", model=row)
    return row


def test_the_plan_says_what_why_and_how_much(model: ServedModel, client: Client) -> None:
    body = client.get("/api/models/owner/some-model/plan").json()
    assert body["model"] == "owner/some-model"
    assert body["fits"] is True
    assert body["contextPerRequest"] == 32768
    assert "--model /models/a.gguf" in body["command"]
    assert body["memory"][0]["device"] == "CPU"
    assert body["totalBytes"] == body["memory"][0]["total"]
    assert {"placement", "context", "slots", "fit"} <= {one["topic"] for one in body["reasons"]}


def test_wishes_in_the_query_change_the_plan(model: ServedModel, client: Client) -> None:
    body = client.get("/api/models/short/plan/?context=2048&slots=1&cacheType=q8_0").json()
    assert body["contextPerRequest"] == 2048
    assert "--parallel 1" in body["command"]
    assert "--cache-type-k q8_0" in body["command"]
    little = client.get("/api/models/short/plan?ramGB=1.6").json()
    assert little["contextPerRequest"] < 32768
    model.refresh_from_db()
    assert model.context is None


def test_a_gpu_can_be_wished_for(model: ServedModel, client: Client) -> None:
    body = client.get("/api/models/short/plan?vramGB=8").json()
    assert [one["device"] for one in body["memory"]] == ["CPU", "GPU0"]
    assert body["memory"][1]["total"] > 0


@pytest.mark.parametrize(
    "query", ["context=0", "context=-1", "context=many", "vramGB=nan", "backend=abacus", "x=1"]
)
def test_a_wish_that_makes_no_sense_is_named(
    model: ServedModel, client: Client, query: str
) -> None:
    reply = client.get(f"/api/models/short/plan?{query}")
    assert reply.status_code == 400
    assert query.split("=")[0] in reply.json()["error"]


def test_an_unknown_model_has_no_plan(client: Client) -> None:
    reply = client.get("/api/models/nobody/plan")
    assert reply.status_code == 404
    assert reply.json()["code"] == "NOT_FOUND"


def test_a_model_without_a_file_has_no_plan(client: Client) -> None:
    ServedModel.objects.create(model_id="remote", cmd="ssh elsewhere")
    assert client.get("/api/models/remote/plan").status_code == 409


def test_a_command_set_by_hand_is_pointed_out(model: ServedModel, client: Client) -> None:
    ServedModel.objects.update(cmd="llama-server --port ${PORT}")
    body = client.get("/api/models/short/plan").json()
    assert "set by hand" in body["reasons"][0]["text"]


def test_the_command_line_explains_a_plan(model: ServedModel) -> None:
    out = StringIO()
    call_command("plan", "short", "context=4096", stdout=out)
    text = out.getvalue()
    assert "--ctx-size 4096" in text
    assert "weights" in text
    assert "4096 tokens" in text


def test_the_command_line_names_what_is_wrong(model: ServedModel) -> None:
    for arguments, error in (
        (["nobody"], "There is no model nobody. There are: owner/some-model"),
        (["short", "context"], "must be written as NAME=VALUE"),
        (["short", "context=x"], "context must be a whole number"),
    ):
        with pytest.raises(CommandError, match=error):
            call_command("plan", *arguments)


def test_all_wishes_can_be_read() -> None:
    wishes = read_wishes(
        {
            "layers": "0",
            "batchSize": "256",
            "preferredContext": "4096",
            "minContext": "1024",
            "vramGB": "8.5",
            "backend": "cpu",
            "throughputFirst": "false",
            "enableJinja": "true",
        }
    )
    assert wishes.choices == {"gpu_layers": 0, "batch_size": 256}
    assert wishes.preferences["vram"] == int(8.5 * GIB)
    assert wishes.preferences["throughput_first"] is False
    with pytest.raises(BadWish, match="vramGB"):
        read_wishes({"vramGB": "-1"})


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_machine_is_served(model: ServedModel, client: Client, slash: str) -> None:
    told = client.get(f"/api/system/specs{slash}").json()
    assert told["cpuCores"] == 8
    assert told["totalRAM"] == 16 * GIB
    detected = client.get(f"/api/system/detection{slash}").json()
    assert detected["recommendations"]["fallbackBackend"] == "cpu"
    assert detected["detectionTimestamp"].endswith("Z")


def test_the_machine_is_read_when_nothing_was_stored(client: Client) -> None:
    assert client.get("/api/system/specs").json()["totalRAM"] > 0
