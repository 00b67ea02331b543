"""How many tokens a request may use, before it has used any (pure): a bound, or a guess.

Reserved while the request runs, so that many at once do not use a quota many times over.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

ANSWER_GUESSED: Final = 1024
"""Tokens of an answer to a request that names no limit of its own."""

MOST_OF_PROMPT: Final = 8192
"""Tokens that a prompt counts for at most: pictures make bodies long and take few."""

BYTES_A_TOKEN: Final = 4

_WITHOUT_ANSWER: Final = ("embed", "rerank", "tokenize", "apply-template", "input_tokens", "count_")
"""What stands in paths whose answer is no text."""


class _Wish(msgspec.Struct):
    """What clients of OpenAI, Anthropic and llama-server call it. It may hold anything."""

    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n_predict: Any = None
    n: Any = None


_read = msgspec.json.Decoder(_Wish).decode


def tokens_wanted(path: str, body: object) -> int:
    """What a request reserves; of a body that is not here in one piece, a guess."""
    if not isinstance(body, bytes):
        return ANSWER_GUESSED
    prompt = min(len(body) // BYTES_A_TOKEN, MOST_OF_PROMPT)
    return prompt + _answer(body) if _is_answered_in_words(path) else prompt


@lru_cache(maxsize=256)
def _is_answered_in_words(path: str) -> bool:
    return not any(sign in path for sign in _WITHOUT_ANSWER)


def _answer(body: bytes) -> int:
    try:
        wish = _read(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ANSWER_GUESSED
    most = 0
    # Which of them an engine goes by differs, so the largest counts.
    for named in (
        wish.max_tokens,
        wish.max_completion_tokens,
        wish.max_output_tokens,
        wish.n_predict,
    ):
        if named is not None and (count := _count(named)) > most:
            most = count
    return (most or ANSWER_GUESSED) * (_count(wish.n) or 1)


def _count(value: Any) -> int:
    """A number of tokens; 0 for what is none."""
    return value if isinstance(value, int) and value > 0 else 0
