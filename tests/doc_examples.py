"""The examples of the documentation: blocks of code in Markdown, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.server import ROOT

PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\S*)\s*$")
_EXCUSE = re.compile(r"^<!-- not run: (.+) -->$")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `excuse` is why nobody can run it, "" when somebody can."""

    page: Path
    line: int
    language: str
    text: str
    excuse: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page. Raises ValueError when one has no end."""
    return list(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    excuse, language, start, held = "", None, 0, list[str]()
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if language is None and fence:
            language, start, held = fence[1], number, []
        elif language is not None and line == "```":
            yield Block(page, start, language, "\n".join(held) + "\n", excuse)
            excuse, language = "", None
        elif language is not None:
            held.append(line)
        elif found := _EXCUSE.match(line):
            excuse = found[1]
        elif line.strip():
            excuse = ""
    if language is not None:
        raise ValueError(f"{page.name}:{start} begins a block that never ends")


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)


def inline(page: Path) -> list[str]:
    """What stands between backticks in a page's prose."""
    return _INLINE.findall(prose(page))


def commands(text: str) -> list[list[str]]:
    """The words of each command in a block for a shell, comments left out.

    A command goes on where a quote is open or a line ends with a backslash.
    """
    found, held = [], ""
    for line in text.splitlines():
        held += line + "\n"
        if line.endswith("\\"):
            continue
        try:
            words = shlex.split(held, comments=True)
        except ValueError:
            continue  # an open quote
        held = ""
        if words:
            found.append(words)
    if held:
        raise ValueError(f"A quote never ends: {held!r}")
    return found
