"""Reads what llama-server prints about itself: `--help`, `--version` and `--list-devices`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MIB = 1024**2

# Options stand in the left column; the text beside them begins at column 40 or on the next line.
_TEXT_COLUMN = 40
_NAME = re.compile(r"-{1,2}[A-Za-z][A-Za-z0-9.-]*")
# The Vulkan backend says of each device whether its memory is unified with the processor's.
_UNIFIED = re.compile(r"^ggml_vulkan: (?P<number>\d+) = .*\| uma: 1 \|", re.MULTILINE)
_DEVICE = re.compile(
    r"^\s+(?P<name>[^\s:]+): (?P<description>.*)"
    r" \((?P<total>\d+) MiB, (?P<free>\d+) MiB free\)\s*$"
)


@dataclass(frozen=True, slots=True)
class EngineFlags:
    """The options one build understands, each with what its help shows as the value.

    `values["--flash-attn"]` is "[on|off|auto]" in builds that want a word and "" in older ones
    where it is a switch.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    known: bool = True
    """False while no build was asked: every option then counts as understood."""

    def __contains__(self, flag: str) -> bool:
        return not self.known or flag in self.values

    def wants_word(self, flag: str) -> bool:
        """Whether the option is followed by a value; yes while no build was asked."""
        return not self.known or bool(self.values.get(flag))

    def as_list(self) -> list[str]:
        """One text an option, as kept in the database."""
        return [f"{flag} {value}".rstrip() for flag, value in self.values.items()]

    @classmethod
    def from_list(cls, texts: Iterable[str]) -> EngineFlags:
        """The reverse of `as_list`; an empty list is a build that was never asked."""
        values = {}
        for text in texts:
            flag, _, value = text.partition(" ")
            values[flag] = value
        return cls(values=values, known=bool(values))


@dataclass(frozen=True, slots=True)
class EngineDevice:
    """A device that a build can put layers on, under the build's own name for it."""

    name: str
    description: str
    total: int
    """Bytes."""
    free: int
    """Bytes."""
    integrated: bool = False
    """Its memory is the machine's own RAM."""

    @property
    def backend(self) -> str:
        """`cuda`, `vulkan`, `metal`, …"""
        name = self.name.rstrip("0123456789").lower()
        return {"mtl": "metal"}.get(name, name)

    @property
    def is_software(self) -> bool:
        """A processor that poses as a GPU, slower than the engine's own CPU code."""
        return any(word in self.description.lower() for word in ("llvmpipe", "swiftshader"))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EngineDevice:
        return cls(**values)


def parse_help(text: str) -> EngineFlags:
    """Every option that `--help` lists, except those it lists only to say they were removed."""
    values: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        if line.startswith("-") and not line.startswith("-----"):
            names, value = _option(line)
            values.update(dict.fromkeys(names, value))
        if "argument has been removed" in line:
            for name in names:
                values.pop(name, None)
    return EngineFlags(values=values)


def parse_chat_templates(text: str) -> tuple[str, ...]:
    """The names of the chat templates that `--help` lists as built in."""
    found = re.search(r"list of built-in templates:\s+((?:[\w.-]+,\s+)*[\w.-]+)", text)
    return tuple(re.split(r",\s+", found.group(1))) if found else ()


def _option(line: str) -> tuple[list[str], str]:
    """The names in an option's line and the placeholder of its value."""
    column = line
    if len(line) > _TEXT_COLUMN and line[_TEXT_COLUMN - 1] == " ":
        column = line[:_TEXT_COLUMN]
    names: list[str] = []
    rest = column
    while match := _NAME.match(rest):
        names.append(match.group())
        rest = rest[match.end() :].lstrip(", ")
    return names, rest.strip()


def parse_version(text: str) -> str:
    """The line after `version:`, or an empty text."""
    match = re.search(r"^version: (.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else ""


def parse_devices(text: str) -> tuple[EngineDevice, ...]:
    """The devices that `--list-devices` names, in the engine's order.

    Helpers without memory of their own, such as BLAS libraries, are left out.
    """
    unified = {f"Vulkan{match['number']}" for match in _UNIFIED.finditer(text)}
    return tuple(
        EngineDevice(
            name=match["name"],
            description=match["description"],
            total=int(match["total"]) * MIB,
            free=int(match["free"]) * MIB,
            integrated=match["name"] in unified or match["name"].startswith(("Metal", "MTL")),
        )
        for match in map(_DEVICE.match, text.splitlines())
        if match and int(match["total"]) > 0
    )
