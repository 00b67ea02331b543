"""Whether there is any language but the one that the texts are written in."""

from __future__ import annotations

from pathlib import Path


def any_in(folder: Path) -> bool:
    """Whether `folder` holds a translation that `compilemessages` made ready."""
    return any(folder.glob("*/LC_MESSAGES/django.mo"))
