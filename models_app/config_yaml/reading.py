from __future__ import annotations

from pathlib import Path

from models_app.config_yaml.errors import ConfigError
from models_app.config_yaml.nodes import MAX_BYTES, check_size


def read(path: Path) -> str:
    """The text of a configuration file, never more than MAX_BYTES of it. Errors leave out its name.

    Raises ConfigError for a file that cannot be read, is too large or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"It cannot be read: {error.strerror or error}.") from error
    return decoded(data)


def decoded(data: bytes) -> str:
    """The text of a configuration file's bytes. Raises ConfigError."""
    check_size(data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("This is not UTF-8 text. Save the file as UTF-8.", line) from error
