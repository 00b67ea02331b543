"""What models really took when they were loaded, as long as they are started the same way.

Loads that followed a plan are in the database beside their predictions. Those of commands of a
person's own are kept in a file, so that a restart does not forget them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from functools import lru_cache
from pathlib import Path

from proxy_app.budget import Bytes
from proxy_app.lineup import Launch, Lineup, Served, with_measured

logger = logging.getLogger(__name__)


class Measurements:
    """The newest of each model."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._taken: dict[str, tuple[str, Bytes]] = {}
        """By model: a digest of how it was started, and what it took."""
        self._read()

    def note(self, lineup: Lineup, model: str, need: Bytes) -> None:
        """What a model of the line-up has taken."""
        served = lineup.models[model]
        self._taken[model] = (_digest(served.launch), need)
        if served.entry.memory is None:
            self._write(lineup)

    def of(self, served: Served) -> Bytes | None:
        """What the model took of each device; None when it was never loaded like that."""
        digest, need = self._taken.get(served.entry.model_id, ("", None))
        return need if digest == _digest(served.launch) else None

    def applied(self, lineup: Lineup) -> Lineup:
        """The same line-up with what is known."""
        known = {
            model: need
            for model, served in lineup.models.items()
            if (need := self.of(served)) is not None
        }
        return with_measured(lineup, known) if known else lineup

    def _read(self) -> None:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            for model, (digest, need) in found.items():
                sizes = {str(device): int(size) for device, size in need.items()}
                self._taken[str(model)] = (str(digest), sizes)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError) as error:
            logger.warning("%s is left aside: %s", self._file, error)

    def _write(self, lineup: Lineup) -> None:
        own = {
            model: [digest, dict(need)]
            for model, (digest, need) in self._taken.items()
            if model in lineup.models and lineup.models[model].entry.memory is None
        }
        unfinished = self._file.with_suffix(".part")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished.write_text(json.dumps(own), encoding="utf-8")
            unfinished.replace(self._file)
        except OSError as error:
            logger.warning("What %s hold could not be kept: %s", ", ".join(own), error)


@lru_cache(maxsize=1024)
def _digest(launch: Launch | None) -> str:
    """Of how a model is started. Not the words themselves: they may hold keys."""
    return hashlib.sha256(repr(launch).encode(errors="surrogateescape")).hexdigest()
