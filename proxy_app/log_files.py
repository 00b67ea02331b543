"""Where the output of each engine lies."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def log_path(home: Path, model: str) -> Path:
    """The log file of a model's engine.

    The id is kept readable; one that had to be changed, or is long, gets a digest so that two
    ids never share a file.
    """
    safe = _UNSAFE.sub("-", model).strip(".-")[:100] or "model"
    if safe != model:
        safe = f"{safe}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"
    return home / "logs" / "engines" / f"{safe}.log"
