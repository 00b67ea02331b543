"""How a row is held by the worker that does its work, and taken up again when that one is gone.

The row decides who works on it. The broker only says that there is something to do: it may lose
the message or bring it twice. A worker keeps its hold by writing the time to the row; one that
dies leaves a row whose lease runs out, or whose owner is no longer a process of this machine.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Generic, TypeVar

from celery import current_app
from django.db import transaction
from django.db.models import Model
from kombu.exceptions import OperationalError as BrokerError

logger = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Model)

LEASE: Final = timedelta(seconds=30)
"""How long a worker may be silent. Reading one header takes a second at the very worst, but a
disk that has to wake up takes ten."""


class RunLost(Exception):
    """The row belongs to another worker by now, or was ended; this one must stop."""


class Leases(Generic[Row]):
    """The rows of one table with `status`, `owner` and `heartbeat_at`."""

    def __init__(self, model: type[Row], *, running: str) -> None:
        """`running` is the status of a row that is held."""
        self._rows: Any = model._default_manager  # of this node
        self._running = running

    def take(self, free: Any, owner: str, now: datetime, **values: Any) -> bool:
        """Let `owner` hold the one row that the query `free` gives, if it is still free."""
        return bool(
            free.update(status=self._running, owner=owner, heartbeat_at=now, **values),
        )

    def write(self, row: Any, **values: Any) -> None:
        """Write to a row while it is still its owner's. Raises `RunLost`."""
        mine = self._rows.filter(pk=row.pk, status=self._running, owner=row.owner)
        if not mine.update(**values):
            raise RunLost

    def abandoned(self, now: datetime) -> list[Row]:
        """Held rows whose owner was silent for a lease, or is gone from this machine."""
        held = self._rows.filter(status=self._running)
        return [row for row in held if row.heartbeat_at < now - LEASE or is_gone(row.owner)]


def this_worker() -> str:
    """A name to own one run under, new each time.

    Two threads of one process must not share it: one that wakes up after its lease would go on
    beside the other that took the run over.
    """
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def is_gone(owner: str) -> bool:
    """Whether an owner was a process of this machine that no longer exists."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdecimal():
        return False  # Of another machine or container: only its silence tells.
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def hand_over(task: str, *args: Any) -> None:
    """Tell the workers of a row once it is committed."""
    transaction.on_commit(partial(_send, task, args))


def _send(task: str, args: tuple[Any, ...]) -> None:
    try:
        current_app.send_task(task, args=list(args))
    except (BrokerError, OSError):
        # The row is there, so nothing is lost: the sweep sends it again.
        logger.warning("%s%s could not be handed to the workers yet.", task, args, exc_info=True)
