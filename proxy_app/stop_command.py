"""A model's own stop command, in place of a guard that was killed before it could execute it.

The engine itself has died with its guard then; what it began elsewhere, such as a container, has
not.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy_app.guarded_engine import PID

logger = logging.getLogger(__name__)

STOP_COMMAND_SECONDS = 10.0
"""How long a stop command may take; those of container tools take their time."""


@dataclass(frozen=True, slots=True)
class StopCommand:
    """What to execute, and in which environment. Nothing when `argv` is empty."""

    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Execute it, unless it names the engine's process: that number may be a stranger's now.

        Blocks. One that fails is no more than logged.
        """
        if not self.argv or any(PID in word for word in self.argv):
            return
        logger.info("Executing the stop command %s", self.argv[0])
        try:
            done = subprocess.run(
                self.argv,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=STOP_COMMAND_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            logger.warning("The stop command failed: %s", error)
            return
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            logger.warning("The stop command ended with %d: %s", done.returncode, said)
