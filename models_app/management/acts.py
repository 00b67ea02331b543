"""What is done on the console is in the audit log, as what is done on pages is."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from models_app import audit
from models_app.rights import EVERYTHING, Rights


def console() -> Rights:
    """Whoever runs a command on this machine may do everything anyway."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "somebody"
    return Rights(0, f"{name} on the console", EVERYTHING)


@contextmanager
def written_down(kind: str, what: str) -> Iterator[None]:
    """Write down what the block changes, before and after, or that it was done if that is all.

    What raises was not done.
    """
    before = audit.state()
    yield
    if not audit.note_changes(before, what, console()):
        audit.note(kind, what, console())
