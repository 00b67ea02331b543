"""What is kept of a request that ended, as one row and one metric (pure)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from proxy_app.figures import Figures, read_figures
from proxy_app.records import Line

_LONGEST = 255


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

    @property
    def failed(self) -> bool:
        return self.status >= 400 or bool(self.error)


def entry_of(line: Line) -> Entry:
    """What is kept of an ended request."""
    figures = read_figures(line.figures)
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
    )


def metric_of(entry: Entry) -> dict[str, Any] | None:
    """The entry as the event stream's `metrics` has it; None for one without figures.

    There -1 stands for what the engine did not say, and the prompt's tokens are those it worked
    on where it tells them apart from those it remembered.
    """
    if entry.tokens_in is None and entry.tokens_out is None:
        return None
    timed = entry.prompt_ms is not None or entry.generation_ms is not None
    cached = entry.tokens_cached
    tokens_in = entry.tokens_in or 0
    return {
        "id": entry.number,
        "timestamp": datetime.fromtimestamp(entry.at, UTC).isoformat().replace("+00:00", "Z"),
        "model": entry.model,
        "cache_tokens": -1 if cached is None else cached,
        "input_tokens": max(0, tokens_in - (cached or 0)) if timed else tokens_in,
        "output_tokens": entry.tokens_out or 0,
        "prompt_per_second": _or_unknown(entry.prompt_per_second),
        "tokens_per_second": _or_unknown(entry.tokens_per_second),
        "duration_ms": int(_work_ms(entry)),
    }


def _work_ms(entry: Entry) -> float:
    if entry.prompt_ms is None and entry.generation_ms is None:
        return entry.total_ms
    return (entry.prompt_ms or 0) + (entry.generation_ms or 0)


def _speed(figures: Figures, line: Line) -> float | None:
    """Tokens per second of an engine that only counts them: from the first piece to the end."""
    if not figures.tokens_out or not line.streamed or line.first is None:
        return None
    seconds = line.total - line.first
    return round(figures.tokens_out / seconds, 3) if seconds > 0 else None


def _or_unknown(value: float | None) -> float:
    return -1 if value is None else value


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
