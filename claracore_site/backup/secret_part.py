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
from models_app import hf_token
from models_app.models import KeptSecret
from models_app.secrecy import is_secret_name, masked

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
    hf_token: str


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
    part = SecretPart(made_at, settings.SECRET_KEY, values, kept, hf_token.read())
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


def use_key(part: SecretPart) -> None:
    """Let what this process seals from now on be sealed under the key that comes along."""
    if not _has_key_of_its_own():
        settings.SECRET_KEY = part.secret_key


def bring_files(part: SecretPart, stamp: str) -> None:
    """Put the secret key and the hub's token in the home folder; the key before is kept beside.

    A key that the environment gives stays in force.
    """
    if part.hf_token:
        hf_token.save(part.hf_token)
    place = Path(settings.CLARACORE_HOME) / "secret_key"
    if _has_key_of_its_own() or place.read_text().strip() == part.secret_key:
        return
    os.replace(place, place.with_name(f"secret_key.before-restore-{stamp}"))
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(part.secret_key)


def _has_key_of_its_own() -> bool:
    return bool(os.environ.get("CLARACORE_SECRET_KEY"))
