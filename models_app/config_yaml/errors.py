from __future__ import annotations


class ConfigError(ValueError):
    """Why a configuration cannot be used, in words for the person who wrote it.

    `line` counts from 1 and is None where no single line is to blame.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"
