"""Changes how one model is started: its choices, or the words of a command of its own."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from models_app import acting, gpu_choice
from models_app.config_yaml import ConfigError, words
from models_app.config_yaml.commands import PlacedWord, check_port, placed_words
from models_app.document import DEFAULT_PROXY, ConfigDocument, ModelEntry
from models_app.models import EngineBuild, EngineInstall, ServedModel, ServerSettings
from models_app.plans import gpus_to_choose
from models_app.rights import Scope

COLUMNS: Final = {
    "contextSize": "context",
    "layers": "gpu_layers",
    "cacheType": "cache_type",
    "batchSize": "batch_size",
    "slots": "slots",
    "gpus": "gpus",
    "engine": "engine",
    "name": "name",
    "description": "description",
    "ttl": "ttl",
    "concurrencyLimit": "concurrency_limit",
    "unlisted": "unlisted",
    "enabled": "enabled",
}
"""Names of the API's fields, and the columns they change."""

_FLAGS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "contextSize": (("--ctx-size", "-c"),),
    "layers": (("--n-gpu-layers", "--gpu-layers", "-ngl"),),
    "cacheType": (("--cache-type-k", "-ctk"), ("--cache-type-v", "-ctv")),
    "batchSize": (("--batch-size", "-b"),),
    "slots": (("--parallel", "-np"),),
    "gpus": (("--device", "-dev"),),
}
"""What stands for a field in a command: one flag or two, each with its other names."""


class CannotRetune(ValueError):
    """Why a model cannot be changed this way, and what to do instead."""


class OfAnAdministrator(CannotRetune):
    """What a command says is not for whoever asks to change."""

    def __init__(self, model: ServedModel) -> None:
        super().__init__(
            f"{model.model_id} has a command of its own, which runs a program: only an "
            "administrator may change it. Ask an administrator of this server."
        )


def retune(model: ServedModel, values: Mapping[str, Any]) -> None:
    """Change what `values` holds, by names of the API; None is automatic again.

    The options of a command of its own are changed in its text, and nothing else in it. Raises
    CannotRetune, and changes nothing.
    """
    by_hand = bool(model.cmd.strip())
    if by_hand and not _FLAGS.keys().isdisjoint(values) and not acting.rights().may(Scope.ADMIN):
        raise OfAnAdministrator(model)
    changed = []
    for name, value in values.items():
        if name == "gpus":
            value = _gpus(model, value, values) if value else None
        if by_hand and name in _FLAGS:
            model.cmd = _with_flags(model, _FLAGS[name], value)
            changed.append("cmd")
        else:
            column = COLUMNS[name]
            if name == "engine" and value is not None:
                value = _build(model, value)
            setattr(model, column, _empty(column) if value is None else value)
            changed.append(column)
    if "cmd" in changed:
        _check(model)
    model.save(update_fields=sorted(set(changed)))


def _build(model: ServedModel, engine: int) -> EngineBuild:
    """The build with this id of /api/engines, fit to be pinned to."""
    row = EngineInstall.objects.filter(pk=engine).select_related("build").first()
    if model.cmd.strip():
        raise CannotRetune(f"The command of {model.model_id} is its own and names its program.")
    if row is None or row.build is None or row.status != EngineInstall.Status.READY:
        raise CannotRetune(f"There is no engine {engine} that is ready. See /api/engines.")
    return row.build


def _gpus(model: ServedModel, value: str, values: Mapping[str, Any]) -> str | None:
    """The engine's names of the chosen GPUs."""
    build = _build(model, values["engine"]) if values.get("engine") else model.engine
    try:
        found = gpu_choice.find(gpu_choice.words_of(value), gpus_to_choose(build))
    except gpu_choice.NoSuchGpu as error:
        raise CannotRetune(str(error)) from error
    return ",".join(gpu.name for gpu in found) or None


def _empty(column: str) -> Any:
    return getattr(ServedModel(), column)


def _with_flags(model: ServedModel, flags: tuple[tuple[str, ...], ...], value: Any) -> str:
    text = model.cmd
    for names in flags:
        found = _places(text, names)
        if value is None:
            for flag, old in reversed(found):
                text = text[: flag.start].rstrip(" \t") + text[old.end :]
        elif found:
            old = found[-1][1]  # of several the engine takes the last one
            text = text[: old.start] + shlex.quote(str(value)) + text[old.end :]
        elif _is_llama(model):
            text = f"{text.rstrip()}\n{names[0]} {shlex.quote(str(value))}\n"
        else:
            raise CannotRetune(
                f"The command of {model.model_id} is its own and has no {names[0]}. "
                "Change the command itself, or empty it to have one made."
            )
    return text


def _places(text: str, names: tuple[str, ...]) -> list[tuple[PlacedWord, PlacedWord]]:
    """Where one of `names` stands, each with the word after it."""
    try:
        return [pair for pair in pairwise(placed_words(text)) if pair[0].text in names]
    except ConfigError as error:
        raise CannotRetune(f"The command cannot be read: {error}") from error


def _is_llama(model: ServedModel) -> bool:
    """Whether the command starts a llama-server, as far as its first word tells."""
    try:
        program = words(_entry(model), _macros())[0]
    except ConfigError:
        return False
    return "llama" in os.path.basename(program).lower()


def _check(model: ServedModel) -> None:
    try:
        argv = words(_entry(model), _macros())
        check_port(_entry(model), " ".join(argv), model.proxy or DEFAULT_PROXY)
    except ConfigError as error:
        raise CannotRetune(f"Updated configuration is invalid: {error}") from error


def _entry(model: ServedModel) -> ModelEntry:
    return ModelEntry(model.model_id, cmd=model.cmd, macros=model.macros or {})


def _macros() -> ConfigDocument:
    macros = ServerSettings.current().macros
    return ConfigDocument(macros=macros if isinstance(macros, dict) else {})
