"""What only the serving process knows of models. The part that serves registers here at start-up;
without it, models have no state and cannot be loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from models_app.admin import display
from models_app.admin.reasons import why_not_served
from models_app.models import ServedModel

Action = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True, slots=True)
class LiveModel:
    """What a model does right now."""

    state: str
    label: str
    tone: str = ""
    """"good", "busy", "bad" or empty: how the state is coloured."""
    problem: str = ""
    """Why its engine ended or could not be started."""
    last_used: datetime | None = None


Source = Callable[[], Mapping[str, LiveModel] | None]
"""Tells of all models by id; None in a process without engines."""

STOPPED: Final = LiveModel("stopped", "Stopped")
NOT_SERVED: Final = LiveModel("unavailable", "Not served")
NO_ENGINES: Final = LiveModel("offline", "No engine")


class Serving:
    """What was registered."""

    def __init__(self) -> None:
        self._source: Source = lambda: None
        self.actions: tuple[Action, ...] = ()

    def register(self, source: Source, actions: Iterable[Action]) -> None:
        """Take over the states of models, and the acts that need engines."""
        self._source, self.actions = source, tuple(actions)

    def snapshot(self) -> Snapshot:
        """The models as they are now."""
        return Snapshot(self._source())


SERVING: Final = Serving()
"""The one of this process."""


class Snapshot:
    """All models at one moment."""

    def __init__(self, models: Mapping[str, LiveModel] | None) -> None:
        self._models = models

    def of(self, model: ServedModel) -> LiveModel:
        """What the model does, also when it is not served at all."""
        found = (self._models or {}).get(model.model_id)
        if found is not None and found.state != STOPPED.state:
            return found
        if why_not_served(model):
            return NOT_SERVED
        if self._models is None:
            return NO_ENGINES
        return found or STOPPED

    def ids(self, state: str) -> list[str]:
        """Models that the runner reports in this state."""
        return [name for name, live in (self._models or {}).items() if live.state == state]


def badge(live: LiveModel, model_id: str) -> SafeString:
    """The state as a coloured word; scripts find it by the model's id."""
    return format_html(
        '<span class="state" data-tone="{}" data-live="{}" title="{}">{}</span>',
        live.tone,
        model_id,
        live.problem,
        live.label,
    )


def last_use(live: LiveModel, model: ServedModel) -> str:
    """When a request last reached the model."""
    known = [when for when in (live.last_used, model.last_used_at) if when]
    return display.ago(max(known)) if known else display.NOTHING
