"""The starter model as a download among others: asked for on a page, fetched by the workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from downloads_app import orders, starter
from downloads_app.halt import Halt, Stopped
from downloads_app.models import Download
from downloads_app.orders import Item, Order
from downloads_app.transfer import Done, Phase, Progress
from downloads_app.transfer import Order as Fetching
from downloads_app.trouble import Kind, Trouble, of_disk

SUBFOLDER: Final = "starter"


def place() -> Download:
    """Have the workers fetch it; the download that is at it already, if one is. Raises BadOrder."""
    item = Item(starter.ADDRESS, starter.FILE_NAME, starter.SIZE, starter.SHA256)
    return orders.place(Order([item], subfolder=SUBFOLDER, quantization="Q4_K_M"))


def fetch(order: Fetching, told: Callable[[Progress], None], halt: Halt) -> Done:
    """Fetch it to where the order wants it. Raises Trouble, and Stopped once `halt` is set."""
    begun, there = time.monotonic(), starter.present(order.target.parent)

    def watch(done: int) -> None:
        if halt.is_set():
            raise Stopped
        speed = done / max(time.monotonic() - begun, 1.0)
        told(Progress(Phase.FETCHING, done, starter.SIZE, speed))

    try:
        path = starter.fetch(order.target.parent, watch)
        size = path.stat().st_size
    except starter.StarterError as error:
        full = isinstance(error, starter.NoRoom)
        raise Trouble(Kind.DISK_FULL if full else Kind.CONNECTION, str(error)) from error
    except OSError as error:
        raise of_disk(error, str(order.target.parent)) from error
    return Done(path, size, starter.SHA256, verified=not there, made=not there)
