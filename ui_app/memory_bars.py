"""Memory as bars: what fills a device, a segment each (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from ui_app.runtime import Needs

WIDTH: Final = 1000
SMALLEST: Final = 4
"""Width of what is too little to be seen."""
GAP: Final = 2
SERIES: Final = 6
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a bar. `x` and `width` are thousandths of it."""

    label: str
    bytes: int
    series: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One device. `total` is all of it that counts here, in bytes."""

    name: str
    description: str
    total: int
    used: int
    segments: tuple[Segment, ...]

    @property
    def free(self) -> int:
        """What is left; never below 0."""
        return max(0, self.total - self.used)

    @property
    def is_over(self) -> bool:
        """Whether more is wanted than there is."""
        return self.used > self.total


def bar(
    name: str, total: int, pieces: Iterable[tuple[str, int, str]], description: str = ""
) -> Bar:
    """A bar of pieces, each a label, bytes and the series whose colour it has."""
    segments: list[Segment] = []
    used = 0
    whole = [(label, size, series) for label, size, series in pieces if size > 0]
    scale = max(total, sum(size for _label, size, _series in whole), 1)
    for label, size, series in whole:
        x, width = WIDTH * used / scale, WIDTH * size / scale
        gap = GAP if width > 3 * GAP else 0
        segments.append(
            Segment(label, size, series, round(x, 1), round(max(SMALLEST, width - gap), 1))
        )
        used += size
    return Bar(name, description, total, used, tuple(segments))


def of_models(
    devices: Sequence[Mapping[str, Any]],
    needs: Mapping[str, Needs],
    loaded: Sequence[str],
    descriptions: Mapping[str, str],
) -> list[Bar]:
    """A bar for each device, a segment for each loaded model."""
    colours = {model: str(1 + at % SERIES) for at, model in enumerate(loaded)}
    return [
        bar(
            device["device"],
            device["budget"],
            [
                (model, _of(needs, model).known.get(device["device"], 0), colours[model])
                for model in loaded
            ],
            descriptions.get(device["device"], ""),
        )
        for device in devices
    ]


def of_plan(memory: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """A bar for each device of a plan as `plans.describe` tells it, a segment for each purpose."""
    labels = _purposes()
    return [
        bar(
            device["device"],
            device["room"],
            [
                (labels.get(part, part), size, series)
                for part, size, series in _pieces(device, labels)
            ],
        )
        for device in memory
        if device["total"] or device["device"] == "CPU"
    ]


def _pieces(device: Mapping[str, Any], labels: Mapping[str, str]) -> Iterable[tuple[str, int, str]]:
    series = {part: str(1 + at % SERIES) for at, part in enumerate(labels)}
    left_out = ("device", "room", "total", "measured")
    for part, size in device.items():
        if part not in left_out and isinstance(size, int):
            yield part, size, series.get(part, OTHER)


def _purposes() -> dict[str, str]:
    return {
        "weights": _("weights"),
        "cache": _("context"),
        "compute": _("scratch"),
        "extra": _("projector, draft"),
        "repacked": _("rearranged weights"),
        "state": _("state"),
    }


def _of(needs: Mapping[str, Needs], model: str) -> Needs:
    return needs.get(model, Needs())
