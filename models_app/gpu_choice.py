"""Which GPUs a person lets a model use, by the engine's names for them or by number. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar


class Named(Protocol):
    """A GPU as a llama-server build sees it."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...


N = TypeVar("N", bound=Named)


class NoSuchGpu(ValueError):
    """A choice that names what is not there; the text tells what is."""


def words_of(text: str) -> tuple[str, ...]:
    """The single GPUs of a choice such as `CUDA1` or `0, 1`; nothing means automatic."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def find(words: Iterable[str], gpus: Sequence[N]) -> tuple[N, ...]:
    """The chosen ones of `gpus`, in the engine's order. Raises NoSuchGpu."""
    words = tuple(words)
    if unknown := missing(words, gpus):
        raise NoSuchGpu(f"There is no GPU {' or '.join(unknown)}. {there(gpus)}")
    return those(words, gpus)


def those(words: Iterable[str], gpus: Sequence[N]) -> tuple[N, ...]:
    """The chosen ones that are there, in the engine's order."""
    numbers = {_number(word, gpus) for word in words}
    return tuple(gpu for number, gpu in enumerate(gpus) if number in numbers)


def missing(words: Iterable[str], gpus: Sequence[Named]) -> tuple[str, ...]:
    """The words that no GPU answers to."""
    return tuple(word for word in words if _number(word, gpus) is None)


def there(gpus: Sequence[Named]) -> str:
    """What can be chosen, in one sentence."""
    if not gpus:
        return "This machine has no GPU that its llama-server can use. Leave it empty."
    listed = (
        f"{number} or {gpu.name} ({gpu.description})" if gpu.description else gpu.name
        for number, gpu in enumerate(gpus)
    )
    return f"Choose among {'; '.join(listed)}, or leave it empty."


def _number(word: str, gpus: Sequence[Named]) -> int | None:
    names = [gpu.name.lower() for gpu in gpus]
    if word.lower() in names:
        return names.index(word.lower())
    # A device's number is short, and reading a long one takes time.
    number = int(word) if word.isascii() and word.isdigit() and len(word) < 4 else None
    return number if number is not None and number < len(gpus) else None
