"""config.yaml -> ConfigDocument, and what the person who wrote it should know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any, Final

from models_app.config_yaml import rules
from models_app.config_yaml.errors import ConfigError
from models_app.config_yaml.nodes import Table, compose
from models_app.config_yaml.sections import MAX_NUMBER, Section, spellings
from models_app.document import (
    DEFAULT_CHECK_ENDPOINT,
    DEFAULT_GROUP,
    DEFAULT_PROXY,
    TIMEOUTS,
    ConfigDocument,
    GroupEntry,
    ModelEntry,
)

HEALTH_CHECK_TIMEOUT: Final = 120
"""Seconds, where a file says nothing."""
HEALTH_CHECK_BOUNDS: Final = (15, 86400)
START_PORT: Final = 8100
LAST_START_PORT: Final = 65000
LOG_LEVELS: Final = ("debug", "info", "warn", "error")

MAX_ID: Final = 255
MAX_GROUP_NAME: Final = 128
MAX_URL: Final = 512
MAX_STRIP_PARAMS: Final = 1024
MAX_UNLOAD_TIMEOUT: Final = 3600
MAX_PATH: Final = 4096
MAX_PRIORITY: Final = 100

FIELDS: Final = frozenset(field.name for field in fields_of(ConfigDocument))


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """What a file says. `given` names the document's fields that stand in it; the others hold
    what the format has as their default."""

    document: ConfigDocument
    warnings: tuple[str, ...] = ()
    given: frozenset[str] = FIELDS


def parse(text: str) -> ParsedConfig:
    """Read a configuration. Raises ConfigError, with the line, for the first thing wrong in it."""
    table = compose(text)
    warnings: list[tuple[int, str]] = []
    root = Section(table, warnings)
    given = _given(root)
    models = {
        name: _model(name, part) for name, _, part in root.section("models").sections("model")
    }
    document = ConfigDocument(
        models=models,
        groups=_groups(root),
        macros={name: value for name, _, value in root.section("macros").all_texts()},
        health_check_timeout=root.clamped(
            "healthCheckTimeout", *HEALTH_CHECK_BOUNDS, HEALTH_CHECK_TIMEOUT
        ),
        log_level=root.choice("logLevel", LOG_LEVELS, "info"),
        start_port=root.number("startPort", 1, LAST_START_PORT) or START_PORT,
        download_dir=root.text("downloadDir", limit=MAX_PATH),
        global_ttl=root.number("globalTTL") or 0,
        unload_timeout=root.number("unloadTimeout", 0, MAX_UNLOAD_TIMEOUT) or None,
        preload=_preload(root, models),
        virtual=_virtual(root),
        kept_keys=root.rest(),
    )
    for problem in rules.broken(document):
        raise ConfigError(problem.message, _line_of(table, problem.place))
    warnings += (
        (_line_of(table, problem.place), problem.message) for problem in rules.doubtful(document)
    )
    return ParsedConfig(
        document, tuple(f"line {line}: {message}" for line, message in sorted(warnings)), given
    )


def _given(root: Section) -> frozenset[str]:
    keys = {
        "models": "models",
        "groups": "groups",
        "routing": "groups",
        "macros": "macros",
        "healthCheckTimeout": "health_check_timeout",
        "logLevel": "log_level",
        "startPort": "start_port",
        "downloadDir": "download_dir",
        "globalTTL": "global_ttl",
        "unloadTimeout": "unload_timeout",
        "hooks": "preload",
        "virtual": "virtual",
    }
    return frozenset(name for key, name in keys.items() if root.has(key)) | {"kept_keys"}


def _model(model_id: str, part: Section) -> ModelEntry:
    _check_name(model_id, MAX_ID, part)
    ttl = part.number("ttl", lowest=-1)
    filters = part.section("filters")
    aliases = part.texts_or_tables("aliases", MAX_ID)
    more = {alias: rest for alias, rest in aliases if rest}
    return ModelEntry(
        model_id=model_id,
        cmd=part.text("cmd"),
        cmd_stop=part.text("cmdStop"),
        proxy=part.text("proxy", DEFAULT_PROXY, MAX_URL),
        check_endpoint=part.text("checkEndpoint", DEFAULT_CHECK_ENDPOINT, MAX_ID),
        name=part.text("name", limit=MAX_ID),
        description=part.text("description"),
        aliases=tuple(alias for alias, _ in aliases),
        env=_env(part),
        macros={name: value for name, _, value in part.section("macros").all_texts()},
        ttl=None if ttl == -1 else ttl,
        unload_timeout=part.number("unloadTimeout", 0, MAX_UNLOAD_TIMEOUT) or None,
        unlisted=part.flag("unlisted", False),
        use_model_name=part.text("useModelName", limit=MAX_ID),
        concurrency_limit=part.clamped("concurrencyLimit", 0, MAX_NUMBER, 0),
        queue_length=part.number("queueLength", lowest=1),
        priority=part.clamped("priority", -MAX_PRIORITY, MAX_PRIORITY, 0),
        pinned=part.flag("pinned", False),
        strip_params=filters.words("stripParams", MAX_STRIP_PARAMS),
        set_params=filters.values("setParams"),
        set_params_by_id=_set_params_by_id(filters),
        timeouts=_timeouts(part),
        metadata=part.values("metadata"),
        kept_keys={**part.rest(), **({"aliases": more} if more else {})},
    )


def _set_params_by_id(filters: Section) -> dict[str, dict[str, Any]]:
    found = filters.values("setParamsByID")
    for name, values in found.items():
        if not isinstance(values, dict):
            raise ConfigError(
                f'{filters.named("setParamsByID")} gives "{name}" no mapping of request fields.',
                filters.line,
            )
    return found


def _timeouts(part: Section) -> dict[str, int]:
    section = part.section("timeouts")
    found = {name: section.number(name) for name in TIMEOUTS}
    return {name: seconds for name, seconds in found.items() if seconds is not None}


def _env(part: Section) -> tuple[str, ...]:
    texts = part.texts_with_lines("env")
    for text, line in texts:
        if not text.partition("=")[0].strip() or "=" not in text:
            raise ConfigError(f'`env` takes items such as "NAME=value", not "{text}".', line)
    return tuple(text for text, _ in texts)


def _groups(root: Section) -> dict[str, GroupEntry]:
    here = root.section("groups")
    elsewhere = root.section("routing").section("router").section("settings").section("groups")
    groups: dict[str, GroupEntry] = {}
    for parts in (here, elsewhere):
        if line := parts.discard(DEFAULT_GROUP):
            parts.warn(f"The server makes the group {DEFAULT_GROUP}; this one is left out.", line)
        for name, line, part in parts.sections("group"):
            if name in groups:
                raise ConfigError(f'The group "{name}" also stands below `groups`. Keep one.', line)
            groups[name] = _group(name, part)
    here.adopt(elsewhere)
    return groups


def _virtual(root: Section) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, line, part in root.section("virtual").sections("virtual model"):
        _check_name(name, MAX_ID, part)
        found[name] = part.texts("members")
        if not found[name]:
            raise ConfigError(f'The virtual model "{name}" names no `members`.', line)
    return found


def _group(name: str, part: Section) -> GroupEntry:
    _check_name(name, MAX_GROUP_NAME, part)
    return GroupEntry(
        name=name,
        swap=part.flag("swap", True),
        exclusive=part.flag("exclusive", True),
        persistent=part.flag("persistent", False),
        members=part.texts("members"),
        start_port=part.number("startPort", 1, LAST_START_PORT),
    )


def _check_name(name: str, limit: int, part: Section) -> None:
    if len(name) > limit:
        raise ConfigError(f'The name "{name[:40]}…" is longer than {limit} characters.', part.line)


def _preload(root: Section, models: Mapping[str, ModelEntry]) -> tuple[str, ...]:
    names = {alias: model for model, entry in models.items() for alias in entry.aliases}
    names.update({model: model for model in models})
    on_startup = root.section("hooks").section("on_startup")
    found = []
    for text, line in on_startup.texts_with_lines("preload"):
        name = text if text in names else text.strip()
        if name in names:
            found.append(names[name])
        else:
            on_startup.warn(f'`preload` names "{name}", which is no model. It is left out.', line)
    return tuple(dict.fromkeys(found))


def _line_of(table: Table, place: Iterable[str]) -> int:
    """The line of a value, or of what it stands in when the value is a default."""
    line, node = table.line, None
    for key in place:
        entries = table.entries if node is None else getattr(node, "entries", {})
        entry = next((entries[name] for name in spellings(key) if name in entries), None)
        if entry is None:
            break
        line, node = entry.line, entry.node
    return line
