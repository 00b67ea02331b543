"""The icons of the web UI: strokes on a square of 16, in the colour of the text around them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "icons"


def names() -> list[str]:
    """All icons there are."""
    return sorted(file.stem for file in FOLDER.glob("*.svg"))


@cache
def svg(name: str, size: int = 16) -> str:
    """The icon as markup, hidden from those who hear the page. Raises OSError for a wrong name."""
    drawing = (FOLDER / f"{name}.svg").read_text().strip()
    shape = f'class="icon" width="{size}" height="{size}" aria-hidden="true"'
    return drawing.replace('xmlns="http://www.w3.org/2000/svg"', shape)
