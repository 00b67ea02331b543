"""The secret key: made at the first start, kept in a file only its owner can read.

Sessions are signed with it, API keys are kept under it, and stored secrets are sealed under a key
derived from it. `manage.py replace_secret_key` makes a new one.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def read_or_make(file: Path) -> str:
    """The key in `file`, which is created with mode 0600 when missing.

    Two processes that start at once agree: the file appears whole, under its final name,
    exactly once, and the loser of the race reads the winner's key.
    """
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = _write_fresh(file)
        try:
            os.link(fresh, file)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    close_to_others(file)
    key = file.read_text().strip()
    if len(key) < 32:
        raise ImproperlyConfigured(
            f"The secret key in {file} is too short. Delete the file to have a new one made; "
            "everybody is then signed out."
        )
    return key


def replace(file: Path) -> None:
    """Put a new key in place of the one in `file`, which stays beside it as the former one."""
    fresh = _write_fresh(file)
    former = former_of(file)
    former.unlink(missing_ok=True)
    os.link(file, former)
    os.replace(fresh, file)


def read_former(file: Path) -> list[str]:
    """The key before, while something may still be sealed under it; else nothing."""
    former = former_of(file)
    if not former.exists():
        return []
    close_to_others(former)
    return [former.read_text().strip()]


def former_of(file: Path) -> Path:
    """Where the key before the one in `file` is kept."""
    return file.with_name(f"{file.name}.former")


def close_to_others(file: Path) -> None:
    """Take everybody's rights but its owner's off a file. Raises ImproperlyConfigured."""
    about = file.stat()
    if not about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return
    try:
        file.chmod(0o600)
    except PermissionError:
        raise ImproperlyConfigured(
            f"Others may read the secret key in {file}, and it is not this user's to close. Run "
            f"chmod 600 {file} as its owner."
        ) from None


def _write_fresh(file: Path) -> Path:
    fresh = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secrets.token_urlsafe(50))
    return fresh
