"""Who runs the engines after this server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Heir(Protocol):
    """Who runs the engines after us."""

    def relieve_us(self, busy: Mapping[str, int]) -> None:
        """They are the heir's now; `busy` counts our requests that go on, by model."""

    def tell_done(self, model: str) -> None:
        """One of those has ended."""
