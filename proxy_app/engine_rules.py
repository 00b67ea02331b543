"""How engines are treated, from the server's settings (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from models_app.models.settings import START_PAUSES


@dataclass(frozen=True, slots=True)
class EngineRules:
    """All times are in seconds."""

    adopt_wait: float = 30
    """How long a ready engine lives on when the server is suddenly gone; 0: not at all."""
    start_pauses: tuple[float, ...] = START_PAUSES
    """How long a model is left alone after its first, second, … failure in a row; the last counts
    for all that follow."""
