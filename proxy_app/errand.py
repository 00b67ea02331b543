"""What an engine is asked for on behalf of a client."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass

from proxy_app import untold
from proxy_app.incoming import Scope
from proxy_app.limits import Account
from proxy_app.lineup import Served
from proxy_app.presented_key import without_key
from proxy_app.reservation import Wish
from proxy_app.upstream import UpstreamTimeouts


@dataclass(slots=True)
class Errand:
    """One request as an engine is to get it, and what its answer is to become."""

    method: bytes
    target: bytes
    """Path and query at the engine."""
    headers: list[tuple[bytes, bytes]]
    """The client's own, as received."""
    body: bytes | AsyncIterable[bytes]
    timeouts: UpstreamTimeouts
    length: int = 0
    """Bytes of a body that comes in pieces."""
    asked_for: str = ""
    """The model's name as the client wrote it; empty: its id."""
    accounts: Sequence[Account] = ()
    """Of the key and its person, whose limits the answer tells; none without limits."""
    standing: bytes = b""
    """The lines that tell of them, if they are known before the answer."""
    wish: Wish | None = None
    """How much it asks for, if that was read of the body."""
    untold: int = 0
    """About how many tokens its prompt has, if the engine will not tell all (`untold.py`)."""
    edit: Callable[[bytes], bytes] | None = None
    """Changes a whole JSON answer; None passes it on as it comes."""


def errand_of(scope: Scope, target: bytes, body: bytes, served: Served) -> Errand:
    query = without_key(scope["query_string"])
    return Errand(
        scope["method"].encode(),
        target + b"?" + query if query else target,
        scope["headers"],
        body,
        served.timeouts,
        untold=untold.prompt_guess(body),
    )
