"""Makes a download of what was asked for: checked before anything is fetched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.db import transaction

from downloads_app import hosts, names, places, queue, starter
from downloads_app.models import OVER, Download, DownloadFile
from downloads_app.trouble import Trouble

Status = Download.Status
LONGEST_URL = 4096
LONGEST_ID = 255


class BadOrder(ValueError):
    """A request for a download that cannot be met; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file to fetch. Size (bytes) and SHA-256 where the hub tells them."""

    url: str
    name: str
    size: int | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """Files that belong together, and what is wanted of them."""

    items: Sequence[Item]
    model_id: str = ""
    folder: str = ""
    """Empty: the default one."""
    subfolder: str = ""
    """Below it; made safe here."""
    repository: str = ""
    quantization: str = ""
    token: str = ""
    reuse: bool = False
    rate_limit: int = 0


def place(order: Order, *, hand_over: bool = True) -> Download:
    """The download for `order`: a new one, or the one that is at it already.

    One that was paused or has failed goes on. Raises BadOrder.
    """
    items = [_checked(item) for item in order.items]
    if not items:
        raise BadOrder("Name at least one file to download.")
    if len({item.name.casefold() for item in items}) < len(items):
        raise BadOrder("Two of the files have the same name. Download them one after the other.")
    model_id = _checked_id(order.model_id)
    folder = _folder(order)
    with transaction.atomic():
        queue.lock()
        found = _same(folder, items)
        if found is None:
            found = _create(order, model_id, folder, items)
        elif found.status in (Status.PAUSED, Status.FAILED):
            Download.objects.filter(pk=found.pk).update(
                token=order.token or found.token, reuse=order.reuse or found.reuse
            )
            queue.put_back(found)
            found.refresh_from_db()
        if hand_over:
            queue.hint()
    return found


def name_of(url: str) -> str:
    """The file's name as its address tells it; "" when that is no address."""
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:
        return ""


def _create(order: Order, model_id: str, folder: Path, items: Sequence[Item]) -> Download:
    sizes = [item.size for item in items]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    download = Download.objects.create(
        model_id=model_id,
        repository=order.repository[:255],
        quantization=order.quantization[:64],
        folder=str(folder),
        token=order.token,
        reuse=order.reuse,
        rate_limit=max(0, order.rate_limit),
        total_bytes=total,
        position=Download.last_position() + 1,
    )
    DownloadFile.objects.bulk_create(
        DownloadFile(
            download=download,
            number=number,
            url=item.url,
            name=item.name,
            size=item.size,
            sha256=item.sha256,
        )
        for number, item in enumerate(items)
    )
    queue.forget_old()
    return download


def _same(folder: Path, items: Sequence[Item]) -> Download | None:
    """A download of the same files to the same place that is not over. Raises BadOrder."""
    wanted = {item.name: item.url for item in items}
    over = [status for status in OVER if status != Status.FAILED]
    for download in Download.objects.filter(folder=str(folder)).exclude(status__in=over):
        there = dict(download.files.values_list("name", "url"))
        if there == wanted:
            return download
        clash = sorted(there.keys() & wanted.keys())
        if clash and download.status != Status.FAILED:
            raise BadOrder(
                f"{clash[0]} is being downloaded to {folder} already, from another address or with "
                f"other files ({download.key}). Cancel that download or choose another folder."
            )
    return None


def _checked(item: Item) -> Item:
    if len(item.url) > LONGEST_URL:
        raise BadOrder("The address is too long.")
    try:
        if item.url != starter.ADDRESS:
            hosts.rules().check(item.url)
        name = names.clean(item.name)
    except Trouble as trouble:
        raise BadOrder(trouble.message) from trouble
    except names.BadName as error:
        raise BadOrder(str(error)) from error
    return Item(item.url, name, item.size, item.sha256.lower())


def _checked_id(text: str) -> str:
    text = text.strip()
    if len(text) > LONGEST_ID or not text.isprintable():
        raise BadOrder(f"A model's id has at most {LONGEST_ID} printable characters.")
    return text


def _folder(order: Order) -> Path:
    try:
        folder = places.chosen(order.folder)
        if order.subfolder:
            folder = folder / names.clean(order.subfolder)
            folder = places.chosen(str(folder))
    except (places.BadPlace, names.BadName) as error:
        raise BadOrder(str(error)) from error
    return Path(os.path.normpath(folder))
