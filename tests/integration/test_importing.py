from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from models_app import catalog, hardware, importing
from models_app.config_yaml import ConfigError, ParsedConfig, parse, render
from models_app.document import ConfigDocument
from models_app.hardware import GIB, Cpu, Machine, Ram
from models_app.importing import ImportReport
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

CONFIG = """
healthCheckTimeout: 60
logLevel: warn
startPort: 9000
globalTTL: 30
unloadTimeout: 8
downloadDir: /d
macros: {base: "llama-server --port ${PORT}"}
models:
  a:
    name: The A
    cmd: |
      # comment
      ${base}
      --model /models/none.gguf
    aliases: [x, y]
    env: [A=1]
    ttl: 5
    filters: {stripParams: "p, q", setParams: {t: 1}, setParamsByID: {"a:x": {t: 2}}, later: 1}
    macros: {own: "1"}
    timeouts: {connect: 5}
    unloadTimeout: 9
    metadata: {k: 1}
  b:
    cmd: run
    proxy: http://127.0.0.1:9
groups:
  g: {swap: false, members: [a], colour: red}
hooks: {on_startup: {preload: [x]}}
apiKeys: [secret]
"""


@pytest.fixture(autouse=True)
def machine() -> None:
    hardware.store(Machine("linux", "amd64", Cpu("x", 4, 8, 4), Ram(16 * GIB, 15 * GIB)))
    EngineBuild.objects.create(
        path="/opt/llama-server", size=1, mtime_ns=1, active=True, flags=["--model FNAME"]
    )


def make_file(path: str = "/models/a.gguf", **values: Any) -> GgufFile:
    folder, _ = ModelFolder.objects.get_or_create(path="/models")
    columns = {"size": 420 * 1024**2, "mtime_ns": 1, "last_seen_at": timezone.now(), **values}
    return GgufFile.objects.create(
        folder=folder, path=path, relative_path=path.removeprefix("/models/"), **columns
    )


def load(text: str, replace: bool = False) -> ImportReport:
    return importing.apply(parse(text), replace=replace)


def test_a_file_becomes_the_configuration() -> None:
    report = load(CONFIG)
    assert report.created == ("a", "b")
    assert report.groups == ("g",)
    assert catalog.build() == parse(CONFIG).document
    assert ServerSettings.current().default_ttl == 30


def test_importing_it_again_changes_nothing() -> None:
    load(CONFIG)
    rows = list(ServedModel.objects.values())
    for replace in (False, True):
        report = load(CONFIG, replace)
        assert report.unchanged == ("a", "b")
        assert (report.created, report.changed, report.removed) == ((), (), ())
        assert (report.groups, report.settings) == ((), ())
        assert list(ServedModel.objects.values()) == rows


def test_importing_its_own_export_changes_nothing() -> None:
    model = ServedModel.objects.create(model_id="auto", file=make_file(), context=2048)
    ModelAlias.objects.create(alias="auto-long", model=model, automatic=True)
    load(CONFIG)
    before = catalog.build()
    for replace in (False, True):
        report = load(render(before), replace)
        assert report == ImportReport(
            unchanged=("a", "auto", "b"), warnings=parse(render(before)).warnings
        )
        assert catalog.build() == before
    model.refresh_from_db()
    assert (model.cmd, model.context) == ("", 2048)
    assert ModelAlias.objects.get(alias="auto-long").automatic


def test_a_model_with_the_automatic_command_stays_automatic() -> None:
    ServedModel.objects.create(model_id="auto", file=make_file())
    document = catalog.build()
    spaced = document.models["auto"].cmd.replace("\n", " \\\n   # why not\n  ")
    text = "models:\n  auto:\n    ttl: 7\n    cmd: |\n"
    report = load(text + "".join(f"      {line}\n" for line in spaced.split("\n")))
    assert report.changed == ("auto",)
    row = ServedModel.objects.get()
    assert (row.cmd, row.ttl) == ("", 7)


def test_a_model_with_another_command_keeps_it() -> None:
    ServedModel.objects.create(model_id="auto", file=make_file())
    load("models: {auto: {cmd: 'other ${PORT}'}}")
    assert ServedModel.objects.get().cmd == "other ${PORT}"
    load("models: {auto: {cmd: 'another ${PORT}'}}")
    assert ServedModel.objects.get().cmd == "another ${PORT}"


def test_a_model_goes_back_to_automatic_with_the_automatic_command() -> None:
    row = ServedModel.objects.create(model_id="auto", file=make_file())
    text = render(catalog.build())
    ServedModel.objects.update(cmd="other ${PORT}")
    load(text)
    row.refresh_from_db()
    assert row.cmd == ""


def test_a_new_model_finds_the_file_its_command_names() -> None:
    file = make_file("/models/a b.gguf")
    load("models: {new: {cmd: \"run --port ${PORT} -m '/models/a b.gguf' --ctx-size 99\"}}")
    row = ServedModel.objects.get()
    assert row.file == file
    assert row.cmd.endswith("99")


def test_a_new_model_with_the_automatic_command_of_its_file_is_automatic() -> None:
    row = ServedModel.objects.create(model_id="auto", file=make_file())
    text = render(catalog.build())
    row.delete()
    assert load(text).created == ("auto",)
    row = ServedModel.objects.get()
    assert (row.cmd, row.file) == ("", GgufFile.objects.get())


def test_what_the_file_does_not_name_stays() -> None:
    load(CONFIG)
    ServerSettings.objects.update(preferred_context=1024)
    report = load("models: {c: {cmd: 'run ${PORT}'}}\nmacros: {other: '1'}\n")
    assert report.created == ("c",)
    assert report.settings == ("macros",)
    document = catalog.build()
    assert set(document.models) == {"a", "b", "c"}
    assert set(document.macros) == {"base", "other"}
    assert document.groups["g"].members == ("a",)
    assert document.start_port == 9000
    assert document.kept_keys == parse(CONFIG).document.kept_keys
    assert ServerSettings.current().preferred_context == 1024


def test_a_model_of_the_file_is_taken_over_whole() -> None:
    load(CONFIG)
    load("models: {a: {cmd: 'run ${PORT}'}}")
    entry = catalog.build().models["a"]
    assert (entry.name, entry.aliases, entry.env, entry.ttl) == ("", (), (), None)
    assert (entry.strip_params, entry.metadata, entry.kept_keys) == ((), {}, {})


def test_with_replace_the_file_is_all_there_is() -> None:
    load(CONFIG)
    scanned = ServedModel.objects.create(model_id="scanned", file=make_file())
    report = load("models: {b: {cmd: 'run ${PORT}'}}", replace=True)
    assert report.removed == ("a", "scanned")
    assert report.groups == ("g",)
    assert catalog.build() == parse("models: {b: {cmd: 'run ${PORT}'}}").document
    scanned.refresh_from_db()
    assert not scanned.enabled


def test_a_disabled_model_that_the_file_names_is_served_again() -> None:
    load(CONFIG)
    text = render(catalog.build())
    ServedModel.objects.update(enabled=False)
    assert load(text).changed == ("a", "b")
    assert set(catalog.build().models) == {"a", "b"}


def test_groups_change_their_members_and_switches() -> None:
    load(CONFIG)
    load("groups: {g: {swap: true, members: [b]}, h: {members: [a]}}\nmodels: {}\n")
    groups = catalog.build().groups
    assert (groups["g"].swap, groups["g"].members) == (True, ("b",))
    assert groups["h"].members == ("a",)
    assert load("models: {a: {cmd: 'run ${PORT}'}}\ngroups: {h: {}}\n").changed == ("a",)
    assert catalog.build().groups["h"].members == ()
    assert catalog.build().groups["g"].members == ("b",)


def test_aliases_move_between_models_of_the_file() -> None:
    load("models: {a: {cmd: 'r ${PORT}', aliases: [x, y]}, b: {cmd: 'r ${PORT}', aliases: [z]}}")
    report = load(
        "models: {a: {cmd: 'r ${PORT}', aliases: [z]}, b: {cmd: 'r ${PORT}', aliases: [x]}}"
    )
    assert report.changed == ("a", "b")
    assert dict(ModelAlias.objects.values_list("alias", "model__model_id")) == {"z": "a", "x": "b"}


def test_an_automatic_alias_goes_to_the_model_that_asks_for_it() -> None:
    scanned = ServedModel.objects.create(model_id="scanned", file=make_file())
    ModelAlias.objects.create(alias="x", model=scanned, automatic=True)
    load("models: {a: {cmd: 'r ${PORT}', aliases: [x]}}")
    alias = ModelAlias.objects.get()
    assert (alias.model.model_id, alias.automatic) == ("a", False)


def test_an_alias_of_a_model_outside_the_file_is_refused_and_nothing_changes() -> None:
    load(CONFIG)
    before = catalog.build()
    with pytest.raises(ConfigError, match='alias "x" of c belongs to the model a'):
        load("startPort: 1234\nmodels: {c: {cmd: 'r ${PORT}', aliases: [x]}}\ngroups: {new: {}}\n")
    assert catalog.build() == before
    assert not ModelGroup.objects.filter(name="new").exists()
    load("models: {c: {cmd: 'r ${PORT}', aliases: [x]}}", replace=True)
    assert ModelAlias.objects.get(alias="x").model.model_id == "c"


def test_a_change_of_aliases_alone_is_a_change() -> None:
    load("models: {a: {cmd: 'r ${PORT}'}}")
    assert load("models: {a: {cmd: 'r ${PORT}', aliases: [x]}}").changed == ("a",)
    assert load("models: {a: {cmd: 'r ${PORT}'}}").changed == ("a",)
    assert load("models: {a: {cmd: 'r ${PORT}'}}").unchanged == ("a",)


def test_the_warnings_of_the_file_are_in_the_report() -> None:
    parsed = parse("models: {a: {later: 1}}")
    assert importing.apply(parsed).warnings == parsed.warnings
    assert len(parsed.warnings) == 2


def test_a_document_made_by_hand_is_a_whole_one() -> None:
    load(CONFIG)
    report = importing.apply(ParsedConfig(ConfigDocument(start_port=1234)))
    assert ServerSettings.current().start_port == 1234
    assert "start_port" in report.settings
