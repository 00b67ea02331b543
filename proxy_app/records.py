"""The story of one request: when it came, waited, was answered and ended.

A record is filled on the request's way, so everything here is an assignment. What it means is
worked out afterwards, elsewhere (`entries.py`).
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from models_app.rights import Rights
from proxy_app import request_ids
from proxy_app.figures import cut

if TYPE_CHECKING:
    from proxy_app.keys import Caller

CLIENT_LEFT = 499
"""The status of a request whose client left before the end, as nginx writes it."""

PIECES_KEPT = 8
"""The newest pieces of an answer that are kept, for the figures at its end."""

LONGEST_PATH = 255
"""Characters of a path that are kept of a request."""

Clocks = tuple[float, float]
"""One moment by `time.monotonic` and by `time.time`."""

_now = time.monotonic


class Record:
    """One request. Times are monotonic seconds; None: not reached.

    What most records have alike is the class's until it changes: each begins with few assignments.
    """

    whose: Caller | None = None
    """Who sent it."""
    key_id = 0
    person_id = 0
    cancel: Callable[[], object] | None = None
    """Ends the work on it; what is said to the client then is not this one's to decide."""
    taken_back = False
    """Whether somebody cancelled it here, not the client."""
    granted: float | None = None
    loading = 0.0
    engine_mark: float | None = None
    engine_seconds = 0.0
    gpus = 0
    first: float | None = None
    ended: float | None = None
    status = 0
    error = ""
    streamed = False
    complete = False
    """Whether the last piece has come."""
    size = 0
    untold = 0
    asked = 0
    pieces = 0
    head = b""
    _newest: deque[bytes] | None = None
    """The newest pieces, if there was more than one."""

    def __init__(
        self,
        number: int,
        path: str,
        asked_for: str,
        model: str,
        client: str,
        clocks: Clocks | None = None,
    ) -> None:
        """`clocks` is when it came, if somebody has read them; None: now."""
        self.id = number
        self.request_id = request_ids.ours(number)
        """What the client and the engine know it by."""
        self.arrived, self.at = clocks or (_now(), time.time())
        self.path = path
        self.asked_for = asked_for
        self.model = model
        self.client = client

    def answered(self, status: int, *, streamed: bool) -> None:
        """The head of the answer has come."""
        self.status = status
        self.streamed = streamed

    def is_of(self, rights: Rights) -> bool:
        """Whether it was sent with this key, or by this person."""
        same_person = rights.person_id > 0 and rights.person_id == self.person_id
        return same_person or (self.key_id, self.person_id) == (rights.key_id, rights.person_id)

    def take_back(self) -> bool:
        """Have it end now, with an error for its client; False when it has ended already."""
        if self.cancel is None or self.taken_back:
            return False
        self.taken_back = True
        self.cancel()
        return True

    def piece(self, data: bytes) -> None:
        """A piece of the answer has come."""
        if self.first is None:
            if not data:
                return
            self.first = _now()
            self.head = data
        elif self._newest is None:
            self._newest = deque((self.head, data), maxlen=PIECES_KEPT)
        else:
            self._newest.append(data)
        self.size += len(data)
        # Fast engines send several events at once.
        self.pieces += (self.streamed and data.count(b"\n\n")) or 1

    @property
    def tail(self) -> bytes:
        """The end of the answer."""
        return self.head if self._newest is None else b"".join(self._newest)

    @property
    def phase(self) -> str:
        """Where it is now: waiting, working (no answer yet), answering or ended."""
        if self.ended is not None:
            return "ended"
        if self.first is not None:
            return "answering"
        return "waiting" if self.granted is None else "working"


class Line(msgspec.Struct, frozen=True, array_like=True):
    """An ended request as it is written down at once, with nothing worked out yet.

    Times are in seconds since the request came, but `at`: seconds since 1970.
    """

    at: float
    number: int
    model: str
    path: str
    key_id: int
    person_id: int
    status: int
    error: str
    streamed: bool
    granted: float
    """When it was let through, or when it ended without."""
    loading: float
    """How much of that was its model being loaded."""
    first: float | None
    total: float
    engine_seconds: float
    gpus: int
    figures: str
    """What the engine said of its work, as it came (`figures.py`)."""
    request_id: str = ""
    """Lines of earlier versions end before it."""
    pieces: int = 0
    """How many events the answer held, if it was a stream; else in how many pieces it came."""
    size: int = 0
    """Bytes of the answer."""
    untold: int = 0
    """About how many tokens the prompt has, if the engine did not tell all; else 0."""
    asked: int = 0
    """Bytes of the request."""

    @property
    def ended_early(self) -> bool:
        """Whether an answer had begun and did not come to its end."""
        return self.first is not None and (self.status == CLIENT_LEFT or bool(self.error))


def line_of(record: Record) -> Line:
    """What is written down of an ended record."""
    ended = record.ended if record.ended is not None else record.arrived
    arrived = record.arrived
    return Line(
        record.at,
        record.id,
        record.model,
        record.path[:LONGEST_PATH],
        record.key_id,
        record.person_id,
        record.status,
        record.error,
        record.streamed,
        (ended if record.granted is None else record.granted) - arrived,
        record.loading,
        None if record.first is None else record.first - arrived,
        ended - arrived,
        record.engine_seconds,
        record.gpus,
        cut(record.head, record.tail).decode(errors="replace"),
        record.request_id.decode(),
        record.pieces,
        record.size,
        record.untold,
        record.asked,
    )


class Records:
    """The requests under way, and who is told when one ended."""

    def __init__(self, on_end: Callable[[Record], None]) -> None:
        self._numbers = itertools.count()
        self._on_end = on_end
        self.live: dict[int, Record] = {}

    def number_from(self, first: int) -> None:
        """Where the numbers of requests begin."""
        self._numbers = itertools.count(first)

    def begin(
        self,
        path: str,
        asked_for: str,
        model: str,
        client: str = "",
        clocks: Clocks | None = None,
    ) -> Record:
        """A request for a model has come; `clocks` as `Record`."""
        record = Record(next(self._numbers), path, asked_for, model, client, clocks)
        self.live[record.id] = record
        return record

    def forget(self, record: Record) -> None:
        """It did not begin; somebody else begins it."""
        self.live.pop(record.id, None)

    def end(self, record: Record) -> None:
        """It ended, however."""
        record.ended = _now()
        record.cancel = None
        self.live.pop(record.id, None)
        self._on_end(record)
