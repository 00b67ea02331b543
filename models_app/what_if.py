"""Plans for changed wishes: what would be chosen if a setting or the machine were another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from models_app.gpu_choice import words_of
from models_app.machine import GIB
from models_app.models.served import CACHE_TYPES
from models_app.preferences import GPU_BACKENDS, Choices, Preferences

MAX_INTEGER: Final = 2**31 - 1
MAX_GIB: Final = 1_000_000

# Names as in the API's other requests -> our own.
_CHOICES: Final = {
    "context": "context",
    "layers": "gpu_layers",
    "slots": "slots",
    "batchSize": "batch_size",
}
_PREFERENCES: Final = {"preferredContext": "preferred_context", "minContext": "min_context"}
_MEMORY: Final = {"vramGB": "vram", "ramGB": "ram"}
_SWITCHES: Final = {"throughputFirst": "throughput_first", "enableJinja": "enable_jinja"}
NAMES: Final = (
    *_CHOICES,
    "cacheType",
    "gpus",
    *_PREFERENCES,
    *_MEMORY,
    "backend",
    *_SWITCHES,
)


class BadWish(ValueError):
    """A parameter that is unknown or out of range; the text names it."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """Changes to the server's preferences and a model's choices."""

    preferences: Mapping[str, Any]
    choices: Mapping[str, Any]

    def apply(self, preferences: Preferences, choices: Choices) -> tuple[Preferences, Choices]:
        """Both with the changes made."""
        return replace(preferences, **self.preferences), replace(choices, **self.choices)


def read_wishes(parameters: Mapping[str, str]) -> Wishes:
    """The wishes in a query such as `context=8192&vramGB=12`. Raises `BadWish`."""
    preferences: dict[str, Any] = {}
    choices: dict[str, Any] = {}
    for name, text in parameters.items():
        if name in _CHOICES:
            lowest = 0 if name == "layers" else 1
            choices[_CHOICES[name]] = _integer(name, text, lowest)
        elif name == "cacheType":
            choices["cache_type"] = _one_of(name, text, CACHE_TYPES)
        elif name == "gpus":
            choices["gpus"] = words_of(text)
        elif name in _PREFERENCES:
            preferences[_PREFERENCES[name]] = _integer(name, text, 1)
        elif name in _MEMORY:
            preferences[_MEMORY[name]] = _gibibytes(name, text)
        elif name == "backend":
            preferences["backend"] = _one_of(name, text, (*GPU_BACKENDS, "cpu"))
        elif name in _SWITCHES:
            preferences[_SWITCHES[name]] = _one_of(name, text, ("true", "false")) == "true"
        else:
            raise BadWish(f"There is no parameter {name}; there are {', '.join(NAMES)}.")
    return Wishes(preferences, choices)


def _integer(name: str, text: str, lowest: int) -> int:
    # Longer texts are out of range anyway, and reading them takes time.
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise BadWish(f"{name} must be a whole number, not {text[:40]!r}.")
    number = int(text)
    if not lowest <= number <= MAX_INTEGER:
        raise BadWish(f"{name} must be between {lowest} and {MAX_INTEGER}, not {number}.")
    return number


def _gibibytes(name: str, text: str) -> int:
    try:
        amount = float(text)
    except ValueError:
        raise BadWish(f"{name} must be a number of GiB, not {text[:40]!r}.") from None
    if not 0 <= amount <= MAX_GIB:
        raise BadWish(f"{name} must be a number of GiB from 0 to {MAX_GIB}, not {text[:40]}.")
    return int(amount * GIB)


def _one_of(name: str, text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise BadWish(f"{name} must be one of {', '.join(allowed)}, not {text[:40]!r}.")
    return text
