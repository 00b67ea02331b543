"""What a change of the configuration means for models: which restart, which stay (pure)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from models_app.config_yaml import ConfigError, expand
from models_app.document import ConfigDocument, ModelEntry

PORT = "${PORT}"


@dataclass(frozen=True, slots=True)
class Effect:
    """Ids of models, sorted. `restarts` and `stays` are about those that are loaded."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Served before and after, but their engine is started in another way."""
    restarts: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()

    def __str__(self) -> str:
        """For example: 2 models restart once their requests are done, 11 models stay loaded."""
        otherwise = len(self.changed) - len(self.restarts)
        done = "its" if len(self.restarts) == 1 else "their"
        parts = (
            _counted(len(self.added), "is new", "are new"),
            _counted(len(self.removed), "goes", "go"),
            _counted(otherwise, "starts otherwise next time", "start otherwise next time"),
            _counted(
                len(self.restarts),
                f"restarts once {done} requests are done",
                f"restart once {done} requests are done",
            ),
            _counted(len(self.stays), "stays loaded", "stay loaded"),
        )
        return (", ".join(filter(None, parts)) or "No model is touched") + "."

    def to_json(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": list(self.changed),
            "restarts": list(self.restarts),
            "stays": list(self.stays),
            "effect": str(self),
        }


def effect(before: ConfigDocument, after: ConfigDocument, loaded: Collection[str] = ()) -> Effect:
    """What going from one configuration to the other means while `loaded` models are up."""
    both = before.models.keys() & after.models.keys()
    same_macros = before.macros == after.macros
    changed = {
        model
        for model in both
        if not (same_macros and before.models[model] == after.models[model])
        and _launch(before.models[model], before) != _launch(after.models[model], after)
    }
    return Effect(
        added=tuple(sorted(after.models.keys() - both)),
        removed=tuple(sorted(before.models.keys() - both)),
        changed=tuple(sorted(changed)),
        restarts=tuple(sorted(changed & set(loaded))),
        stays=tuple(sorted((both - changed) & set(loaded))),
    )


def _launch(entry: ModelEntry, document: ConfigDocument) -> Any:
    """What an engine is started with; two that are equal need no restart. None: it cannot be."""
    try:
        command = expand(entry, document, PORT)
    except ConfigError:
        return None
    return command.argv, command.cmd_stop, entry.env, command.proxy, command.check_endpoint


def _counted(count: int, one: str, many: str) -> str:
    if not count:
        return ""
    return f"1 model {one}" if count == 1 else f"{count} models {many}"
