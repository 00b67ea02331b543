"""What holds for all tests."""

from __future__ import annotations

import pytest
from django.test import Client


@pytest.fixture
def client() -> Client:
    """A browser or program at this machine, which needs no account while there is none."""
    return Client(SERVER_NAME="localhost")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a module marked `in_order` run as they are written, wherever chance put them."""
    places: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        if item.get_closest_marker("in_order"):
            places.setdefault(item.path, []).append(index)
    for indexes in places.values():
        ordered = sorted(
            (items[index] for index in indexes), key=lambda item: item.location[1] or 0
        )
        for index, item in zip(indexes, ordered, strict=True):
            items[index] = item


def _line(item: pytest.Item) -> int:
    return item.location[1] or 0
