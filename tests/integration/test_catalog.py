from __future__ import annotations

import shlex
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app import catalog, hardware
from models_app.config_yaml import expand, parse, render
from models_app.document import DEFAULT_PROXY, ConfigDocument, GroupEntry, ModelEntry
from models_app.hardware import GIB, Cpu, Machine, Ram
from models_app.models import (
    EngineBuild,
    GgufFile,
    ModelAlias,
    ModelFolder,
    ModelGroup,
    ServedModel,
    ServerSettings,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def machine() -> None:
    hardware.store(Machine("linux", "amd64", Cpu("x", 4, 8, 4), Ram(16 * GIB, 15 * GIB)))


def make_file(path: str = "/models/a.gguf", **values: Any) -> GgufFile:
    folder, _ = ModelFolder.objects.get_or_create(path="/models")
    columns = {"size": 420 * 1024**2, "mtime_ns": 1, "last_seen_at": timezone.now(), **values}
    return GgufFile.objects.create(
        folder=folder, path=path, relative_path=path.removeprefix("/models/"), **columns
    )


def make_model(model_id: str = "a", **values: Any) -> ServedModel:
    return ServedModel.objects.create(model_id=model_id, **values)


def served() -> list[str]:
    return sorted(catalog.build().models)


def test_an_empty_database_is_a_configuration() -> None:
    assert catalog.build() == ConfigDocument(global_ttl=300)


def test_a_model_of_a_file_gets_a_command_made_for_it() -> None:
    EngineBuild.objects.create(
        path="/opt/llama server", size=1, mtime_ns=1, active=True, flags=["--model FNAME"]
    )
    make_model(file=make_file('/models/it\'s "a" b.gguf'))
    document = catalog.build()
    argv = expand(document.models["a"], document, 8100).argv
    assert argv[:5] == ("/opt/llama server", "--host", "127.0.0.1", "--port", "8100")
    assert argv[argv.index("--model") + 1] == '/models/it\'s "a" b.gguf'
    assert shlex.split(document.models["a"].cmd)[4] == "${PORT}"


@pytest.mark.parametrize(
    "name", ["a\nb", "a\n#b", "a\\\nb", "\\", "# a", "ü 😀", "a\tb", "$HOME", "~"]
)
def test_no_path_loses_anything_on_its_way_to_the_engine(name: str) -> None:
    EngineBuild.objects.create(
        path="/opt/x", size=1, mtime_ns=1, active=True, flags=["--model FNAME"]
    )
    make_model(file=make_file(f"/models/{name}.gguf"))
    document = parse(render(catalog.build())).document
    argv = expand(document.models["a"], document, 1).argv
    assert argv[argv.index("--model") + 1] == f"/models/{name}.gguf"


def test_a_command_of_ones_own_is_kept_with_plain_line_breaks() -> None:
    make_model(cmd="run \\\r\n --port ${PORT}\r\n", cmd_stop="a\r\nb")
    entry = catalog.build().models["a"]
    assert entry.cmd == "run \\\n --port ${PORT}\n"
    assert entry.cmd_stop == "a\nb"


def test_every_column_shows_in_the_entry() -> None:
    model = make_model(
        cmd="run ${PORT}",
        cmd_stop="stop",
        proxy="http://127.0.0.1:9",
        check_endpoint="none",
        name="A",
        description="Text",
        env=["A=1"],
        macros={"m": 1},
        unload_timeout=4,
        set_params={"t": 1},
        set_params_by_id={"a:x": {"t": 2}, "bad": 3},
        timeouts={"connect": 5, "bad": 1, "idleConn": "x"},
        ttl=0,
        unlisted=True,
        use_model_name="org/a",
        concurrency_limit=3,
        queue_length=9,
        priority=4,
        pinned=True,
        strip_params="x, y,x",
        metadata={"k": [1]},
        kept_keys={"later": True},
    )
    ModelAlias.objects.create(alias="z", model=model)
    ModelAlias.objects.create(alias="b", model=model, automatic=True)
    assert catalog.build().models["a"] == ModelEntry(
        model_id="a",
        cmd="run ${PORT}",
        cmd_stop="stop",
        proxy="http://127.0.0.1:9",
        check_endpoint="none",
        name="A",
        description="Text",
        aliases=("b", "z"),
        env=("A=1",),
        macros={"m": "1"},
        unload_timeout=4,
        set_params={"t": 1},
        set_params_by_id={"a:x": {"t": 2}},
        timeouts={"connect": 5},
        ttl=0,
        unlisted=True,
        use_model_name="org/a",
        concurrency_limit=3,
        queue_length=9,
        priority=4,
        pinned=True,
        strip_params=("x", "y"),
        metadata={"k": [1]},
        kept_keys={"later": True},
    )


def test_empty_columns_mean_the_defaults() -> None:
    make_model(cmd="run ${PORT}")
    assert catalog.build().models["a"] == ModelEntry("a", cmd="run ${PORT}", proxy=DEFAULT_PROXY)


def test_settings_show_in_the_document() -> None:
    make_model("a", cmd="x ${PORT}")
    ServerSettings.objects.create(
        pk=1,
        health_check_timeout=60,
        start_port=9000,
        default_ttl=5,
        log_level="warn",
        preload=["a", "ghost", "a"],
        macros={"m": "1"},
        download_dir="/d",
        kept_keys={"apiKeys": ["k"], "groups": {"gone": {"x": 1}}},
    )
    document = catalog.build()
    assert document == ConfigDocument(
        models=document.models,
        macros={"m": "1"},
        health_check_timeout=60,
        log_level="warn",
        start_port=9000,
        download_dir="/d",
        global_ttl=5,
        preload=("a",),
        kept_keys={"apiKeys": ["k"]},
    )


def test_groups_hold_their_served_members() -> None:
    group = ModelGroup.objects.create(name="g", swap=False, start_port=8200)
    ModelGroup.objects.create(name="empty", exclusive=False, persistent=True)
    ModelGroup.objects.create(name="(default)", swap=False)
    make_model("b", cmd="x ${PORT}", group=group)
    make_model("a", cmd="x ${PORT}", group=group)
    make_model("off", cmd="x ${PORT}", group=group, enabled=False)
    assert catalog.build().groups == {
        "empty": GroupEntry("empty", exclusive=False, persistent=True),
        "g": GroupEntry("g", swap=False, members=("a", "b"), start_port=8200),
    }


def test_only_models_that_can_be_started_are_served() -> None:
    make_model("file", file=make_file("/models/1.gguf"))
    make_model("disabled", file=make_file("/models/2.gguf"), enabled=False)
    make_model("vanished", file=make_file("/models/3.gguf", state=GgufFile.State.VANISHED))
    make_model(
        "vanished-own", cmd="x", file=make_file("/models/4.gguf", state=GgufFile.State.VANISHED)
    )
    make_model("nothing")
    make_model("blank", cmd=" \n")
    make_model("own", cmd="x")
    assert served() == ["file", "own", "vanished-own"]


def test_a_disabled_folder_serves_nothing() -> None:
    make_model("file", file=make_file("/models/1.gguf"))
    make_model("own", file=make_file("/models/2.gguf"), cmd="x")
    ModelFolder.objects.update(enabled=False)
    assert served() == []


def test_one_models_broken_facts_do_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    make_model("good", file=make_file("/models/1.gguf"))
    make_model("bad", file=make_file("/models/2.gguf", facts={"kind": "no such kind"}))
    document = catalog.build()
    assert document.models["good"].cmd
    assert document.models["bad"].cmd == ""
    assert "No command for bad" in caplog.text


def test_columns_of_json_may_hold_anything() -> None:
    make_model(cmd="x ${PORT}", env={"A": 1}, metadata=[1])
    make_model("b", cmd="x ${PORT}", env=["A=1", 3, "B"], metadata="x")
    ServerSettings.objects.create(pk=1, macros=[1], preload="a", health_check_timeout=1)
    document = catalog.build()
    assert (document.models["a"].env, document.models["a"].metadata) == ((), {})
    assert (document.models["b"].env, document.models["b"].metadata) == (("A=1",), {})
    assert (document.macros, document.preload, document.health_check_timeout) == ({}, (), 15)
    assert parse(render(document)).document == document


def test_the_number_of_queries_does_not_grow() -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            catalog.build()
        return len(captured)

    def add(number: int) -> None:
        projector = make_file(f"/models/p{number}.gguf")
        file = make_file(f"/models/{number}.gguf", projector=projector)
        group = ModelGroup.objects.create(name=f"g{number}")
        model = make_model(f"m{number}", file=file, projector=projector, group=group)
        ModelAlias.objects.create(alias=f"a{number}", model=model)

    catalog.build()
    add(0)
    few = queries()
    for number in range(1, 20):
        add(number)
    assert queries() == few
    assert few <= 9
