"""What the running server knows and can be told, where this process is one.

`models_app` may not import the serving side, so the serving side registers itself here.
"""

from __future__ import annotations

from typing import Protocol


class Live(Protocol):
    """The serving side, as those who change the configuration see it."""

    def loaded_models(self) -> frozenset[str]:
        """Ids of the models whose engines are up or starting."""

    def catch_up(self) -> None:
        """Return once the configuration as it is in the database is the one that is served."""


_live: Live | None = None


def register(live: Live | None) -> None:
    """Make `live` the server of this process; None when it has stopped."""
    global _live
    _live = live


def loaded_models() -> frozenset[str]:
    """Ids of loaded models; none in a process without engines."""
    return _live.loaded_models() if _live else frozenset()


def catch_up() -> None:
    """Wait until the server of this process, if it is one, serves what the database says."""
    if _live:
        _live.catch_up()
