from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from proxy_app.logs import LineFormatter, set_level


class Written(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def written() -> Iterator[Written]:
    root, handler = logging.getLogger(), Written()
    before = root.level
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def say_everything() -> None:
    for name in ("tests.ours", "tests.with.a.level.of.its.own"):
        logging.getLogger(name).info("said by %s", name)
        logging.getLogger(name).warning("warned by %s", name)
    logging.getLogger("tests.ours").debug("whispered")


@pytest.mark.parametrize(
    ("word", "levels"),
    [
        ("debug", ["INFO", "WARN", "WARN", "DEBUG"]),
        ("info", ["INFO", "WARN", "WARN"]),
        ("warn", ["WARN", "WARN"]),
        ("error", []),
        ("loud", ["INFO", "WARN", "WARN"]),
    ],
)
def test_only_what_is_grave_enough_is_written(
    written: Written, word: str, levels: list[str]
) -> None:
    logging.getLogger("tests.with.a.level.of.its.own").setLevel("WARNING")
    set_level(word)
    say_everything()
    assert [line.split("]")[0].lstrip("[") for line in written.lines] == levels
