"""When each model last answered: noted with every request, written down now and then."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from models_app.models import ServedModel


class LastUse:
    """Times in seconds since 1970, by model. Used in the serving loop only."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._unsaved: set[str] = set()

    def note(self, model: str) -> None:
        """A request for the model ended now."""
        self._times[model] = time.time()
        self._unsaved.add(model)

    def of(self, model: str) -> float | None:
        """None when it answered nothing since the server's start."""
        return self._times.get(model)

    def take_unsaved(self) -> dict[str, float]:
        """What was noted since the last call."""
        taken = {model: self._times[model] for model in self._unsaved}
        self._unsaved.clear()
        return taken


def save(times: Mapping[str, float]) -> None:
    """Write last uses down. Models that are gone meanwhile are left out."""
    for model, seconds in times.items():
        when = datetime.fromtimestamp(seconds, UTC)
        ServedModel.objects.filter(model_id=model).update(last_used_at=when)
