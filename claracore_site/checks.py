"""What `manage.py check` and the start of the server say about the environment."""

from __future__ import annotations

import os
from typing import Any

from django.core.checks import CheckMessage, Warning

from claracore_site import env


def unknown_variables(**_: Any) -> list[CheckMessage]:
    """A warning for each CLARACORE_ variable that nothing reads, most often a slip of the pen.

    No error: a variable may belong to another version, or to docker-compose.yml.
    """
    known = env.known()
    return [
        Warning(
            f"{name} is set, but there is no such setting.",
            hint=f"Did you mean {meant}?" if meant else f"There are {', '.join(sorted(known))}.",
            id="claracore.W001",
        )
        for name, meant in env.unknown(os.environ, known).items()
    ]
