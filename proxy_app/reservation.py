"""How many tokens a request may use, before it has used any (pure): a bound, or a guess.

Reserved while the request runs, so that many at once do not use a quota many times over. Never more
than the engine has room for: clients ask for a million tokens of a model that remembers a few
thousand, and all other requests of their key would wait for those.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

ANSWER_GUESSED: Final = 1024
"""Tokens of an answer to a request that names no limit of its own."""

MOST_OF_PROMPT: Final = 8192
"""Tokens that a prompt counts for at most: pictures make bodies long and take few."""

BYTES_A_TOKEN: Final = 4

_WITHOUT_ANSWER: Final = ("embed", "rerank", "tokenize", "apply-template", "input_tokens", "count_")
"""What stands in paths whose answer is no text."""


class Room(NamedTuple):
    """How many tokens an engine's context holds."""

    request: int
    """For one prompt with its answer."""
    engine: int
    """For all that it works on at a time, such as the `n` answers to one request."""


ROOM_GUESSED: Final = Room(32_768, 131_072)
"""Of an engine whose command does not say it."""


def room_of(argv: Sequence[str]) -> Room:
    """The room of an engine with this command, as llama-server reads it: the last word counts.

    Its slots share the context in equal parts, but with `--kv-unified`, or when their number is
    the engine's to choose, each may use it all.
    """
    whole = slots = 0
    unified = False
    for word, value in zip(argv, (*argv[1:], ""), strict=True):
        if word in ("--ctx-size", "-c"):
            whole = _number(value)
        elif word in ("--parallel", "-np"):
            slots = _number(value)
        elif word in ("--kv-unified", "-kvu"):
            unified = True
        elif word in ("--no-kv-unified", "-no-kvu"):
            unified = False
    if not whole:
        return ROOM_GUESSED
    return Room(whole if unified else whole // max(1, slots), whole)


def _number(word: str) -> int:
    return int(word) if word.isascii() and word.isdigit() and len(word) < 12 else 0


_NO_PROMPT: Final = msgspec.Raw(b"null")


class _Wish(msgspec.Struct):
    """What clients of OpenAI, Anthropic and llama-server call it. It may hold anything."""

    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n_predict: Any = None
    n: Any = None
    prompt: msgspec.Raw = _NO_PROMPT


_read = msgspec.json.Decoder(_Wish).decode
_read_list = msgspec.json.Decoder(list[Any]).decode


def tokens_wanted(path: str, body: object, room: Room = ROOM_GUESSED) -> int:
    """What a request reserves; of a body that is not here in one piece, a guess."""
    if not isinstance(body, bytes):
        return min(ANSWER_GUESSED, room.request)
    prompt = min(len(body) // BYTES_A_TOKEN, MOST_OF_PROMPT)
    if not _is_answered_in_words(path):
        return prompt
    answer, count = _answers(body)
    if count > 1:
        return min(prompt + answer * count, room.engine)
    return min(prompt + answer, room.request)


@lru_cache(maxsize=256)
def _is_answered_in_words(path: str) -> bool:
    return not any(sign in path for sign in _WITHOUT_ANSWER)


def _answers(body: bytes) -> tuple[int, int]:
    """How long an answer may be, and how many of them are asked for."""
    try:
        wish = _read(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ANSWER_GUESSED, 1
    most = 0
    # Which of them an engine goes by differs, so the largest counts.
    for named in (
        wish.max_tokens,
        wish.max_completion_tokens,
        wish.max_output_tokens,
        wish.n_predict,
    ):
        if isinstance(named, int) and named > most:
            most = named
    count = 1 if wish.n is None else _count(wish.n) or 1
    if wish.prompt is not _NO_PROMPT:
        count *= prompts_in(wish.prompt)
    return most or ANSWER_GUESSED, count


def prompts_in(prompt: msgspec.Raw) -> int:
    """How many prompts a request's `prompt` holds, each of which is answered.

    A list of tokens is one, also with texts among them.
    """
    if not bytes(prompt).lstrip().startswith(b"["):
        return 1
    try:
        prompts = _read_list(prompt)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return 1
    return 1 if any(isinstance(part, int) for part in prompts) else max(1, len(prompts))


def _count(value: Any) -> int:
    """A number of tokens; 0 for what is none."""
    return value if isinstance(value, int) and value > 0 else 0
