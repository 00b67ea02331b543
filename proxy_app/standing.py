"""Whether a service the server leans on can be reached: told when that changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, Final

logger = logging.getLogger(__name__)

OK: Final = "ok"
LOST: Final = "lost"


class Standing:
    """Of one service, as the last attempt to use it left it."""

    def __init__(self, name: str, meanwhile: str) -> None:
        """`meanwhile` is a sentence for the log: what still works without it."""
        self.name = name
        self._meanwhile = meanwhile
        self._lost_at: float | None = None

    def __repr__(self) -> str:
        return f"<{self.name}: {LOST if self.is_lost else OK}>"

    @property
    def is_lost(self) -> bool:
        return self._lost_at is not None

    def lost(self, error: Exception) -> None:
        """An attempt failed because nobody was there."""
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            logger.error("The %s cannot be reached (%s). %s", self.name, reason, self._meanwhile)

    def reached(self) -> None:
        """An attempt succeeded."""
        if self._lost_at is not None:
            logger.warning(
                "The %s is back after %.0f s.", self.name, time.monotonic() - self._lost_at
            )
            self._lost_at = None

    def told(self) -> dict[str, Any]:
        """For `/health/ready`; how long ago it was lost in whole seconds."""
        if self._lost_at is None:
            return {"status": OK}
        return {"status": LOST, "seconds": int(time.monotonic() - self._lost_at)}


def readiness(standings: Sequence[Standing]) -> dict[str, Any]:
    """The body of `/health/ready`."""
    degraded = any(standing.is_lost for standing in standings)
    return {
        "status": "degraded" if degraded else "ready",
        **{standing.name: standing.told() for standing in standings},
    }
