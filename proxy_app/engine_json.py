"""JSON as engines read it (pure): less strictly than it is read here.

What only an engine can read would be a way past all that is judged by a request's body.
"""

from __future__ import annotations

import codecs
import json
from typing import Final

BEGINNING: Final = 64
"""Bytes of a body that tell whether it may be JSON."""


def as_read(body: bytes) -> bytes:
    """What llama-server reads of a body: as far as the first NUL, without the mark of UTF-8."""
    return body.removeprefix(codecs.BOM_UTF8).partition(b"\0")[0]


def may_be_json(start: bytes) -> bool:
    """Whether a body that begins like that could be JSON, and is worth reading whole."""
    text = start.decode(json.detect_encoding(start), errors="replace").lstrip("\ufeff \t\r\n")
    return not text or text[0] in "{["
