"""What uses the database for a request that Django does not see."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")


async def asked(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` gives or raises, done in a thread.

    No request of Django's begins or ends there, so nobody else lets go of a connection that is
    broken: after one restart of PostgreSQL every later call would fail.
    """

    def do() -> T:
        for connection in connections.all(initialized_only=True):
            # In the middle of a transaction it belongs to whoever began that, in this very thread.
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
        return work(*args, **kwargs)

    return await sync_to_async(do)()
