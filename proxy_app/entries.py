"""What is kept of a request that ended, as one row and one metric (pure)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from proxy_app.figures import Figures, read_figures, totals_told
from proxy_app.paths import generates, reads
from proxy_app.records import CLIENT_LEFT, Line
from proxy_app.reservation import BYTES_A_TOKEN, MOST_OF_PROMPT

logger = logging.getLogger(__name__)

_LONGEST = 255

MOST_TOLD: Final = 10**12
"""Tokens that a request counts for at most, whatever its engine says."""

Metric = dict[str, Any]
"""As `metrics` events and `/api/metrics` have it."""


class Entry(msgspec.Struct, frozen=True):
    """One ended request. Milliseconds and tokens; None: unknown."""

    at: float
    """Seconds since 1970."""
    model: str
    path: str
    number: int = 0
    key_id: int = 0
    person_id: int = 0
    status: int = 0
    error: str = ""
    streamed: bool = False
    tokens_in: int | None = None
    tokens_cached: int | None = None
    tokens_out: int | None = None
    prompt_per_second: float | None = None
    tokens_per_second: float | None = None
    queue_ms: float = 0
    load_ms: float = 0
    first_ms: float | None = None
    prompt_ms: float | None = None
    generation_ms: float | None = None
    total_ms: float = 0
    engine_seconds: float = 0
    gpu_seconds: float = 0
    request_id: str = ""

    @property
    def stopped(self) -> bool:
        """Whether the client had enough of it before its end."""
        return self.status == CLIENT_LEFT

    @property
    def failed(self) -> bool:
        return not self.stopped and (self.status >= 400 or bool(self.error))


def figures_of(line: Line) -> Figures:
    """What the engine said; of a stream that ended early, which says nothing, what came of it.

    Such a stream comes about a token a piece. Were they not counted, who leaves before the end
    would use as much as they like of a quota. The same goes for what is `untold`, and for what an
    engine says nothing of where it always does.
    """
    figures = read_figures(line.figures)
    into, out = _tokens(figures, line)
    return msgspec.structs.replace(
        figures, tokens_in=into or figures.tokens_in, tokens_out=out or figures.tokens_out
    )


def tokens_of(lines: Sequence[Line]) -> list[int]:
    """All tokens of the same, which limits count: for every request, so it takes little time."""
    totals = totals_told([line.figures for line in lines])
    for place, line in enumerate(lines):
        if (
            not 0 < totals[place] <= MOST_TOLD
            or line.untold
            or line.error
            or line.status == CLIENT_LEFT
        ):
            totals[place] = _read_anew(line)
    return totals


def _read_anew(line: Line) -> int:
    try:
        into, out = _tokens(read_figures(line.figures), line)
    except Exception:  # One request must not keep the others from being charged.
        logger.exception("What a request used could not be counted.")
        return 0
    return min(into + out, MOST_TOLD)


def _tokens(figures: Figures, line: Line) -> tuple[int, int]:
    """Tokens of the prompt and of the answer; 0 where nobody knows."""
    into, out = figures.tokens_in or 0, figures.tokens_out or 0
    if not _is_answered(line):
        return into, out
    guessed = line.untold or line.ended_early or not into + out
    if line.untold:
        into = max(into, line.untold)
    elif guessed and not into and reads(line.path):
        # Pictures make bodies long and take few tokens.
        into = min(line.asked // BYTES_A_TOKEN, MOST_OF_PROMPT)
    if guessed and generates(line.path):
        # A stream comes about a token an event.
        out = max(out, line.pieces if line.streamed else line.size // BYTES_A_TOKEN)
    return into, out


def _is_answered(line: Line) -> bool:
    return line.streamed or line.status == 200


def entry_of(line: Line) -> Entry:
    """What is kept of an ended request."""
    figures = figures_of(line)
    return Entry(
        at=line.at,
        number=line.number,
        model=line.model[:_LONGEST],
        path=line.path[:_LONGEST],
        key_id=line.key_id,
        person_id=line.person_id,
        status=line.status,
        error=line.error[:_LONGEST],
        streamed=line.streamed,
        tokens_in=figures.tokens_in,
        tokens_cached=figures.tokens_cached,
        tokens_out=figures.tokens_out,
        prompt_per_second=figures.prompt_per_second,
        tokens_per_second=figures.tokens_per_second or _speed(figures, line),
        queue_ms=_ms(max(0.0, line.granted - line.loading)),
        load_ms=_ms(line.loading),
        first_ms=None if line.first is None else _ms(line.first),
        prompt_ms=figures.prompt_ms,
        generation_ms=figures.generation_ms,
        total_ms=_ms(line.total),
        engine_seconds=round(line.engine_seconds, 6),
        gpu_seconds=round(line.engine_seconds * line.gpus, 6),
        request_id=line.request_id.replace("\0", ""),  # which PostgreSQL takes in no text
    )


def metric_of(entry: Entry) -> Metric | None:
    """The entry as the event stream's `metrics` has it; None for one without figures.

    There -1 stands for what the engine did not say, and the prompt's tokens are those it worked
    on where it tells them apart from those it remembered.
    """
    speed, total_ms = entry.tokens_per_second, entry.total_ms
    return _metric(entry, entry.number, entry.at, entry.model, speed, total_ms)


def metric_of_line(line: Line) -> Metric | None:
    """The same of a request that just ended, without the rest of its entry.

    Those who listen have this done for every request, so it should take little time.
    """
    figures = figures_of(line)
    speed = figures.tokens_per_second or _speed(figures, line)
    return _metric(figures, line.number, line.at, line.model, speed, line.total * 1000)


def _metric(
    said: Entry | Figures, number: int, at: float, model: str, speed: float | None, total_ms: float
) -> Metric | None:
    tokens_in, cached = said.tokens_in, said.tokens_cached
    if tokens_in is None and said.tokens_out is None:
        return None
    prompt_ms, generation_ms = said.prompt_ms, said.generation_ms
    tokens_in = tokens_in or 0
    if prompt_ms is not None or generation_ms is not None:
        total_ms = (prompt_ms or 0) + (generation_ms or 0)
        tokens_in = max(0, tokens_in - (cached or 0))
    read_speed = said.prompt_per_second
    return {
        "id": number,
        "timestamp": _moment(at),
        "model": model,
        "cache_tokens": -1 if cached is None else cached,
        "input_tokens": tokens_in,
        "output_tokens": said.tokens_out or 0,
        "prompt_per_second": -1 if read_speed is None else read_speed,
        "tokens_per_second": -1 if speed is None else speed,
        "duration_ms": int(total_ms),
    }


def _moment(at: float) -> str:
    """In the world's time, to the microsecond: `2026-01-02T03:04:05.000006Z`."""
    second, micros = divmod(int(at * 1e6), 1_000_000)
    return f"{_second(second)}.{micros:06d}Z"


@lru_cache(maxsize=8)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()[:-6]


def _speed(figures: Figures, line: Line) -> float | None:
    """Tokens per second of an engine that only counts them: from the first piece to the end."""
    if not figures.tokens_out or not line.streamed or line.first is None:
        return None
    seconds = line.total - line.first
    return round(figures.tokens_out / seconds, 3) if seconds > 0 else None


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
