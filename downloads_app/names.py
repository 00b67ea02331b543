"""File names from requests and repositories, made safe. Pure."""

from __future__ import annotations

import os
import re
import unicodedata

LONGEST = 240
"""Bytes of a name; file systems take 255."""

_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


class BadName(ValueError):
    """A name that no file can have; the text says why."""


def clean(name: str) -> str:
    """The last part of `name`, fit to be a file of one folder on any system. Raises BadName.

    Folders, `..` among them, are cut, so the file cannot leave its folder.
    """
    text = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    # A lone surrogate cannot be written; direction marks make one name look like another.
    text = "".join(char for char in text if unicodedata.category(char) not in ("Cs", "Cf", "Cc"))
    # A leading dot would hide it from scans, and Windows drops dots and blanks at the end.
    text = _FORBIDDEN.sub("_", text).strip().lstrip(".").rstrip(". ")
    if not text or text == "undefined":
        raise BadName(f"{name[:80]!r} is no name for a file. Name one such as model-q4_k_m.gguf.")
    if _RESERVED.fullmatch(text):
        text = f"_{text}"
    return _shortened(text)


def _shortened(text: str) -> str:
    stem, suffix = os.path.splitext(text)
    room = LONGEST - len(suffix.encode())
    if len(stem.encode()) > room > 0:
        stem = stem.encode()[:room].decode(errors="ignore")
    return stem + suffix


def is_gguf(name: str) -> bool:
    return name.lower().endswith(".gguf")
