"""The token for Hugging Face: sealed, in a file that only the server's own user can read.

It stands in no table, so no revision, export or page can ever show it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from django.conf import settings

from models_app.export import write_atomically
from models_app.sealed import seal, unseal

LONGEST = 512


class BadToken(ValueError):
    """A text that cannot be sent as a token."""


def path() -> Path:
    """Where the token is kept."""
    return Path(settings.CLARACORE_HOME) / "hf_token"


def read() -> str:
    """The token; "" while none is kept. Raises OSError when the file cannot be read."""
    try:
        return unseal(path().read_text().strip())
    except FileNotFoundError:
        return ""


def check(token: str) -> None:
    """Raises BadToken for a text that no token can be."""
    token = token.strip()
    if len(token) > LONGEST or not token.isascii() or not token.isprintable() or " " in token:
        raise BadToken(
            f"A token is at most {LONGEST} visible ASCII characters without spaces. Copy it again."
        )


def save(token: str) -> None:
    """Keep `token`, or forget the one that is kept when it is empty. Raises BadToken, OSError."""
    check(token)
    token = token.strip()
    if not token:
        with suppress(FileNotFoundError):
            path().unlink()
        return
    write_atomically(path(), seal(token).encode())
