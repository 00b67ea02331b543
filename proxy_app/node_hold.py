"""One server per node: the name's row in the database, held by the home folder whose server runs.

The lock on a home keeps two servers out of one folder. This keeps servers of two folders, most
often on two machines, from taking each other's folders and engines for their own.
"""

from __future__ import annotations

import logging
import re
import secrets
import socket
from datetime import datetime
from pathlib import Path
from typing import Final

from django.db import transaction
from django.utils import timezone

from models_app import nodes
from models_app.models import Node

logger = logging.getLogger(__name__)

_ID: Final = re.compile(r"[0-9a-f]{32}")


class NodeInUse(Exception):
    """Another home's server goes by this node's name."""


class NodeHold:
    """A home's hold on the name of its node. Kept by `keep`, called every few seconds."""

    def __init__(self, home: Path, node: str) -> None:
        self._home = home
        self._node = node
        self._lost = False

    def take(self, now: datetime | None = None) -> bool:
        """Go by the name from now on; whether nobody ever did. Raises NodeInUse."""
        now = now or timezone.now()
        with transaction.atomic():
            _, is_new = Node.objects.get_or_create(name=self._node, defaults=self._values(now))
            row = Node.objects.select_for_update().get(name=self._node)
            if not nodes.may_hold(nodes.Holder(row.home, row.seen_at), self._id(), now):
                raise NodeInUse(
                    f"A server with another home folder, on {row.host}, goes by the node's name "
                    f"“{self._node}” in this database. Give this one a name of its own by "
                    "CLARACORE_NODE, or stop the other one. If it is gone already, start again "
                    f"in {nodes.HOLD.total_seconds():.0f} seconds."
                )
            Node.objects.filter(pk=row.pk).update(**self._values(now))
        return is_new

    def keep(self, now: datetime | None = None) -> None:
        """Say that this server is still there, and in the log when the name is another's now."""
        ours = Node.objects.filter(name=self._node, home=self._id())
        lost = not ours.update(seen_at=now or timezone.now())
        if lost and not self._lost:
            logger.error(
                "The node “%s” is another server's by now. Stop one of the two, or give it "
                "another CLARACORE_NODE: they take each other's folders for their own.",
                self._node,
            )
        self._lost = lost

    def give_back(self) -> None:
        """Let another home's server have the name at once."""
        Node.objects.filter(name=self._node, home=self._id()).update(seen_at=None)

    def _values(self, now: datetime) -> dict[str, object]:
        return {"home": self._id(), "host": socket.gethostname()[:255], "seen_at": now}

    def _id(self) -> str:
        """What tells this home from others, wherever its machine's name changes (containers)."""
        file = self._home / "home_id"
        try:
            known = file.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            known = ""
        if not _ID.fullmatch(known):  # also when the power went while it was written
            known = secrets.token_hex(16)
            file.write_text(known + "\n", encoding="ascii")
        return known
