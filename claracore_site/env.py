"""Strict readers for the CLARACORE_ environment variables.

A value that cannot be understood stops the start with a message that names the variable;
nothing falls back silently.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from models_app import nodes

PREFIX = "CLARACORE_"

_known: set[str] = set()
"""Every name that was asked for, without the prefix: reading a variable is what declares it."""

CONNECT_SECONDS = 5
"""How long PostgreSQL may take to accept a connection, where the URL says nothing else."""

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}
_DATABASES = ("sqlite", "postgres", "postgresql")
_REDIS = ("redis", "rediss", "unix")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def known() -> frozenset[str]:
    """The full names of all variables that have a meaning, once the settings are loaded."""
    return frozenset(PREFIX + name for name in _known)


def unknown(environment: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """The CLARACORE_ variables of `environment` that are not in `names`, sorted.

    Each comes with the name it was probably meant to be, or with "".
    """
    names = sorted(names)
    strange = sorted(name for name in environment if name.startswith(PREFIX) and name not in names)
    return {name: _closest(name, names) for name in strange}


def _closest(name: str, names: list[str]) -> str:
    # Without the prefix, which alone would make every name look alike.
    short = {known.removeprefix(PREFIX): known for known in names}
    found = difflib.get_close_matches(name.removeprefix(PREFIX), short, n=1)
    return short[found[0]] if found else ""


def text(name: str, default: str = "") -> str:
    """The variable's value without surrounding blanks; unset or empty gives the default."""
    _known.add(name)
    return os.environ.get(PREFIX + name, "").strip() or default


def node(name: str, default: str) -> str:
    """The name of a node, as it stands in rows and queues."""
    value = text(name, default)
    if not nodes.is_name(value):
        raise ImproperlyConfigured(
            f"{PREFIX}{name} must be 1 to {nodes.LONGEST} letters, digits, dots, hyphens or "
            f"underscores, not {value!r}."
        )
    return value


def boolean(name: str, default: bool) -> bool:
    """true/false, yes/no, on/off or 1/0 in any case."""
    value = text(name).lower()
    if not value:
        return default
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ImproperlyConfigured(f"{PREFIX}{name} must be true or false, not {value!r}.")


def integer(name: str, default: int, *, lowest: int, highest: int) -> int:
    """A whole number within [lowest, highest]."""
    value = text(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(
            f"{PREFIX}{name} must be a whole number, not {value!r}."
        ) from None
    if not lowest <= number <= highest:
        raise ImproperlyConfigured(
            f"{PREFIX}{name} must be between {lowest} and {highest}, not {number}."
        )
    return number


def gibibytes(name: str) -> float | None:
    """An amount of memory in GiB, above 0; None when unset."""
    value = text(name)
    if not value:
        return None
    try:
        amount = float(value)
    except ValueError:
        raise ImproperlyConfigured(
            f"{PREFIX}{name} must be a number of GiB, not {value!r}."
        ) from None
    if not 0 < amount < 1_000_000:
        raise ImproperlyConfigured(f"{PREFIX}{name} must be a number of GiB above 0, not {value}.")
    return amount


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of the allowed words, in any case."""
    value = text(name).lower()
    if not value:
        return default
    if value not in allowed:
        raise ImproperlyConfigured(
            f"{PREFIX}{name} must be one of {', '.join(allowed)}, not {value!r}."
        )
    return value


def words(name: str) -> list[str]:
    """A comma-separated list; blanks around the items are dropped."""
    return [item.strip() for item in text(name).split(",") if item.strip()]


def hosts(name: str) -> list[str]:
    """Host names and addresses, lower case; IPv6 addresses in brackets, as in a `Host` header."""
    return [_host(name, word.lower()) for word in words(name)]


def _host(name: str, word: str) -> str:
    try:
        address = ipaddress.ip_address(word.removeprefix("[").removesuffix("]"))
    except ValueError:
        if _HOST_NAME.fullmatch(word):
            return word
        raise ImproperlyConfigured(
            f"{PREFIX}{name} must list host names or addresses, without scheme, port or path; "
            f"{word!r} is neither."
        ) from None
    return f"[{address}]" if address.version == 6 else str(address)


def absolute_paths(name: str) -> list[str]:
    """Folders; `~` is this user's."""
    found = [os.path.expanduser(word) for word in words(name)]
    for folder in found:
        if not os.path.isabs(folder):
            raise ImproperlyConfigured(
                f"{PREFIX}{name} must list folders by their whole paths; {folder!r} is none."
            )
    return found


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Addresses, and networks such as 10.0.0.0/8."""
    return [_network(name, word) for word in words(name)]


def _network(name: str, word: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(word)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{PREFIX}{name} must list addresses or networks such as 10.0.0.0/8: {error}."
        ) from None


def database_url(name: str) -> dj_database_url.DBConfig | None:
    """The connection that a sqlite:// or postgres:// URL names; None when unset."""
    value = text(name)
    if not value:
        return None
    _check_scheme(name, value, _DATABASES)
    try:
        connection = dj_database_url.parse(value, conn_max_age=60, conn_health_checks=True)
    except ValueError:
        # The value is not repeated: it may hold a password.
        raise ImproperlyConfigured(
            f"{PREFIX}{name} cannot be understood. Its form is "
            "postgres://USER:PASSWORD@HOST:PORT/NAME; special characters in a part are "
            "percent-encoded (@ is %40)."
        ) from None
    if not connection.get("NAME"):
        raise ImproperlyConfigured(f"{PREFIX}{name} names no database; its path is empty.")
    if connection["ENGINE"].endswith("postgresql"):
        connection.setdefault("OPTIONS", {}).setdefault("connect_timeout", CONNECT_SECONDS)
    return connection


def redis_url(name: str) -> str:
    """A redis://, rediss:// or unix:// URL; empty when unset."""
    value = text(name)
    if value:
        _check_scheme(name, value, _REDIS)
    return value


def celery_url(url: str) -> str:
    """The same Redis as Celery names it, which has a scheme of its own for sockets."""
    scheme, _, rest = url.partition("://")
    if scheme != "unix":
        return url
    path, _, query = rest.partition("?")
    pairs = [
        "virtual_host=" + pair.removeprefix("db=") if pair.startswith("db=") else pair
        for pair in query.split("&")
        if pair
    ]
    return "redis+socket://" + path + ("?" + "&".join(pairs) if pairs else "")


def web_url(name: str, default: str, *, also: str = "") -> str:
    """An http:// or https:// address without a slash at its end.

    `also` is another program's variable for the same, read when ours is not set.
    """
    value, named = _shared(name, also)
    if not value:
        return default
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ImproperlyConfigured(
            f"{named} must be an address that begins with https:// or http://, not {value!r}."
        )
    return value.rstrip("/")


def secret(name: str, *, also: str = "") -> str:
    """A token of printable characters without blanks; empty when unset.

    `also` is another program's variable for the same, read when ours is not set.
    """
    value, named = _shared(name, also)
    if not value.isascii() or not value.isprintable() or " " in value:
        # The value is not repeated: it is a secret.
        raise ImproperlyConfigured(f"{named} holds characters that no token has. Copy it again.")
    return value


def password(name: str) -> str:
    """A password, or what stands in the file that `<name>_FILE` names; empty when neither is set.

    It is taken out of the environment, where programs that are started would see it.
    """
    value, file = text(name), text(f"{name}_FILE")
    for variable in (name, f"{name}_FILE"):
        os.environ.pop(PREFIX + variable, None)
    if not file:
        return value
    if value:
        raise ImproperlyConfigured(f"Set {PREFIX}{name} or {PREFIX}{name}_FILE, not both.")
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{PREFIX}{name}_FILE cannot be read: {error}") from None


def _shared(name: str, also: str) -> tuple[str, str]:
    """A value, and the full name of the variable that gave it."""
    value = text(name)
    if value or not also:
        return value, PREFIX + name
    return os.environ.get(also, "").strip(), also


def _check_scheme(name: str, url: str, schemes: tuple[str, ...]) -> None:
    scheme, separator, rest = url.partition("://")
    if scheme not in schemes or not separator or not rest:
        forms = ", ".join(f"{known}://" for known in schemes)
        raise ImproperlyConfigured(f"{PREFIX}{name} must be a URL that begins with one of {forms}.")


def path(name: str, default: Path) -> Path:
    """An absolute path; `~` and a relative path are resolved against the current directory."""
    value = text(name)
    try:
        return Path(value).expanduser().resolve() if value else default
    except RuntimeError:  # `~someone` whom this machine does not know
        raise ImproperlyConfigured(
            f"{PREFIX}{name} is {value}, but there is no such user."
        ) from None


def folder(name: str, default: Path) -> Path:
    """A folder of our own, made when missing and closed to other users then."""
    place = path(name, default)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{PREFIX}{name} is {place}, which cannot be made a folder: {error.strerror}."
        ) from None
    if not os.access(place, os.W_OK | os.X_OK):
        raise ImproperlyConfigured(f"{PREFIX}{name} is {place}, which cannot be written to.")
    return place


def own_file(place: Path) -> Path:
    """A file that is made empty when missing, and closed to other users then.

    The folder may be somebody's who lets others in. Whoever opens the file tells what is wrong.
    """
    with suppress(OSError):
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return place
