"""Whole configuration files of llama-swap's kinds, written for these tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis.extra.django import TestCase

from models_app import catalog, importing, merging
from models_app.config_yaml import expand, parse, render
from models_app.document import ConfigDocument
from models_app.models import ServedModel
from proxy_app.lineup import line_up
from tests.unit.test_config_yaml import documents

pytestmark = pytest.mark.django_db

FILES = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
EVERYTHING = (FILES[0].parent / "everything.yaml").read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_imports_without_loss_and_its_export_changes_nothing(file: Path) -> None:
    document = parse(file.read_text()).document
    importing.apply(parse(file.read_text()), replace=True)
    assert catalog.build() == merging.normal(document)
    exported = render(catalog.build())
    rows = list(ServedModel.objects.values())
    report = importing.apply(parse(exported), replace=True)
    assert (report.created, report.changed, report.removed) == ((), (), ())
    assert (report.groups, report.settings) == ((), ())
    assert list(ServedModel.objects.values()) == rows
    assert render(catalog.build()) == exported


def leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [str(key) for key in value] + [x for part in value.values() for x in leaves(part)]
    if isinstance(value, list):
        return [x for part in value for x in leaves(part)]
    return [" ".join(str(value).split())]


def test_every_key_and_value_of_the_file_stands_in_the_export() -> None:
    importing.apply(parse(EVERYTHING), replace=True)
    written = leaves(yaml.load(render(catalog.build()), yaml.BaseLoader))
    text = " ".join(written)
    lost = {leaf for leaf in leaves(yaml.load(EVERYTHING, yaml.BaseLoader)) if leaf not in text}
    # -1 says what leaving it out says, and ~ is null in another spelling.
    assert lost <= {"-1", "~"}


def test_what_has_no_effect_is_reported_key_by_key() -> None:
    warnings = "\n".join(parse(EVERYTHING).warnings)
    for key in (
        "logTimeFormat",
        "logToStdout",
        "captureBuffer",
        "ui",
        "store",
        "performance",
        "matrix",
        "peers",
        "profiles",
        "apiKeys",
        "includeAliasesInList",
        "aliases.name",
        "aliases.unlisted",
    ):
        assert f"`{key}`" in warnings
    for acting in ("setParams", "timeouts", "macros", "unloadTimeout", "ttl", "globalTTL"):
        assert f"`{acting}" not in warnings


def test_its_commands_are_what_the_author_meant() -> None:
    document = parse(EVERYTHING).document
    environ = {"HOME": "/home/me"}
    small = expand(document.models["small"], document, 12001, environ)
    assert small.argv == (
        "/opt/engines/llama-server",
        *("--port", "12001", "--model", "/home/me/gguf/small.gguf"),
        *("--ctx-size", "1024", "--flash-attn", "on", "--alias", "small-tuned"),
    )
    assert small.set_params["temperature"] == 0.4
    assert set(small.set_params_by_id) == {"small", "small:careful"}
    boxed = expand(document.models["boxed"], document, 12002, environ)
    assert boxed.argv[-3:] == (
        "registry.example/server:latest",
        "--model",
        "/srv/with space.gguf",
    )
    assert '"gpu=0,1"' in boxed.argv
    assert boxed.cmd_stop == ("podman", "stop", "boxed")
    assert expand(document.models["elsewhere"], document, 1, environ).stop_argv(7) == ("kill", "7")


def test_groups_and_start_hooks_reach_the_line_up() -> None:
    document = parse((FILES[0].parent / "groups.yaml").read_text()).document
    lineup = line_up(document)
    assert lineup.preload == ("finder",)
    group = lineup.policy.groups.of_model["ears"]
    assert (group.name, group.swap, group.exclusive) == ("senses", False, False)


class AnyDocument(TestCase):
    @settings(
        deadline=None,
        max_examples=30,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(documents())
    def test_import_export_import_changes_nothing(self, document: ConfigDocument) -> None:
        importing.apply(parse(render(document)), replace=True)
        first = catalog.build()
        assert first == merging.normal(document)
        report = importing.apply(parse(render(first)), replace=True)
        assert (report.created, report.changed, report.removed) == ((), (), ())
        assert (report.groups, report.settings) == ((), ())
        assert catalog.build() == first
