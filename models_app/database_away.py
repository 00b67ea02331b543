"""Whether something failed only because the database is away: then it is to be tried again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.db import InterfaceError, OperationalError

RETRY_SECONDS: Final = 5
"""When it is worth trying again."""

TEXT: Final = "The database does not answer. Models that are loaded are served on; try again soon."

_AWAY: Final = (OperationalError, InterfaceError)


def is_away(error: BaseException | None) -> bool:
    """Whether a lost database is what `error` is, or came of.

    One thing fails after another then: a transaction that cannot be rolled back hides the first.
    """
    return any(isinstance(one, _AWAY) for one in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
