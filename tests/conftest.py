"""What holds for all tests: the order they run in, and how long each module takes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from django.core import signals
from django.db import close_old_connections, connection
from django.test import Client, SimpleTestCase

from tests import lan

# How long an example takes says more of what else the machine does than of the code.
hypothesis.settings.register_profile(
    "claracore", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("claracore")

DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "live_server"}
SECONDS_FILE = Path(__file__).parent / "module_seconds.txt"
WORTH_NOTING_SECONDS = 5.0
SERVER_SECONDS = 100.0


@pytest.fixture
def client() -> Client:
    """A browser or program at this machine, which needs no account while there is none."""
    return Client(SERVER_NAME="localhost")


@pytest.fixture(autouse=True)
def _changes_counted_at_once(request: pytest.FixtureRequest) -> None:
    """PostgreSQL counts changes when a transaction ends, as the one around a test never does."""
    if lan.is_on() and _uses_database(request.node):
        request.getfixturevalue("db")
        if connection.in_atomic_block:
            lan.count_changes_at_once()


@pytest.fixture(autouse=True)
def _connection_kept_by_requests() -> Iterator[None]:
    """A request ends with a look at its connection; the one a test's transaction lives on stays.

    Django's own test client keeps it so; requests to the application as a whole do not use that.
    """
    ends = (signals.request_started, signals.request_finished)
    for signal in ends:
        signal.disconnect(close_old_connections)
    yield
    for signal in ends:
        signal.connect(close_old_connections)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--touching-services",
        action="store_true",
        help="only tests that use a database, the broker or a whole server marked `lan`",
    )
    parser.addoption(
        "--write-module-seconds",
        action="store_true",
        help=f"write down in {SECONDS_FILE.name} how long the longest modules took",
    )


def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: half of its time a test waits for servers, engines and browsers."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Chance orders modules and tests; two things go before that.

    Tests of a module marked `in_order` run as they are written. Where modules run beside each
    other the longest start first, so that none is left over when all others are done.
    """
    if config.option.touching_services:
        _keep_what_touches_services(config, items)
    _put_stories_in_order(items)
    if hasattr(config, "workerinput"):
        seconds = module_seconds()
        items.sort(key=lambda item: -_expected(_module(item.nodeid), seconds))


def _keep_what_touches_services(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What may behave differently on PostgreSQL and Redis."""
    left_out = [item for item in items if not _touches_services(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if _touches_services(item)]


def _touches_services(item: pytest.Item) -> bool:
    """Tests that ask for Django's database, and modules that run server or worker on it."""
    return _uses_database(item) or item.get_closest_marker("lan") is not None


def _uses_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db") is not None:
        return True
    if issubclass(getattr(item, "cls", None) or object, SimpleTestCase):
        return True
    return not DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def _put_stories_in_order(items: list[pytest.Item]) -> None:
    places: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        if item.get_closest_marker("in_order"):
            places.setdefault(item.path, []).append(index)
    for indexes in places.values():
        ordered = sorted((items[index] for index in indexes), key=_line)
        for index, item in zip(indexes, ordered, strict=True):
            items[index] = item


def _line(item: pytest.Item) -> int:
    return item.location[1] or 0


def _expected(module: str, seconds: dict[str, float]) -> float:
    """What is not written down is short, unless it may start servers."""
    unknown = SERVER_SECONDS if module.startswith("tests/acceptance/") else 0.0
    return seconds.get(module, unknown)


def _module(nodeid: str) -> str:
    return nodeid.partition("::")[0]


# ---- How long modules take ----------------------------------------------------------------------


def module_seconds() -> dict[str, float]:
    """Seconds that the longest modules took when they were last measured."""
    lines = (line.split() for line in SECONDS_FILE.read_text().splitlines())
    return {module: float(seconds) for seconds, module in lines}


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not config.option.write_module_seconds:
        return
    spent: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                spent[_module(report.nodeid)] += report.duration
    longest = sorted(spent, key=lambda module: -spent[module])
    lines = [f"{spent[m]:.0f} {m}\n" for m in longest if spent[m] >= WORTH_NOTING_SECONDS]
    SECONDS_FILE.write_text("".join(lines))
