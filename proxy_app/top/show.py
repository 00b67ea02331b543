"""Draws what was seen: tables for a terminal, the same as plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from proxy_app.top.look import Look

_COLOURS = {"ready": "green", "starting": "yellow", "stopping": "yellow", "stopped": "dim"}


def screen(look: Look) -> RenderableType:
    """Everything, one table below the other."""
    return Group(
        Text(heading(look), style="bold"),
        Text(memory_line(look)),
        _table("Models", MODEL_COLUMNS, model_rows(look)),
        _table("Requests", REQUEST_COLUMNS, request_rows(look)),
    )


def lines(look: Look) -> str:
    """The same without anything only a terminal understands: fields between tabs."""
    parts = [heading(look), memory_line(look), "", "\t".join(MODEL_COLUMNS)]
    parts += ["\t".join(row) for row in model_rows(look)]
    parts += ["", "\t".join(REQUEST_COLUMNS)]
    parts += ["\t".join(row) for row in request_rows(look)]
    return "\n".join(parts)


MODEL_COLUMNS = ("model", "state", "memory", "in flight", "queued", "wait", "requests", "tokens/s")
REQUEST_COLUMNS = ("id", "model", "phase", "key", "client", "seconds", "queue", "load", "bytes")


def heading(look: Look) -> str:
    loaded = sum(model["state"] == "ready" for model in look.models)
    return (
        f"{look.url}   {loaded} of {len(look.models)} models loaded   "
        f"{len(look.live)} requests under way   {look.queue['waiting']} waiting"
    )


def memory_line(look: Look) -> str:
    """What loaded models hold of each device's budget."""
    parts = (
        f"{one['device']} {size(one['held'])} of {size(one['budget'])}"
        for one in look.queue["memory"]
    )
    return "Memory   " + ("   ".join(parts) or "no budget known")


def model_rows(look: Look) -> list[tuple[str, ...]]:
    """Models that are up or were used first, each group by name."""
    found = sorted(look.models, key=lambda model: (model["state"] == "stopped", model["id"]))
    return [_model_row(model, look.metrics.get(model["id"], {})) for model in found]


def _model_row(model: dict[str, Any], metrics: dict[str, Any]) -> tuple[str, ...]:
    wait = model["expectedWaitSeconds"]
    return (
        model["id"],
        model["state"],
        size(metrics["memoryUsage"]) if metrics.get("memoryUsage") else "",
        f"{model['inFlight']}/{model['concurrency']}",
        str(model["queued"]),
        "" if wait is None else f"{wait:.1f} s",
        str(metrics.get("requestCount", 0)),
        f"{metrics['tokensPerSecond']:.1f}" if metrics.get("tokensPerSecond") else "",
    )


def request_rows(look: Look) -> list[tuple[str, ...]]:
    return [
        (
            str(one["id"]),
            one["model"],
            one["phase"],
            one["keyName"],
            one["client"],
            f"{one['seconds']:.1f}",
            f"{one['queueSeconds']:.1f}",
            f"{one['loadSeconds']:.1f}",
            size(one["bytes"]),
        )
        for one in look.live
    ]


def size(count: float) -> str:
    """Bytes in words, such as 1.5 GiB."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, expand=True)
    words = ("model", "state", "phase", "key", "client")
    for column in columns:
        table.add_column(column, justify="left" if column in words else "right")
    for row in rows:
        # As Text, because a name in brackets would be read as markup.
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    return table
