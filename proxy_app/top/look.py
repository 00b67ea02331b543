"""Asks a running server over its REST API what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

LIMIT_SECONDS = 10.0


class Unreachable(Exception):
    """The server does not answer as it should; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment, as the API tells it."""

    url: str
    models: list[dict[str, Any]]
    queue: dict[str, Any]
    live: list[dict[str, Any]]
    metrics: dict[str, dict[str, Any]]
    """By model."""


class Eye:
    """One connection to a server."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()
        # What proxies the environment names is for the world outside.
        self._session.trust_env = False
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def look(self) -> Look:
        """Raises Unreachable."""
        return Look(
            url=self.url,
            models=self._get("models")["models"],
            queue=self._get("queue"),
            live=self._get("requests/live")["requests"],
            metrics={one["modelId"]: one for one in self._get("metrics")},
        )

    def close(self) -> None:
        self._session.close()

    def _get(self, path: str) -> Any:
        try:
            reply = self._session.get(f"{self.url}/api/{path}", timeout=LIMIT_SECONDS)
            answer = reply.json()
        except requests.JSONDecodeError:
            raise Unreachable(f"What answers at {self.url} is not ClaraCore.") from None
        except (requests.RequestException, ValueError):
            raise Unreachable(
                f"No server answers at {self.url}. Start it, or name another with --url."
            ) from None
        if reply.status_code == 401:
            raise Unreachable("The server asks for an API key: --key, or CLARACORE_CLIENT_KEY.")
        if not reply.ok:
            raise Unreachable(f"The server answered: {answer.get('error', reply.reason)}")
        return answer
