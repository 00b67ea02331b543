"""The log as JSON."""

from __future__ import annotations

import json
import logging

from proxy_app.json_lines import JsonFormatter
from proxy_app.logs import LineFormatter


def written(record: logging.LogRecord) -> dict[str, str]:
    line = JsonFormatter().format(record)
    assert "\n" not in line
    value: dict[str, str] = json.loads(line)
    return value


def test_a_record_is_one_line_with_its_time_level_and_logger() -> None:
    record = logging.LogRecord("proxy_app.x", logging.WARNING, "f", 1, "two\n%s", ("lines",), None)
    record.created = 0.5
    assert written(record) == {
        "time": "1970-01-01T00:00:00.500+00:00",
        "level": "warning",
        "logger": "proxy_app.x",
        "message": "two\nlines",
    }


def test_an_exception_comes_with_its_traceback() -> None:
    try:
        raise ValueError("no such thing")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "it failed", (), info)
    assert "ValueError: no such thing" in written(record)["exception"]


def test_the_level_of_the_log_acts_on_it_as_on_lines() -> None:
    assert isinstance(JsonFormatter(), LineFormatter), "logs.set_level asks for that"
