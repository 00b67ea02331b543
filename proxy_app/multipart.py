"""Finds one short field of a multipart form while its bytes stream by (RFC 7578; pure).

Nothing but the field itself and the head of the current part is kept, so a form may hold files of
any size.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from proxy_app.errors import InvalidRequest

LONGEST_PART_HEAD = 16 * 1024
LONGEST_VALUE = 4096
_LONGEST_BOUNDARY = 70
_LONGEST_PADDING = 256

_BOUNDARY = re.compile(rb'boundary=(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)
_FIELD = re.compile(rb'[;\s]name=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)


class _State(Enum):
    DATA = auto()
    """Between delimiters: a part's content, or what stands before the first."""
    DELIMITER = auto()
    """Behind a delimiter: the end of the form, or of the line."""
    HEAD = auto()
    END = auto()


_FORM: Final = b"multipart/form-data"


def is_form(content_type: bytes) -> bool:
    """Whether a body is a form. Raises InvalidRequest where an engine may not take it for one.

    llama-server knows it by small letters. What it reads as JSON instead has to be judged as that.
    """
    if not content_type.lower().startswith(_FORM):
        return False
    if not content_type.startswith(_FORM):
        raise InvalidRequest("Write the Content-Type multipart/form-data in small letters.")
    return True


def boundary_of(content_type: bytes) -> bytes:
    """The boundary that a multipart/form-data Content-Type names. Raises InvalidRequest."""
    found = _BOUNDARY.search(content_type)
    boundary = (found[1] or found[2] or b"") if found else b""
    if not 1 <= len(boundary) <= _LONGEST_BOUNDARY or not boundary.isascii():
        raise InvalidRequest(
            "The Content-Type says multipart/form-data but names no usable boundary."
        )
    return boundary


class FieldFinder:
    """Feed it the form; afterwards `value` is the field's content and `span` where it stands."""

    def __init__(self, boundary: bytes, name: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._name = name
        # The first delimiter needs no line break before it.
        self._rest = b"\r\n"
        self._offset = -2
        """Where `_rest` begins in the form."""
        self._state = _State.DATA
        self._wanted_from: int | None = None
        """Where the field's content begins, while inside it."""
        self._kept = b""
        self.value: bytes | None = None
        self.span = (0, 0)

    def feed(self, data: bytes) -> None:
        """Raises InvalidRequest for what is no form, or a form that names the field twice."""
        self._rest += data
        while self._step():
            pass

    def end(self) -> None:
        """The form is over. Raises InvalidRequest when it broke off."""
        if self._state is not _State.END:
            raise InvalidRequest("The form breaks off: its last boundary is missing.")

    def _step(self) -> bool:
        """Go over one delimiter, line or head; False when more is needed for that."""
        match self._state:
            case _State.DATA:
                return self._data()
            case _State.DELIMITER:
                return self._after_delimiter()
            case _State.HEAD:
                return self._head()
        self._drop(len(self._rest))
        return False

    def _data(self) -> bool:
        found = self._rest.find(self._delimiter)
        # A delimiter may have begun at the end of what is here.
        size = found if found >= 0 else len(self._rest) - len(self._delimiter) + 1
        if size > 0 and self._wanted_from is not None:
            self._kept += self._rest[:size]
            if len(self._kept) > LONGEST_VALUE:
                raise InvalidRequest(
                    f"The form field '{self._name.decode()}' is longer than {LONGEST_VALUE} bytes.",
                    param=self._name.decode(),
                )
        self._drop(max(size, 0))
        if found < 0:
            return False
        if self._wanted_from is not None:
            self.value, self.span = self._kept, (self._wanted_from, self._offset)
            self._wanted_from = None
        self._drop(len(self._delimiter))
        self._state = _State.DELIMITER
        return True

    def _after_delimiter(self) -> bool:
        padded = self._rest.lstrip(b" \t")
        if len(self._rest) - len(padded) > _LONGEST_PADDING:
            raise InvalidRequest("The form cannot be read: a boundary's line does not end.")
        if len(padded) < 2:
            return False
        if padded.startswith(b"--"):
            self._state = _State.END
        elif padded.startswith(b"\r\n"):
            # The line break stays: a head may be empty, and ends with two of them.
            self._drop(len(self._rest) - len(padded))
            self._state = _State.HEAD
        else:
            # Parsers disagree about this, and the engine's must see the model that ours sees.
            raise InvalidRequest("The form cannot be read: its boundary occurs inside a part.")
        return True

    def _head(self) -> bool:
        end = self._rest.find(b"\r\n\r\n")
        if end < 0:
            if len(self._rest) > LONGEST_PART_HEAD:
                raise InvalidRequest("The form cannot be read: the head of a part is too long.")
            return False
        head = self._rest[:end]
        self._drop(end + 4)
        self._state = _State.DATA
        if _field_name(head) == self._name:
            if self.value is not None:
                raise InvalidRequest(
                    f"The form names the field '{self._name.decode()}' twice.",
                    param=self._name.decode(),
                )
            self._wanted_from, self._kept = self._offset, b""
        return True

    def _drop(self, size: int) -> None:
        self._rest = self._rest[size:]
        self._offset += size


def _field_name(head: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        if line[:20].lower() == b"content-disposition:":
            found = _FIELD.search(line)
            if found:
                return found[1] if found[1] is not None else found[2]
    return b""
