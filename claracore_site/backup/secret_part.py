"""The secret part of a backup: a file of its own, readable by its owner only.

It holds the server's secret key, the passwords' hashes, tokens, and whatever a configuration names
in a secret place, each under the mark that stands for it in the archive. Without it a backup can
be restored all the same: people then need new passwords, and clients new keys.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from django.conf import settings

from claracore_site.backup.archive import BackupError
from claracore_site.backup.tables import ALREADY_MARKED, MAY_HOLD_SECRETS
from models_app.models import KeptSecret
from models_app.secrecy import is_secret_name, masked

FILES: Final = ("hf_token",)
"""Files of the home folder that hold a secret."""

_NAMES: Final = frozenset({"key"})
"""Columns that sound secret and are a row's name."""

_MARK: Final = re.compile(r"SECRET-[0-9a-f]{16}")


class SecretPart(msgspec.Struct):
    """What a secret part says. `made_at` is that of the archive it belongs to."""

    made_at: str
    secret_key: str
    values: dict[str, str]
    """By the mark that stands for it in the archive's tables."""
    kept: dict[str, str]
    """By the mark that stands for it in revisions."""
    files: dict[str, str]


def beside(file: Path) -> Path:
    """Where the secret part of a backup lies."""
    return file.with_name(f"{file.name}.secrets")


def hiding(label: str, names: Sequence[str], found: dict[str, str]) -> Callable[[list[Any]], Any]:
    """What puts marks for the secrets of a table's rows, and notes the secrets in `found`."""
    if label.partition(".")[0] not in MAY_HOLD_SECRETS or label in ALREADY_MARKED:
        return lambda row: row

    def hide(row: list[Any]) -> list[Any]:
        values = {name: value for name, value in zip(names, row, strict=True) if name not in _NAMES}
        marked = masked(values, found)
        return [marked.get(name, value) for name, value in zip(names, row, strict=True)]

    return hide


def showing(
    label: str, names: Sequence[str], secrets: dict[str, str]
) -> Callable[[list[Any]], list[Any]]:
    """What puts a table's secrets back. A column that is nothing but an unknown one is empty."""
    if label.partition(".")[0] not in MAY_HOLD_SECRETS or label in ALREADY_MARKED:
        return lambda row: row
    secret = {index for index, name in enumerate(names) if is_secret_name(name)}

    def show(row: list[Any]) -> list[Any]:
        return [_shown(value, secrets, empty=index in secret) for index, value in enumerate(row)]

    return show


def _shown(value: Any, secrets: dict[str, str], *, empty: bool = False) -> Any:
    if isinstance(value, str):
        if empty and _MARK.fullmatch(value) and value not in secrets:
            return ""
        return _MARK.sub(lambda mark: secrets.get(mark[0], mark[0]), value)
    if isinstance(value, dict):
        return {key: _shown(part, secrets) for key, part in value.items()}
    if isinstance(value, list):
        return [_shown(part, secrets) for part in value]
    return value


def write(file: Path, made_at: str, values: dict[str, str], using: str) -> Path:
    """Write the secret part beside its backup."""
    kept = dict(KeptSecret.objects.using(using).values_list("mark", "value"))
    home = Path(settings.CLARACORE_HOME)
    files = {name: (home / name).read_text() for name in FILES if (home / name).is_file()}
    part = SecretPart(made_at, settings.SECRET_KEY, values, kept, files)
    place = beside(file)
    unfinished = place.with_name(f".{place.name}.unfinished")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(msgspec.json.encode(part))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(unfinished, place)
    return place


def read(file: Path, made_at: str) -> SecretPart:
    """The secret part of the archive made at that time. Raises BackupError."""
    try:
        part = msgspec.json.decode(file.read_bytes(), type=SecretPart)
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror}.") from error
    except msgspec.DecodeError:
        raise BackupError(f"{file} is not the secret part of a backup, or it is damaged.") from None
    if part.made_at != made_at:
        raise BackupError(
            f"{file} belongs to a backup made at {part.made_at}, not to this one of {made_at}."
        )
    return part


def bring_files(part: SecretPart, stamp: str) -> None:
    """Put the secret key and secret files in the home folder; what was there is kept beside."""
    home = Path(settings.CLARACORE_HOME)
    wanted = {name: text for name, text in part.files.items() if name in FILES}
    if not os.environ.get("CLARACORE_SECRET_KEY"):
        wanted["secret_key"] = part.secret_key
    for name, text in wanted.items():
        place = home / name
        if place.exists():
            if place.read_text().strip() == text.strip():
                continue
            os.replace(place, home / f"{name}.before-restore-{stamp}")
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
