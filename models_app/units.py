"""Sizes, counts and times as people read them."""

from __future__ import annotations

from typing import Final

_BINARY: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL: Final = ("", "K", "M", "B", "T")
_DECIMAL_BYTES: Final = ("B", "KB", "MB", "GB", "TB", "PB")


def binary_size(count: int) -> str:
    """A number of bytes such as "253.1 MiB"; whole below 1 KiB."""
    if count < 1024:
        return f"{count} bytes"
    amount = float(count)
    power = 0
    while amount >= 1023.95 and power < len(_BINARY) - 1:
        amount /= 1024
        power += 1
    return f"{amount:.1f} {_BINARY[power]}"


def short_count(count: int) -> str:
    """A number as model names have it: "268M", "3.2B", "31"."""
    amount = float(count)
    power = 0
    while amount >= 999.5 and power < len(_DECIMAL) - 1:
        amount /= 1000
        power += 1
    digits = 1 if amount < 99.95 and power else 0
    return f"{amount:.{digits}f}".removesuffix(".0") + _DECIMAL[power]


def decimal_size(count: int) -> str:
    """A number of bytes as sellers of disks count: "2.1GB", "253.1MB", "31KB", "12B"."""
    amount = float(count)
    power = 0
    while amount >= 999.95 and power < len(_DECIMAL_BYTES) - 1:
        amount /= 1000
        power += 1
    digits = 1 if power > 1 else 0
    return f"{amount:.{digits}f}{_DECIMAL_BYTES[power]}"
