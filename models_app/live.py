"""What the running server knows and can be told, where this process is one.

`models_app` may not import the serving side, so the serving side registers itself here.
"""

from __future__ import annotations

from typing import Protocol

from models_app.document import ConfigDocument


class Live(Protocol):
    """The serving side, as those who change the configuration see it."""

    def loaded_models(self) -> frozenset[str]:
        """Ids of the models whose engines are up or starting."""

    def catch_up(self) -> None:
        """Return once the configuration as it is in the database is the one that is served."""

    def served(self) -> tuple[int, ConfigDocument] | None:
        """The configuration that is served, and the version of the database it was read at."""


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


def document_at(version: int) -> ConfigDocument | None:
    """The whole configuration as it was at `version`, if that is the one that is served.

    What is served was also kept as a revision.
    """
    served = _live.served() if _live else None
    return served[1] if served and served[0] == version else None
