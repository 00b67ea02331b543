"""Which node this is, and whose a row is. Nothing here reads or writes anything.

A node is one host: its folders, its engines, and the worker that fetches files for it. Several of
them may share a database and a Redis; each keeps to what carries its own name (CLARACORE_NODE).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings

DEFAULT: Final = "main"
"""The node of whoever names none, and of every row from before there were nodes."""

LONGEST: Final = 63
HOLD: Final = timedelta(seconds=60)
"""How long a server that is silent keeps its node's name from another home's server."""

_NAME: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST}}}")


def this_node() -> str:
    """The name of the node that this process belongs to."""
    name: str = settings.CLARACORE_NODE
    return name


def is_name(text: str) -> bool:
    """Whether a node may be called so."""
    return _NAME.fullmatch(text) is not None


def is_ours(node: str, here: str) -> bool:
    """Whether what belongs to `node` may be served, fetched, changed or ended by node `here`.

    Names are compared letter by letter, as the database does.
    """
    return node == here


def queue_of(queue: str, node: str) -> str:
    """The name of a node's own `queue`. The first node's is what it was before there were nodes.

    The broker that keeps files takes letters, digits, `.`, `_` and `-` only.
    """
    return queue if node == DEFAULT else f"{queue}-{node}"


@dataclass(frozen=True, slots=True)
class Holder:
    """The home whose server goes by a node's name, and when it last said so (None: it stopped)."""

    home: str
    seen_at: datetime | None


def may_hold(holder: Holder | None, home: str, now: datetime) -> bool:
    """Whether the server of `home` may go by a name that `holder` has.

    1. Nobody has it. 2. It is the same home: one server at a time is seen to by its lock.
    3. The other one stopped, or has been silent for `HOLD`.
    """
    if holder is None or holder.home == home:
        return True
    return holder.seen_at is None or holder.seen_at <= now - HOLD
