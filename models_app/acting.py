"""On whose behalf the code at hand acts.

Commands, workers and hand edits are the machine's owner, who may everything; requests say
otherwise. What has to ask who wants something deep below a view asks here, so that no view on the
way can forget to pass it on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from models_app.rights import LOCAL, Rights

_ACTING: ContextVar[Rights] = ContextVar("claracore_acting", default=LOCAL)


def rights() -> Rights:
    """What whoever acts may do."""
    return _ACTING.get()


@contextmanager
def on_behalf_of(rights: Rights) -> Iterator[None]:
    """Within the block these rights count."""
    token = _ACTING.set(rights)
    try:
        yield
    finally:
        _ACTING.reset(token)
