"""What an engine says of its work at the end of an answer: tokens and times (pure).

An answer is never kept whole for this. Its first and its last pieces are enough: event streams end
with the figures, and a long JSON answer has them before or after its data. On the request's way
the figures are only cut out, without a word of what the model wrote; reading them comes later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import msgspec

LONGEST_END = 32 * 1024
"""Bytes of an answer's beginning and end that are searched."""

_DECODER = json.JSONDecoder()

# An object and the objects directly in it, as "usage" has its details.
_OBJECT = re.compile(rb"\s*:\s*\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")


class Figures(msgspec.Struct, frozen=True):
    """One answer's figures. None: the engine did not say."""

    tokens_in: int | None = None
    """Tokens of the prompt, those taken from the prompt cache included."""
    tokens_cached: int | None = None
    tokens_out: int | None = None
    prompt_ms: float | None = None
    generation_ms: float | None = None
    prompt_per_second: float | None = None
    tokens_per_second: float | None = None

    @property
    def tokens_processed(self) -> int | None:
        """Tokens of the prompt that the engine worked on."""
        if self.tokens_in is None:
            return None
        return max(0, self.tokens_in - (self.tokens_cached or 0))


NOTHING = Figures()

_Count = Annotated[int, msgspec.Meta(ge=0)] | None
_Number = Annotated[float, msgspec.Meta(ge=0)] | None


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: _Count = None


class _Usage(msgspec.Struct, frozen=True):
    """OpenAI's names and Anthropic's."""

    prompt_tokens: _Count = None
    input_tokens: _Count = None
    completion_tokens: _Count = None
    output_tokens: _Count = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    cache_read_input_tokens: _Count = None


class _Timings(msgspec.Struct, frozen=True):
    """llama-server's own."""

    cache_n: _Count = None
    prompt_n: _Count = None
    predicted_n: _Count = None
    prompt_ms: _Number = None
    predicted_ms: _Number = None
    prompt_per_second: _Number = None
    predicted_per_second: _Number = None


class _Said(msgspec.Struct, frozen=True):
    usage: _Usage = _Usage()
    timings: _Timings = _Timings()


_UNTOLD: Final = -(2**62)
_Tokens = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]


class _Counted(msgspec.Struct, frozen=True, gc=False):
    """All that it takes to add up tokens, of an engine that counts them as OpenAI does."""

    prompt_tokens: _Tokens = _UNTOLD
    completion_tokens: _Tokens = _UNTOLD
    cache_read_input_tokens: _Count = None


class _SaidInFull(msgspec.Struct, frozen=True, gc=False):
    usage: _Counted = _Counted()


_decode: Final = msgspec.json.Decoder(_Said).decode
_decode_counted: Final = msgspec.json.Decoder(_SaidInFull).decode_lines


def cut(head: bytes, tail: bytes) -> bytes:
    """The text of the figures in the first and last pieces of an answer; empty without any.

    `usage` counts what the client is told (OpenAI's and Anthropic's names), `timings` is
    llama-server's own and has the times. Inside a JSON text a quote is escaped, so that nothing a
    model writes looks like a key.
    """
    found = []
    end = tail[-LONGEST_END:]
    begins_elsewhere = tail is not head or len(head) > LONGEST_END
    for key in (b'"usage"', b'"timings"'):
        if begins_elsewhere and (piece := _piece(head[:LONGEST_END], key)):
            found.append(piece)
        if piece := _piece(end, key):
            found.append(piece)
    return b"\n".join(found)


def _piece(text: bytes, key: bytes) -> bytes:
    at = text.rfind(key)
    if at < 0:
        return b""
    after = at + len(key)
    begin = text.find(b"{", after)
    end = text.find(b"}", begin)
    # Every request comes by here, and most objects hold no other: no pattern is needed for these.
    if 0 <= begin < end and text.find(b"{", begin + 1, end) < 0:
        return text[at : end + 1] if text[after:begin].strip() == b":" else b""
    match = _OBJECT.match(text, after)
    return text[at : match.end()] if match else b""


def read_figures(text: str) -> Figures:
    """The figures in what `cut` found."""
    if not text:
        return NOTHING
    said = _read_at_once(text)
    if said is not None:
        return _figures_of(said.usage, said.timings)
    usage: dict[str, Any] = {}
    for found in _objects(text, "usage"):
        usage.update(found)  # Anthropic counts in two messages.
    timings: dict[str, Any] = {}
    for found in _objects(text, "timings"):
        timings = found
    return _figures(usage, timings)


def totals_told(texts: Sequence[str]) -> list[int]:
    """All tokens of each, where engines count them as OpenAI does; below 0 takes a longer look.

    Read in one go, a text takes a third of the time. What is read of one is the same whatever
    stands beside it: each is a line, and a line break in the midst of an object or a list is an
    error. So none reaches into the next, and what ends early can only make more of them. Then each
    is read alone.
    """
    text = "\0".join(texts)
    told: list[_SaidInFull] = []
    if text.count("\0") == len(texts) - 1:
        text = text.replace("\n", ",").replace("\0", "}\n{")
        with suppress(msgspec.MsgspecError, ValueError, RecursionError):
            told = _decode_counted("{" + text + "}")
    if len(told) != len(texts):
        if len(texts) < 2:
            return [_UNTOLD] * len(texts)
        return [total for one in texts for total in totals_told((one,))]
    # What is not told is that low, so that no sum with it is anything else.
    return [
        usage.prompt_tokens + usage.completion_tokens
        if usage.cache_read_input_tokens is None
        else _UNTOLD
        for said in told
        for usage in (said.usage,)
    ]


def _read_at_once(text: str) -> _Said | None:
    """Usage and timings of the usual text, one object each on its line; None when it is another.

    Listeners to events have this done for every request, so it should take little time.
    """
    if text.count('"usage"') > 1 or text.count('"timings"') > 1:
        return None
    try:
        return _decode("{" + text.replace("\n", ",") + "}")
    except (msgspec.DecodeError, RecursionError):  # Or it says what cannot be, as a count below 0.
        return None


def _figures_of(usage: _Usage, timings: _Timings) -> Figures:
    """As `_figures`, from what is checked already."""
    details = usage.prompt_tokens_details or usage.input_tokens_details
    cached = details.cached_tokens if details else None
    if cached is None:
        cached = _first(usage.cache_read_input_tokens, timings.cache_n)
    tokens_in = _first(usage.prompt_tokens, usage.input_tokens)
    if tokens_in is not None and usage.cache_read_input_tokens is not None:
        tokens_in += usage.cache_read_input_tokens  # Anthropic counts them apart.
    if tokens_in is None and timings.prompt_n is not None:
        tokens_in = timings.prompt_n + (cached or 0)
    tokens_out = _first(usage.completion_tokens, usage.output_tokens)
    return Figures(
        tokens_in,
        cached,
        timings.predicted_n if tokens_out is None else tokens_out,
        timings.prompt_ms,
        timings.predicted_ms,
        timings.prompt_per_second,
        timings.predicted_per_second,
    )


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _figures(usage: Mapping[str, Any], timings: Mapping[str, Any]) -> Figures:
    tokens_in = _count(usage, "prompt_tokens", "input_tokens")
    if tokens_in is not None:
        tokens_in += _count(usage, "cache_read_input_tokens") or 0  # Anthropic counts them apart.
    cached = _cached(usage)
    if cached is None:
        cached = _count(timings, "cache_n")
    if tokens_in is None and (new := _count(timings, "prompt_n")) is not None:
        tokens_in = new + (cached or 0)
    tokens_out = _count(usage, "completion_tokens", "output_tokens")
    return Figures(
        tokens_in=tokens_in,
        tokens_cached=cached,
        tokens_out=_count(timings, "predicted_n") if tokens_out is None else tokens_out,
        prompt_ms=_number(timings, "prompt_ms"),
        generation_ms=_number(timings, "predicted_ms"),
        prompt_per_second=_number(timings, "prompt_per_second"),
        tokens_per_second=_number(timings, "predicted_per_second"),
    )


def _cached(usage: Mapping[str, Any]) -> int | None:
    for name in ("prompt_tokens_details", "input_tokens_details"):
        details = usage.get(name)
        if isinstance(details, dict) and (count := _count(details, "cached_tokens")) is not None:
            return count
    return _count(usage, "cache_read_input_tokens")


def _objects(text: str, name: str) -> Iterable[dict[str, Any]]:
    """The JSON objects that follow a key of that name."""
    key = f'"{name}"'
    at = text.find(key)
    while at >= 0:
        start = text.find("{", at + len(key))
        if start >= 0 and text[at + len(key) : start].strip() == ":":
            try:
                found, _ = _DECODER.raw_decode(text, start)
            except (ValueError, RecursionError):
                found = None
            if isinstance(found, dict):
                yield found
        at = text.find(key, at + len(key))


def _count(values: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = values.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        with suppress(OverflowError):  # Of an engine that says a number beyond all sense.
            return float(value)
    return None
