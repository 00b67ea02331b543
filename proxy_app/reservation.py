"""How many tokens a request may use, before it has used any (pure): a bound, or a guess.

Reserved while the request runs, so that many at once do not use a quota many times over. Never more
than the engine has room for: clients ask for a million tokens of a model that remembers a few
thousand, and all other requests of their key would wait for those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec

from proxy_app.engine_json import BEGINNING, as_read, may_be_json

ANSWER_GUESSED: Final = 1024
"""Tokens of an answer to a request that names no limit of its own."""

MOST_OF_PROMPT: Final = 8192
"""Tokens that a prompt counts for at most: pictures make bodies long and take few."""

BYTES_A_TOKEN: Final = 4

_WITHOUT_ANSWER: Final = ("embed", "rerank", "tokenize", "apply-template", "input_tokens", "count_")
"""What stands in paths whose answer is no text."""


@dataclass(frozen=True, slots=True)
class Room:
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


_LONG: Final = 18
"""Digits; Python takes long for thousands of them."""
_VERY_MANY: Final = 10**18

_NOTHING: Final = msgspec.Raw(b"null")


_Count = Annotated[int, msgspec.Meta(ge=0, le=_VERY_MANY)] | None


class Wish(msgspec.Struct):
    """How much a request asks for, as clients of OpenAI, Anthropic and llama-server call it.

    Read as it is, it is refused where it holds anything but numbers: see `Wording`.
    """

    max_tokens: _Count = None
    max_completion_tokens: _Count = None
    max_output_tokens: _Count = None
    n_predict: _Count = None
    n: _Count = None
    n_cmpl: _Count = None
    prompt: msgspec.Raw = _NOTHING


class Wording(msgspec.Struct):
    """The same of a request that holds anything: what is no number says nothing."""

    max_tokens: msgspec.Raw = _NOTHING
    max_completion_tokens: msgspec.Raw = _NOTHING
    max_output_tokens: msgspec.Raw = _NOTHING
    n_predict: msgspec.Raw = _NOTHING
    n: msgspec.Raw = _NOTHING
    n_cmpl: msgspec.Raw = _NOTHING
    prompt: msgspec.Raw = _NOTHING

    def meant(self) -> dict[str, Any]:
        """The fields of the wish."""
        names = [name for name in Wording.__struct_fields__ if name != "prompt"]
        return {name: _count(getattr(self, name)) for name in names} | {"prompt": self.prompt}


_NO_WISH: Final = Wish()
_ANY_WISH: Final = Wish(max_tokens=_VERY_MANY)
"""What only the engine can read may ask for all that it has room for."""

_read_usual = msgspec.json.Decoder(Wish).decode
_read = msgspec.json.Decoder(Wording).decode
_read_list = msgspec.json.Decoder(list[Any]).decode


def tokens_wanted(
    path: str, body: object, room: Room = ROOM_GUESSED, wish: Wish | None = None
) -> int:
    """What a request reserves; of a body that is not here in one piece, a guess.

    `wish` is what was read of the body already.
    """
    if not isinstance(body, bytes):
        return min(ANSWER_GUESSED, room.request)
    prompt = len(body) // BYTES_A_TOKEN
    if prompt > MOST_OF_PROMPT:
        prompt = MOST_OF_PROMPT
    if not _is_answered_in_words(path):
        return prompt
    if wish is None:
        wish = _wish_of(body)
    most, most_of_all = wish.max_tokens or 0, room.request
    # Which of them an engine goes by differs, so the largest counts.
    if wish.max_completion_tokens:
        most = max(most, wish.max_completion_tokens)
    if wish.max_output_tokens:
        most = max(most, wish.max_output_tokens)
    if wish.n_predict:
        most = max(most, wish.n_predict)
    if not most:
        most = ANSWER_GUESSED
    if wish.n or wish.n_cmpl or wish.prompt is not _NOTHING:
        answers = max(wish.n or 1, wish.n_cmpl or 1) * prompts_in(wish.prompt)
        if answers > 1:
            most, most_of_all = most * answers, room.engine
    wanted = prompt + most
    return wanted if wanted < most_of_all else most_of_all


@lru_cache(maxsize=256)
def _is_answered_in_words(path: str) -> bool:
    return not any(sign in path for sign in _WITHOUT_ANSWER)


def _wish_of(body: bytes) -> Wish:
    body = as_read(body)
    try:
        return _read_usual(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        return Wish(**_read(body).meant())
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _ANY_WISH if may_be_json(body[:BEGINNING]) else _NO_WISH


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


def _count(value: msgspec.Raw) -> int:
    """A number of tokens or answers; 0 for what is none."""
    if value is _NOTHING:
        return 0
    if len(value) < _LONG:
        text = bytes(value)
        if text.isdigit():
            return int(text)
    if not bytes(memoryview(value)[:1]).isdigit():
        return 0  # A text, which may be very long, or a number below 0.
    text = bytes(value)
    if text.isdigit():
        return _VERY_MANY
    return int(min(float(text), _VERY_MANY))  # Engines read 1e6 as a million, and 5.5 as 5.
