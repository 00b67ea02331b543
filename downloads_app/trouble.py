"""What can go wrong with a download, in plain words, and whether trying again may help."""

from __future__ import annotations

import errno
from enum import StrEnum

import requests


class Kind(StrEnum):
    """For programs; a person reads the message."""

    ADDRESS = "address"
    HOST = "host"
    NOT_FOUND = "not_found"
    SIGN_IN = "sign_in"
    FORBIDDEN = "forbidden"
    REFUSED = "refused"
    BUSY = "busy"
    SERVER = "server"
    CONNECTION = "connection"
    STALLED = "stalled"
    CHANGED = "changed"
    DAMAGED = "damaged"
    NOT_A_MODEL = "not_a_model"
    DISK_FULL = "disk_full"
    FOLDER = "folder"
    EXISTS = "exists"


LASTING = frozenset(
    {
        Kind.ADDRESS,
        Kind.HOST,
        Kind.NOT_FOUND,
        Kind.SIGN_IN,
        Kind.FORBIDDEN,
        Kind.REFUSED,
        Kind.DAMAGED,
        Kind.NOT_A_MODEL,
        Kind.DISK_FULL,
        Kind.FOLDER,
        Kind.EXISTS,
    }
)
"""Trying again by itself cannot help: a person has to do something first."""


AWAY = frozenset({Kind.CONNECTION, Kind.STALLED})
"""The host is not reached; another way may be open."""


class Trouble(Exception):
    """A download cannot go on. `message` is for a person: what happened and what to do."""

    def __init__(self, kind: Kind, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.wait = wait
        """Seconds the server asked to wait before the next try; None if it did not say."""

    @property
    def lasting(self) -> bool:
        return self.kind in LASTING


def of_status(status: int, host: str, wait: float | None = None, code: str = "") -> Trouble:
    """The trouble that an HTTP status stands for. `code` is the hub's own word for it."""
    if status in (401, 403, 404) and code in _HUB:
        kind, text = _HUB[code]
        return Trouble(kind, text.format(host=host, status=status))
    match status:
        case 401:
            text = (
                f"{host} asks for a token (401). Save a valid Hugging Face token in the settings, "
                "then resume."
            )
            return Trouble(Kind.SIGN_IN, text)
        case 403:
            text = (
                f"{host} refuses access (403). The model may be gated: accept its terms on its "
                "page, check that the token may read it, then resume."
            )
            return Trouble(Kind.FORBIDDEN, text)
        case 404 | 410:
            text = f"{host} has no such file ({status}). Check the repository and the file's name."
            return Trouble(Kind.NOT_FOUND, text)
        case 408 | 425 | 429:
            return Trouble(Kind.BUSY, f"{host} asks to come back later ({status}).", wait=wait)
    if status >= 500:
        return Trouble(Kind.SERVER, f"{host} has a problem of its own ({status}).", wait=wait)
    text = f"{host} answers {status}, which no file can be read from. Check the address."
    return Trouble(Kind.REFUSED, text)


_HUB = {
    "GatedRepo": (
        Kind.FORBIDDEN,
        "The model is gated ({status}): accept its terms on its page at {host}, save a token of "
        "the same account in the settings, then resume.",
    ),
    # The hub answers 401 for what is not there, lest it tells what is private.
    "RepoNotFound": (
        Kind.NOT_FOUND,
        "{host} has no such repository ({status}), or it is private. Check its name; for a private "
        "one, save a token that may read it.",
    ),
    "EntryNotFound": (
        Kind.NOT_FOUND,
        "{host} has no such file in this repository ({status}). Check the file's name.",
    ),
    "RevisionNotFound": (
        Kind.NOT_FOUND,
        "{host} has no such revision of the repository ({status}). Check the revision.",
    ),
}


def of_network(error: requests.RequestException | OSError, host: str) -> Trouble:
    """The trouble behind an exception of the HTTP library."""
    if isinstance(error, requests.Timeout):
        return Trouble(Kind.STALLED, f"{host} sent nothing for too long.")
    if isinstance(error, requests.exceptions.SSLError):
        text = f"The certificate of {host} cannot be trusted. Check the address and the clock."
        return Trouble(Kind.ADDRESS, text)
    if isinstance(
        error,
        requests.exceptions.InvalidURL
        | requests.exceptions.InvalidSchema
        | requests.exceptions.MissingSchema,
    ):
        return Trouble(Kind.ADDRESS, "The address is not a web address. Check it.")
    return Trouble(Kind.CONNECTION, f"The connection to {host} was lost or could not be made.")


def of_disk(error: OSError, folder: str) -> Trouble:
    """The trouble behind a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Trouble(Kind.DISK_FULL, f"The disk of {folder} is full. Make room, then resume.")
    reason = error.strerror or str(error)
    text = f"{folder} cannot be written to ({reason}). Mend its rights or choose another folder."
    return Trouble(Kind.FOLDER, text)
