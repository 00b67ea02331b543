"""Fetches one file: whole, verified, and under its name only then.

Pieces come over several connections (`crew`) into a stage (`stage`), while a follower hashes what
is whole from the beginning. A failure is tried again after a growing pause; what is here stays.

When the SHA-256 of the whole is wrong, pieces that the disk did not keep are fetched again first.
If there are none, every piece is fetched once more and its CRC-32 compared with the kept one;
those that differ are fetched until the whole agrees. There are at most four such rounds. So one
bad piece costs the file once more, and the worst case is a server that damages every piece anew
each time: five times the size of the file is fetched before the download fails as damaged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import requests

from downloads_app.crew import Crew
from downloads_app.follower import Follower
from downloads_app.halt import Stopped
from downloads_app.pacing import GIVE_UP_AFTER, Bandwidth, Speedometer, Width, pause
from downloads_app.pieces import PIECE_BYTES, Pieces
from downloads_app.remote import Remote, host_of, look
from downloads_app.single import fetch_in_one_go
from downloads_app.stage import Stage
from downloads_app.trouble import Kind, Trouble

ROUNDS = 4
"""How often what is wrong of a whole file is fetched again."""

WRONG_IN_ONE_GO = 3
"""How often a file may come whole but wrong from a server that gives no parts."""

LIES = 2
"""Wrong answers to requests for parts after which the file is asked for in one go."""

PROGRESS_BYTES = 1024 * 1024
"""What has to arrive for a failure not to count as one more in a row."""

TICK_SECONDS = 0.25
WIDEN_SECONDS = 2.0
"""How long a number of connections is watched before one more is tried."""

STALE = frozenset({Kind.CHANGED, Kind.SIGN_IN, Kind.FORBIDDEN, Kind.NOT_FOUND})
"""May only mean that the address behind the redirect has expired: it is asked for anew."""


class Phase(StrEnum):
    LOOKING = "looking"
    FETCHING = "fetching"
    WAITING = "waiting"
    VERIFYING = "verifying"
    MENDING = "mending"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a download stands."""

    phase: Phase
    done: int = 0
    """Bytes that are here."""
    size: int | None = None
    speed: float = 0.0
    """Bytes per second, over the newest seconds."""
    failures: int = 0
    """In all, those that were got over included."""
    note: str = ""
    """What happened last that a person should know."""
    connections: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """A file that is whole."""

    path: Path
    size: int
    sha256: str
    verified: bool
    """Whether somebody told its digest beforehand, and it was this one."""
    made: bool = True
    """False when the very file was there already."""
    adopted: Path | None = None
    """Where else on this machine it was taken from."""


Before = Callable[[Remote, str, int], Done | None]
"""Told what is known of the file (its SHA-256 or "") and the bytes that are staged; what it
returns is taken instead of fetching. It may raise Trouble and Stopped."""


@dataclass(slots=True)
class Order:
    """What to fetch, and how."""

    url: str
    target: Path
    key: str
    """Names the download's stage; the same key takes up what is there."""
    token: str = ""
    sha256: str = ""
    """What the whole must be; empty: what the hub says, if it says anything."""
    connections: int = 4
    """How many to begin with."""
    most_connections: int = 8
    """How many there may be as long as each further one makes it faster."""
    limits: Sequence[Bandwidth] = ()
    check: Callable[[Path], str] = field(default=lambda path: "")
    """Looks at the whole file before it gets its name; returns what is wrong with it, or ""."""
    before: Before = field(default=lambda remote, sha256, here: None)
    piece: int = PIECE_BYTES
    patience: float = 1.0
    """Pauses between tries are as long as this times the usual."""


class Transfer:
    """One download, run by one thread. `stopped` may be set from any other."""

    def __init__(
        self,
        order: Order,
        told: Callable[[Progress], None] = lambda progress: None,
        stopped: threading.Event | None = None,
        session: Callable[[], requests.Session] = requests.Session,
    ) -> None:
        self._order = order
        self._told = told
        self._stopped = stopped or threading.Event()
        self._session = session
        self._failures = 0
        self._in_a_row = 0
        self._lies = 0
        self._wrong = 0
        self._note = ""
        self._meter = Speedometer()
        self._now = Progress(Phase.LOOKING)

    def run(self) -> Done:
        """Fetch it. Raises Trouble when that cannot be done, Stopped when told to stop.

        In both cases what is here stays for the next time.
        """
        stage = Stage(self._order.target, self._order.key)
        try:
            return self._run(stage)
        except Trouble:
            if not stage.bytes_here():
                stage.remove()
            raise
        finally:
            stage.close()

    def _run(self, stage: Stage) -> Done:
        while True:
            try:
                self._tell(Phase.LOOKING)
                with closing(self._session()) as session:
                    remote = look(session, self._order.url, self._order.token)
                instead = self._order.before(
                    remote, self._order.sha256 or remote.sha256, stage.bytes_here()
                )
                if instead is not None:
                    stage.remove()
                    return instead
                if remote.ranges and remote.size is not None and self._lies < LIES:
                    return self._in_pieces(stage, remote, remote.size)
                return self._in_one_go(stage, remote)
            except Trouble as trouble:
                self._wait_after(trouble)

    # ---- In pieces -------------------------------------------------------------------------

    def _in_pieces(self, stage: Stage, remote: Remote, size: int) -> Done:
        about = {"size": size, "etag": remote.etag, "piece": self._order.piece}
        if not stage.resume(about):
            self._note = "The file changed on the server, so it is fetched from its beginning."
        stage.reserve(size)
        pieces = Pieces(size, stage.crcs, self._order.piece)
        wanted = self._order.sha256 or remote.sha256
        everything = False
        for _ in range(ROUNDS + 1):
            digest, differing = self._fetch_whole(stage, remote, pieces)
            if not wanted or digest == wanted:
                return self._done(stage, size, digest, verified=bool(wanted))
            if everything and not differing:
                break  # The server keeps to its wrong content.
            everything |= self._mend(stage, pieces, differing)
        stage.remove()
        raise Trouble(Kind.DAMAGED, _damaged(remote))

    def _fetch_whole(self, stage: Stage, remote: Remote, pieces: Pieces) -> tuple[str, set[int]]:
        """Returns the SHA-256, and which pieces came otherwise than they had before."""
        crew = Crew(
            remote,
            self._order.token,
            stage,
            pieces,
            stopped=self._stopped,
            limits=self._order.limits,
            session=self._session,
        )
        front = _Front(pieces)
        follower = Follower(stage.data, front)
        try:
            self._keep_at_it(crew, pieces, follower)
            self._tell(Phase.VERIFYING, done=pieces.size, size=pieces.size)
            return follower.finish(pieces.size), crew.differing
        finally:
            follower.close()

    def _keep_at_it(self, crew: Crew, pieces: Pieces, follower: Follower) -> None:
        width = Width(self._order.most_connections, self._order.connections)
        widen_at = time.monotonic() + WIDEN_SECONDS
        arrived = passed = 0

        def tick() -> None:
            nonlocal widen_at, arrived, passed
            follower.nudge()
            self._failures, passed = self._failures + crew.passed - passed, crew.passed
            if crew.received - arrived >= PROGRESS_BYTES:
                arrived, self._in_a_row = crew.received, 0
            speed = self._meter.note(time.monotonic(), crew.received)
            if time.monotonic() >= widen_at:
                width.measured(speed)
                widen_at = time.monotonic() + WIDEN_SECONDS
            self._tell(
                Phase.FETCHING,
                done=crew.here(),
                size=pieces.size,
                speed=speed,
                connections=width.wanted,
            )

        while not pieces.complete:
            try:
                crew.work(width, tick, every=TICK_SECONDS)
            except Trouble as trouble:
                tick()
                if trouble.kind in STALE:
                    self._lies += trouble.kind is Kind.CHANGED
                    raise Trouble(Kind.SERVER, trouble.message) from trouble
                if trouble.kind is Kind.BUSY:
                    width.refused()
                self._wait_after(trouble)

    def _mend(self, stage: Stage, pieces: Pieces, differing: set[int]) -> bool:
        """Have those pieces fetched again that may be wrong; whether that is every one."""
        self._tell(Phase.MENDING, done=pieces.size, size=pieces.size)
        spans = {n: (pieces.start(n), pieces.length(n)) for n in range(pieces.count)}
        suspects = differing or set(stage.damaged(spans))
        self._note = (
            f"The file is not what it should be: {len(suspects)} pieces are fetched again."
            if suspects
            else "The file is not what it should be; every piece is fetched again and compared."
        )
        pieces.forget(suspects or range(pieces.count))
        return not suspects

    # ---- Without pieces --------------------------------------------------------------------

    def _in_one_go(self, stage: Stage, remote: Remote) -> Done:
        """A server that gives no parts: from the beginning to the end, each time."""
        about: dict[str, Any] = {"size": remote.size, "etag": remote.etag, "piece": 0}
        stage.resume(about)
        stage.clear()
        if remote.size is not None:
            stage.reserve(remote.size)

        def received(count: int) -> None:
            speed = self._meter.note(time.monotonic(), count)
            self._tell(Phase.FETCHING, done=count, size=remote.size, speed=speed, connections=1)

        with closing(self._session()) as session:
            size, digest = fetch_in_one_go(
                session,
                remote,
                self._order.token,
                stage,
                self._stopped,
                self._order.limits,
                received,
            )
        wanted = self._order.sha256 or remote.sha256
        if wanted and digest != wanted:
            self._wrong += 1
            if self._wrong >= WRONG_IN_ONE_GO:
                stage.remove()
                raise Trouble(Kind.DAMAGED, _damaged(remote))
            raise Trouble(Kind.SERVER, f"What {host_of(remote.url)} sent is not the file.")
        return self._done(stage, size, digest, verified=bool(wanted))

    # ---- Both ------------------------------------------------------------------------------

    def _done(self, stage: Stage, size: int, digest: str, *, verified: bool) -> Done:
        problem = self._order.check(stage.folder / "data")
        if problem:
            stage.remove()
            raise Trouble(Kind.NOT_A_MODEL, problem)
        stage.flush()
        if self._stopped.is_set():
            raise Stopped  # Who cancels while a big file is flushed wants to see none of it.
        stage.finish()
        return Done(self._order.target, size, digest, verified)

    def _wait_after(self, trouble: Trouble) -> None:
        """Pause, then let it be tried again; raises `trouble` when that is of no use."""
        if self._stopped.is_set():
            raise Stopped  # A connection that was ended by us looks like one that was cut.
        self._failures += 1
        self._in_a_row += 1
        if trouble.lasting or self._in_a_row >= GIVE_UP_AFTER:
            raise trouble
        seconds = pause(self._in_a_row, trouble.wait)
        self._note = f"{trouble.message} It is tried again."
        self._tell(Phase.WAITING, done=self._now.done, size=self._now.size)
        if self._stopped.wait(seconds * self._order.patience):
            raise Stopped

    def _tell(self, phase: Phase, **values: Any) -> None:
        self._now = Progress(phase, failures=self._failures, note=self._note, **values)
        self._told(self._now)


class _Front:
    """How many bytes from the beginning of a file are here."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._next = 0

    def __call__(self) -> int:
        while self._next < self._pieces.count and self._pieces.has(self._next):
            self._next += 1
        return min(self._pieces.size, self._pieces.start(self._next))


def _damaged(remote: Remote) -> str:
    return (
        f"{host_of(remote.url)} sends another content than it promises: the SHA-256 stayed wrong "
        "after it was fetched again. What was received is thrown away. Try another source."
    )
