"""Reads a GGUF header's bytes forwards, within stated bounds, and names what goes wrong.

Nothing here trusts a length from the file: it is compared with the file's size and with the
bounds below before a byte is read or memory is taken for it.
"""

from __future__ import annotations

import re
import struct
from functools import cache
from typing import Final, Protocol

# A vocabulary of 262,144 tokens makes a header of 6.5 MB. These bounds leave room for merges and
# for a tokenizer's JSON beside it, and still end a hostile file within about a second.
MAX_HEADER_BYTES: Final = 256 * 1024 * 1024
MAX_WALKED_ITEMS: Final = 16 * 1024 * 1024  # strings and inner arrays stepped over, in one file
MAX_KEPT_BYTES: Final = 16 * 1024 * 1024  # text and numbers remembered, in one file
CHUNK_BYTES: Final = 1024 * 1024
# Every byte is read at most once, and only the last read goes past what was needed.
MAX_BYTES_READ: Final = MAX_HEADER_BYTES + CHUNK_BYTES


BLOCK: Final = 1024
"""Strings stepped over at once, where all are short."""
_SHORT: Final = 64  # bytes; nearly all tokens are shorter


@cache
def _short_strings(order: str) -> re.Pattern[bytes]:
    """A whole block of short strings, lengths included.

    Stepping over a vocabulary in C rather than in a loop takes a third off the time of a scan. The
    lengths stand in the order in which tokens have them most.
    """
    lengths = sorted(range(_SHORT), key=lambda length: abs(length - 6))
    spelled = (struct.pack(f"{order}Q", length) for length in lengths)
    strings = (re.escape(s) + b"." * n for s, n in zip(spelled, lengths, strict=True))
    return re.compile(b"(?:%s){%d}+" % (b"|".join(strings), BLOCK), re.DOTALL)


class GgufError(Exception):
    """A GGUF file that cannot be used. The text says what is wrong and at which byte.

    `offset` is that byte's position in the file, None where the file as a whole is meant.
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset:,})")
        self.offset = offset


class Unreadable(GgufError):
    """The operating system would not let us read the file, or it is not a regular file."""


class NotGguf(GgufError):
    """The file does not begin with the letters GGUF."""


class UnsupportedVersion(GgufError):
    """A GGUF version other than 2 and 3."""


class TruncatedHeader(GgufError):
    """The file ends inside its header."""


class TruncatedData(GgufError):
    """The header is whole, but the file ends before the last tensor does."""


class HeaderTooLarge(GgufError):
    """The header breaks one of the bounds of this module."""


class BadValue(GgufError):
    """A value that the format forbids."""


class Digest(Protocol):
    """What takes in bytes, such as a hash."""

    def update(self, data: bytes, /) -> None: ...


class Source(Protocol):
    """What a header is read from, such as a file opened in binary mode."""

    def seek(self, offset: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...


def shown(name: str) -> str:
    """A name from the file, fit for a message: quoted, escaped and at most 80 characters."""
    return ascii(name if len(name) <= 80 else name[:77] + "...")


class Cursor:
    """A position in a header that moves forwards only.

    `size` is the file's length in bytes. All methods raise `TruncatedHeader` when the file is too
    short and `HeaderTooLarge` when a bound would be broken.
    """

    def __init__(self, file: Source, size: int) -> None:
        self._file = file
        self._size = size
        self._buffer = b""
        self._base = 0  # where in the file the buffer begins
        self._at = 0  # the position inside the buffer, which may lie past its end
        self._walked = 0
        self._kept = 0
        self.use_byte_order("<")

    def use_byte_order(self, order: str) -> None:
        """Read numbers as little-endian ("<") or big-endian (">") from here on."""
        self.order = order
        self._u32 = struct.Struct(f"{order}I")
        self._u64 = struct.Struct(f"{order}Q")

    @property
    def offset(self) -> int:
        """Bytes from the start of the file to the position."""
        return self._base + self._at

    def require(self, count: int, what: str) -> None:
        """Check that `count` more bytes are in the file and within the header's bound."""
        end = self.offset + count
        if end > self._size:
            raise TruncatedHeader(
                f"the file ends after {self._size:,} bytes, but {what} needs {count:,} bytes more",
                self.offset,
            )
        if end > MAX_HEADER_BYTES:
            raise HeaderTooLarge(
                f"{what} would make the header larger than {MAX_HEADER_BYTES:,} bytes", self.offset
            )

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes."""
        self._fill(count, what)
        start = self._at
        self._at += count
        return self._buffer[start : self._at]

    def skip(self, count: int, what: str, digest: Digest | None = None) -> None:
        """Step over `count` bytes.

        What is not in memory yet is never read, unless a `digest` is to take it in.
        """
        self.require(count, what)
        if digest is None:
            self._at += count
            return
        while count:
            piece = self.take(min(count, CHUNK_BYTES), what)
            digest.update(piece)
            count -= len(piece)

    def u32(self, what: str) -> int:
        """The next four bytes as a number."""
        value: int = self._u32.unpack(self.take(4, what))[0]
        return value

    def u64(self, what: str) -> int:
        """The next eight bytes as a number."""
        value: int = self._u64.unpack(self.take(8, what))[0]
        return value

    def length(self, limit: int, what: str) -> int:
        """A count read from the file, at most `limit`."""
        at = self.offset
        value = self.u64(what)
        if value > limit:
            raise HeaderTooLarge(f"{what} says {value:,}, more than the {limit:,} allowed", at)
        return value

    def text(self, limit: int, what: str) -> str:
        """A string of at most `limit` bytes. Bytes that are not UTF-8 become U+FFFD."""
        count = self.length(limit, f"the length of {what}")
        self.require(count, what)
        return self.text_of(count, what)

    def text_of(self, count: int, what: str) -> str:
        """The next `count` bytes as a string that counts against `MAX_KEPT_BYTES`."""
        self.keep(count, what)
        return self.take(count, what).decode("utf-8", errors="replace")

    def keep(self, count: int, what: str) -> None:
        """Count `count` bytes that the caller will remember."""
        self._kept += count
        if self._kept > MAX_KEPT_BYTES:
            raise HeaderTooLarge(
                f"with {what} the header holds more than {MAX_KEPT_BYTES:,} bytes of values",
                self.offset,
            )

    def count_items(self, count: int, what: str) -> None:
        """Count `count` items that will be stepped over one by one."""
        self._walked += count
        if self._walked > MAX_WALKED_ITEMS:
            raise HeaderTooLarge(
                f"with {what} the header holds more than {MAX_WALKED_ITEMS:,} items", self.offset
            )

    def skip_strings(self, count: int, what: str, digest: Digest | None = None) -> None:
        """Step over `count` strings: each is its length in eight bytes, then its bytes."""
        self.count_items(count, what)
        self.require(8 * count, what)
        unpack_from, match = self._u64.unpack_from, _short_strings(self.order).match
        left = count
        while left:
            self._fill(8, what)
            buffer, at = self._buffer, self._at
            # The hot loop of a scan: a vocabulary has up to 262,144 strings.
            while left >= BLOCK and (block := match(buffer, at)):
                at = block.end()
                left -= BLOCK
            # One by one where a block has a long string or the buffer ends. A length that leads
            # past the buffer, however large, raises at the next turn and `skip` judges it.
            several = stepped = min(left, BLOCK)
            try:
                for stepped in range(several):  # noqa: B007
                    at += 8 + unpack_from(buffer, at)[0]
            except (struct.error, OverflowError):
                left -= stepped
            else:
                left -= several
            self.skip(at - self._at, what, digest)

    def _fill(self, count: int, what: str) -> None:
        """Have the next `count` bytes in the buffer."""
        self.require(count, what)
        buffered = len(self._buffer) - self._at
        if buffered >= count:
            return
        kept = self._buffer[self._at :]
        self._base, self._at = self.offset, 0
        end = self._base + len(kept)
        self._file.seek(end)
        wanted = min(max(count - len(kept), CHUNK_BYTES), self._size - end)
        self._buffer = kept + self._read(wanted)
        if len(self._buffer) < count:
            raise TruncatedHeader(f"the file became shorter while {what} was read", self.offset)

    def _read(self, count: int) -> bytes:
        parts = []
        while count and (part := self._file.read(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
