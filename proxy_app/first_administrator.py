"""The way in before anybody has an account, where sitting at this machine is not enough."""

from __future__ import annotations

import secrets
import time
from typing import Final

VALID_SECONDS: Final = 3600.0


class Invitation:
    """A link that the console shows: good once and for an hour, and only in this process."""

    def __init__(self) -> None:
        self._token = ""
        self._until = 0.0

    def make(self) -> str:
        """A new token; the one before is good no longer."""
        self._token = secrets.token_urlsafe(24)
        self._until = time.monotonic() + VALID_SECONDS
        return self._token

    def is_good(self, token: str) -> bool:
        """Whether this is the token, and still good."""
        if not self._token or time.monotonic() >= self._until:
            return False
        return secrets.compare_digest(token.encode(), self._token.encode())

    def use(self) -> None:
        """It has been used."""
        self._token = ""


INVITATION: Final = Invitation()
"""The one of this process."""
