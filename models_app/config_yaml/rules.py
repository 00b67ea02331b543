"""What must hold in a configuration beyond the types of its values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from models_app.config_yaml.commands import (
    check_port,
    macros_of,
    resolved,
    resolved_set_params,
    tokenise,
    variant_ids,
)
from models_app.config_yaml.errors import ConfigError
from models_app.config_yaml.macros import Macros
from models_app.config_yaml.values import resolved_value
from models_app.document import ConfigDocument, ModelEntry


class Problem(NamedTuple):
    """A broken rule. `place` is the way to the value, by the keys of the file."""

    message: str
    place: tuple[str, ...]


def broken(document: ConfigDocument) -> Iterator[Problem]:
    """Every rule the document breaks; none of them may be broken in a file that is read."""
    macros = Macros(document.macros)
    yield from _aliases(document)
    yield from _variants(document)
    for name in sorted(document.macros):
        try:
            macros.check(name)
        except ConfigError as error:
            yield Problem(error.message, ("macros", name))
    for model in sorted(document.models):
        entry = document.models[model]
        if entry.macros:
            own = macros_of(entry, document)
            yield from _own_macros(entry, own)
        else:
            own = macros
        yield from _commands(entry, own)
        yield from _request_fields(entry, own)
    yield from _members(document)


def doubtful(document: ConfigDocument) -> Iterator[Problem]:
    """What is allowed and surely not meant."""
    for model, entry in document.models.items():
        for alias in entry.aliases:
            if alias in document.models:
                yield Problem(
                    f'The alias "{alias}" never acts: a model has it as its id.',
                    ("models", model, "aliases"),
                )
        yield from _unstartable(entry)
    for name, group in document.groups.items():
        for member in group.members:
            if member not in document.models:
                yield Problem(
                    f'The group "{name}" names "{member}", which is no model of this file.',
                    ("groups", name, "members"),
                )


def _aliases(document: ConfigDocument) -> Iterator[Problem]:
    seen: set[str] = set()
    for model in sorted(document.models):
        for alias in document.models[model].aliases:
            if alias in seen:
                message = f"duplicate alias {alias} found in model: {model}"
                yield Problem(message, ("models", model, "aliases"))
            seen.add(alias)


def _variants(document: ConfigDocument) -> Iterator[Problem]:
    """Ids of `setParamsByID` that are another model's."""
    owners = {alias: model for model, entry in document.models.items() for alias in entry.aliases}
    owners.update({model: model for model in document.models})
    for model in sorted(document.models):
        entry = document.models[model]
        if not entry.set_params_by_id:
            continue
        place = ("models", model, "filters", "setParamsByID")
        try:
            variants = variant_ids(entry, macros_of(entry, document))
        except ConfigError as error:
            yield Problem(error.message, place)
            continue
        for name in variants:
            if owners.setdefault(name, model) != model:
                yield Problem(
                    f"setParamsByID of {model} names {name}, which is an id of {owners[name]}",
                    place,
                )


def _commands(entry: ModelEntry, macros: Macros) -> Iterator[Problem]:
    texts = {}
    for name in ("cmd", "cmd_stop", "proxy", "check_endpoint"):
        try:
            texts[name] = resolved(entry, name, macros)
        except ConfigError as error:
            yield Problem(error.message, ("models", entry.model_id, name))
    try:
        check_port(entry, texts.get("cmd", ""), texts.get("proxy", ""))
    except ConfigError as error:
        yield Problem(error.message, ("models", entry.model_id, "proxy"))


def _request_fields(entry: ModelEntry, macros: Macros) -> Iterator[Problem]:
    try:
        resolved_set_params(entry, macros)
    except ConfigError as error:
        place = ("models", entry.model_id, "filters", "setParams")
        yield Problem(error.message, place)
    try:
        resolved_value(entry.metadata, macros, f"{entry.model_id}.metadata")
    except ConfigError as error:
        yield Problem(error.message, ("models", entry.model_id, "metadata"))


def _own_macros(entry: ModelEntry, macros: Macros) -> Iterator[Problem]:
    for name in sorted(entry.macros):
        try:
            macros.check(name)
        except ConfigError as error:
            yield Problem(error.message, ("models", entry.model_id, "macros", name))


def _members(document: ConfigDocument) -> Iterator[Problem]:
    group_of: dict[str, str] = {}
    for name in sorted(document.groups):
        for member in document.groups[name].members:
            place = ("groups", name, "members")
            other = group_of.setdefault(member, name)
            if other != name:
                yield Problem(
                    f"model member {member} is used in multiple groups: {other} and {name}", place
                )
            elif document.groups[name].members.count(member) > 1:
                yield Problem(f"duplicate model member {member} found in group: {name}", place)


def _unstartable(entry: ModelEntry) -> Iterator[Problem]:
    for name, text in (("cmd", entry.cmd), ("cmd_stop", entry.cmd_stop)):
        if name == "cmd_stop" and not text.strip():
            continue
        try:
            tokenise(text)
        except ConfigError as error:
            yield Problem(
                f'The model "{entry.model_id}" cannot use its `{name}`: {error.message}',
                ("models", entry.model_id, name),
            )
