"""The secret key: made at the first start, kept in a file only its owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def read_or_make(file: Path) -> str:
    """The key in `file`, which is created with mode 0600 when missing.

    Two processes that start at once agree: the file appears whole, under its final name,
    exactly once, and the loser of the race reads the winner's key.
    """
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(50))
        try:
            os.link(fresh, file)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    key = file.read_text().strip()
    if len(key) < 32:
        raise ImproperlyConfigured(
            f"The secret key in {file} is too short. Delete the file to have a new one made; "
            "everybody is then signed out."
        )
    return key
