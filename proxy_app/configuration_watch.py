"""Whether the configuration changed: in the database, or in config.yaml by a person's hand."""

from __future__ import annotations

from models_app import changes, export, hand_edits
from models_app.hand_edits import Stamp, stamp


class ConfigurationWatch:
    """Asked a few times a second: one small query, and what the file system knows of the file."""

    def __init__(self) -> None:
        self._version: int | None = None
        self._file: Stamp | None = None
        self.is_settled = False
        """Whether the file was the same in the last two looks. One that was not may be half
        written, and half a configuration is one with fewer models."""
        self._seen: tuple[int | None, Stamp | None] = (None, None)

    def look(self) -> bool:
        """Whether something changed since `done`.

        A file that changed since the last look is waited for: it may be half written.
        """
        before, self._file = self._file, stamp(export.config_path())
        self.is_settled = self._file == before
        self._version = changes.current_version()
        if self._version != self._seen[0]:
            return True
        if self._file == self._seen[1] or not self.is_settled:
            return False
        if hand_edits.is_as_left():
            self.done()  # the server wrote it itself
            return False
        return True

    @property
    def sees_another_file(self) -> bool:
        """Whether the file is not the one that was there at `done`."""
        return self._file != self._seen[1]

    def done(self) -> None:
        """What the last look saw is taken over; of the file only what was looked at."""
        self._seen = (self._version, self._file if hand_edits.is_as_left() else None)
