"""A real browser that looks at the real server's pages: Debian's Chromium, driven by Playwright.

    with watched(browser, server) as seen:            # or the fixture of a module
        seen.open("/ui/models/")
        seen.check()      # no complaint in the console, no other host asked, axe finds nothing

What a page complained about and every address it asked for are kept from the first moment.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any, Final

import psutil
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

LIMIT_MS: Final = 90_000
"""A guard against hanging, far beyond what anything here takes."""

STUCK_SECONDS: Final = 300
"""No test takes so long with a browser that answers."""

WEIGHT_LIMIT: Final = 300_000
"""Bytes that one page may fetch, as they are sent."""

SMALLEST_TARGET: Final = 40
"""CSS pixels that a finger can hit."""

OPTIONS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE: Final = {"width": 1440, "height": 900}
PHONE: Final = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}

_AXE: Final = Path(__file__).parent / "vendor" / "axe.min.js"
_SERIOUS: Final = ("serious", "critical")


def chromium() -> str:
    """Where Debian's browser is."""
    program = shutil.which("chromium")
    assert program, "These tests drive Debian's Chromium: apt-get install chromium"
    return program


class Browsers:
    """A browser without a window for one test after the other, a new one when it has died."""

    def __init__(self, playwright: Playwright, options: Sequence[str]) -> None:
        self._playwright = playwright
        self._options = options
        self._running: Browser | None = None

    def one(self) -> Browser:
        if self._running is None or not self._running.is_connected():
            self._running = self._playwright.chromium.launch(
                executable_path=chromium(), args=list(self._options)
            )
        return self._running

    def close(self) -> None:
        if self._running is not None:
            self._running.close()


@contextmanager
def running_browsers(*more_options: str) -> Iterator[Browsers]:
    """For the time of the block; `expect` waits long enough for a slow machine."""
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        browsers = Browsers(playwright, [*OPTIONS, *more_options])
        yield browsers
        browsers.close()


@contextmanager
def running_browser() -> Iterator[Browser]:
    """One browser for the time of the block."""
    with running_browsers() as browsers:
        yield browsers.one()


@contextmanager
def ended_when_stuck() -> Iterator[None]:
    """Whatever waits for a browser that hangs fails, late.

    Much of what a page is asked (`evaluate`, closing it) has no time limit of its own.
    """
    timer = Timer(STUCK_SECONDS, _kill_browsers)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _kill_browsers() -> None:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.name().startswith("chrom"):
                process.kill()


@dataclass
class Watched:
    """A page, with everything it complained about and everything it fetched."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a page of the server."""
        self.page.goto(self.origin + path)

    def expect_live(self) -> None:
        """Until the page hears what happens."""
        self.expect_connection("live")

    def expect_connection(self, state: str) -> None:
        expect(self.page.locator("#connection")).to_have_attribute("data-state", state)

    def check(self) -> None:
        """All that every page has to fulfil."""
        self.check_quiet()
        assert accessibility_faults(self.page) == []

    def check_quiet(self) -> None:
        """Nothing in the console, nothing from another host."""
        assert self.complaints == [], self.complaints
        foreign = [one for one in self.addresses if not one.startswith((self.origin, "blob:"))]
        assert foreign == []

    def check_fits(self) -> None:
        """Nothing is wider than the window, and a finger can hit every button."""
        widths = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], f"{self.page.url} is {widths[0]} wide"
        for control in self.page.locator("main .button:visible, .icon-button:visible").all():
            box = control.bounding_box()
            assert box is not None
            assert min(box["height"], box["width"]) >= SMALLEST_TARGET, control.inner_text()

    def weight(self) -> int:
        """Bytes the page has fetched since it was opened, as they were sent.

        The browser tells: to ask for each answer's content waits for ever for one that never ends.
        """
        return int(
            self.page.evaluate(
                "['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind))"
                ".reduce((sum, {encodedBodySize}) => sum + encodedBodySize, 0)"
            )
        )


@contextmanager
def watched(browser: Browser, origin: str, **options: Any) -> Iterator[Watched]:
    """A page in a context of its own, such as another person's browser."""
    context = browser.new_context(**{"viewport": WIDE, **options})
    context.set_default_timeout(LIMIT_MS)
    seen = Watched(context.new_page(), origin)
    seen.page.on("console", lambda m: seen.complaints.append(m.text) if m.type != "log" else None)
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.on("request", lambda request: seen.addresses.append(request.url))
    try:
        yield seen
    finally:
        context.close()


def accessibility_faults(page: Page) -> list[str]:
    """What axe-core finds serious or worse on the page as it is now, each with where it is."""
    # Evaluated by the browser itself, so the page's own policy does not hinder it.
    page.evaluate(_AXE.read_text())
    found = page.evaluate(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'],"
        " resultTypes: ['violations']})"
    )
    return [
        f"{fault['id']}: {fault['help']} at {node['target']}: {node.get('failureSummary', '')}"
        for fault in found["violations"]
        if fault["impact"] in _SERIOUS
        for node in fault["nodes"]
    ]
