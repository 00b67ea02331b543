"""Slows down whoever tries passwords or keys (pure): after a few misses each further try waits.

What is counted is forgotten once it is old, and so is whoever gets it right.
"""

from __future__ import annotations

import ipaddress
from typing import Final

FORGET_SECONDS: Final = 900.0
LONGEST_WAIT: Final = 300.0
_MOST_REMEMBERED: Final = 10_000


def network_of(address: str) -> str:
    """What misses from an address are counted against: of IPv6, everybody has 2^64 of them."""
    try:
        number = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(number, ipaddress.IPv4Address):
        return address
    if number.ipv4_mapped is not None:
        return str(number.ipv4_mapped)
    return str(ipaddress.ip_network((number, 64), strict=False))


class Guesses:
    """Misses by whoever made them: an address, or the name that was tried."""

    def __init__(self, free: int) -> None:
        """`free` misses cost nothing; then the wait doubles from one second on."""
        self._free = free
        self._misses: dict[str, tuple[int, float]] = {}

    def wait(self, who: str, now: float) -> float:
        """Seconds until `who` may try again; 0: at once."""
        count, last = self._misses.get(who, (0, 0.0))
        if count < self._free or now - last >= FORGET_SECONDS:
            return 0.0
        pause = min(LONGEST_WAIT, 2.0 ** min(count - self._free, 16))
        return max(0.0, last + pause - now)

    def missed(self, who: str, now: float) -> None:
        """A try that was wrong."""
        count, last = self._misses.get(who, (0, 0.0))
        if now - last >= FORGET_SECONDS:
            count = 0
        if who not in self._misses and len(self._misses) >= _MOST_REMEMBERED:
            self._forget_old(now)
        self._misses[who] = (count + 1, now)

    def hit(self, who: str) -> None:
        """A try that was right."""
        self._misses.pop(who, None)

    def _forget_old(self, now: float) -> None:
        kept = {who: miss for who, miss in self._misses.items() if now - miss[1] < FORGET_SECONDS}
        # Many addresses at once are one attacker: then all of them begin anew, which costs less
        # than a memory that only grows.
        self._misses = kept if len(kept) < _MOST_REMEMBERED else {}
