"""Where the files under `/static/` are, for pages that name thirty of them each."""

from __future__ import annotations

from django.contrib.staticfiles.storage import StaticFilesStorage


class StaticAddresses(StaticFilesStorage):
    """As Django's, remembering what it said: the files are those of the checkout."""

    def __init__(self) -> None:
        super().__init__()
        self._addresses: dict[str | None, str] = {}

    def url(self, name: str | None) -> str:
        if name not in self._addresses:
            self._addresses[name] = super().url(name)
        return self._addresses[name]
