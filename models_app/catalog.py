"""The configuration as the database has it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from models_app import needs, plans
from models_app.config_yaml.parse import HEALTH_CHECK_BOUNDS, LAST_START_PORT
from models_app.document import (
    DEFAULT_CHECK_ENDPOINT,
    DEFAULT_GROUP,
    DEFAULT_PROXY,
    TIMEOUTS,
    ConfigDocument,
    GroupEntry,
    MemoryNeed,
    ModelEntry,
)
from models_app.models import GgufFile, ModelGroup, ServedModel, ServerSettings, VirtualModel

logger = logging.getLogger(__name__)


def build() -> ConfigDocument:
    """The whole configuration, in a number of queries that does not grow with it.

    It takes no lock. What changes meanwhile raises `changes.current_version` once more, so a
    caller that read the version first builds again.
    """
    settings = ServerSettings.current()
    context = plans.PlanContext.load()
    rows = [row for row in rows_with_relations() if is_served(row)]
    models = {row.model_id: entry_of(row, context) for row in rows}
    groups = _groups(ModelGroup.objects.all(), rows)
    return ConfigDocument(
        models=models,
        groups=groups,
        macros=_named_texts(settings.macros),
        health_check_timeout=_within(settings.health_check_timeout, *HEALTH_CHECK_BOUNDS),
        log_level=str(settings.log_level),
        start_port=_within(settings.start_port, 1, LAST_START_PORT),
        download_dir=settings.download_dir,
        global_ttl=settings.default_ttl,
        unload_timeout=settings.unload_timeout,
        preload=_preload(_texts(settings.preload), models),
        virtual={name: tuple(members) for name, members in VirtualModel.all_members().items()},
        kept_keys=_kept(settings.kept_keys, groups),
    )


def rows_with_relations() -> Iterable[ServedModel]:
    """All models, sorted by id, with everything an entry is made of."""
    return (
        ServedModel.objects.select_related(
            "file__folder",
            "file__projector",
            "file__draft",
            "projector",
            "draft",
            "group",
            "engine",
        )
        .prefetch_related("aliases", "file__later_parts")
        .order_by("model_id")
    )


def is_served(row: ServedModel) -> bool:
    """Whether requests may ask for it: enabled, in no disabled folder, and startable."""
    if not row.enabled or (row.file and not row.file.folder.enabled):
        return False
    if row.cmd.strip():
        return True
    return row.file is not None and row.file.state == GgufFile.State.OK


def entry_of(row: ServedModel, context: plans.PlanContext) -> ModelEntry:
    """One model as the configuration has it; its command is worked out unless it has its own."""
    cmd, memory = ("", None) if row.cmd.strip() else _planned(row, context)
    aliases = tuple(sorted(alias.alias for alias in row.aliases.all()))
    return ModelEntry(
        model_id=row.model_id,
        cmd=row.cmd.replace("\r\n", "\n") if row.cmd.strip() else cmd,
        memory=memory,
        cmd_stop=row.cmd_stop.replace("\r\n", "\n"),
        proxy=row.proxy or DEFAULT_PROXY,
        check_endpoint=row.check_endpoint or DEFAULT_CHECK_ENDPOINT,
        name=row.name,
        description=row.description,
        aliases=aliases,
        env=tuple(item for item in _texts(row.env) if "=" in item),
        macros=_named_texts(row.macros),
        ttl=row.ttl,
        unload_timeout=row.unload_timeout,
        unlisted=row.unlisted,
        use_model_name=row.use_model_name,
        concurrency_limit=row.concurrency_limit or 0,
        queue_length=row.queue_length,
        priority=row.priority,
        pinned=row.pinned,
        strip_params=split_words(row.strip_params),
        set_params=_mapping(row.set_params),
        set_params_by_id={
            name: fields
            for name, fields in _mapping(row.set_params_by_id).items()
            if isinstance(fields, dict)
        },
        timeouts=_timeouts(row.timeouts),
        metadata=_mapping(row.metadata),
        kept_keys=_kept_of_model(row.kept_keys, aliases),
    )


def automatic_cmd(row: ServedModel, context: plans.PlanContext) -> str:
    """The command made for the model's file and this machine; "" when none can be made."""
    return _planned(row, context)[0]


def _planned(row: ServedModel, context: plans.PlanContext) -> tuple[str, MemoryNeed | None]:
    """The command, and what the model takes when it is started with it."""
    if row.file is None:
        return "", None
    try:
        plan = plans.plan_for(row, context)
        devices = needs.gpus(context, [row.engine]) if row.engine else ()
        return plans.text_of(plan, context.of(row)), needs.of_plan(plan, devices)
    except ValueError as error:
        logger.error("No command for %s: %s. Scan its folder again.", row.model_id, error)
        return "", None


def split_words(text: str) -> tuple[str, ...]:
    """Words between commas, each once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _groups(groups: Iterable[ModelGroup], rows: Iterable[ServedModel]) -> dict[str, GroupEntry]:
    members: dict[int, list[str]] = {}
    for row in rows:
        if row.group_id is not None:
            members.setdefault(row.group_id, []).append(row.model_id)
    return {
        group.name: GroupEntry(
            name=group.name,
            swap=group.swap,
            exclusive=group.exclusive,
            persistent=group.persistent,
            members=tuple(members.get(group.pk, ())),
            start_port=group.start_port,
        )
        for group in groups
        if group.name != DEFAULT_GROUP
    }


def _preload(names: Iterable[str], models: Mapping[str, ModelEntry]) -> tuple[str, ...]:
    ids = {alias: model for model, entry in models.items() for alias in entry.aliases}
    ids.update({model: model for model in models})
    return tuple(dict.fromkeys(ids[name] for name in names if name in ids))


def _kept(kept: Mapping[str, Any], groups: Mapping[str, GroupEntry]) -> dict[str, Any]:
    """Kept keys without those of groups that are gone."""
    below = {name: keys for name, keys in kept.get("groups", {}).items() if name in groups}
    others = {key: value for key, value in kept.items() if key != "groups"}
    return {**others, "groups": below} if below else others


def _kept_of_model(kept: Mapping[str, Any], aliases: Collection[str]) -> dict[str, Any]:
    """Kept keys without those of aliases that are gone."""
    others = {key: value for key, value in _mapping(kept).items() if key != "aliases"}
    named = _mapping(_mapping(kept).get("aliases"))
    below = {alias: more for alias, more in named.items() if alias in aliases}
    return {**others, "aliases": below} if below else others


def _texts(value: Any) -> tuple[str, ...]:
    """The texts of a JSON column, in which anything may stand."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _named_texts(value: Any) -> dict[str, str]:
    return {name: str(text) for name, text in _mapping(value).items()}


def _timeouts(value: Any) -> dict[str, int]:
    found = {name: _mapping(value).get(name) for name in TIMEOUTS}
    return {name: seconds for name, seconds in found.items() if isinstance(seconds, int)}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _within(number: int, lowest: int, highest: int) -> int:
    return min(max(number, lowest), highest)
