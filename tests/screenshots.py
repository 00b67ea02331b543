"""Pictures of every page, light and dark, wide and phone: `make screenshots`.

    python -m tests.screenshots [FOLDER] [PATH ...]

A server of its own serves small real models and answers a few requests, so that pages have
something to show. The pages are those of its navigation, and a few that are reached from them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from playwright.sync_api import Browser

from tests.acceptance.conftest import write_models
from tests.browser import PHONE, WIDE, Watched, running_browser, watched
from tests.ggufs import write_reranker
from tests.server import ROOT, RunningServer, running_server

FOLDER: Final = ROOT / "docs" / "screenshots"
MORE: Final = ("/ui/models/?view=table", "/ui/models/1/", "/ui/setup/browse/", "/ui/components/")
"""Pages that the navigation does not name."""

KINDS: Final[dict[str, dict[str, Any]]] = {
    "wide-light": {"viewport": WIDE, "color_scheme": "light"},
    "wide-dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone-light": {**PHONE, "color_scheme": "light"},
    "phone-dark": {**PHONE, "color_scheme": "dark"},
}


@contextmanager
def busy_server() -> Iterator[RunningServer]:
    """A server that has models, two of them loaded, and has answered some requests."""
    with tempfile.TemporaryDirectory(prefix="claracore-pictures-") as scratch:
        folder = write_models(Path(scratch) / "models")
        write_reranker(folder / "judge-f32.gguf")
        with running_server(folder) as server:
            server.wait_for_models("fox", "sea", "letters", "judge")
            _work(server)
            yield server


def _work(server: RunningServer) -> None:
    for model in ("sea", "fox", "fox", "nobody"):
        body = {"model": model, "messages": [{"role": "user", "content": "Tell me a story."}]}
        requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=120)
    embed = {"model": "letters", "input": "sea"}
    requests.post(f"{server.url}/v1/embeddings", json=embed, timeout=120)


def pages(browser: Browser, server: RunningServer) -> list[str]:
    """The paths of all pages."""
    with watched(browser, server.url) as seen:
        seen.open("/ui/")
        links = seen.page.locator(".nav-link").evaluate_all("links => links.map(one => one.href)")
    return [*(urlsplit(link).path for link in links), *MORE]


def name_of(path: str) -> str:
    """For example: models-table of /ui/models/?view=table."""
    words = path.removeprefix("/ui").replace("?view=", "/").strip("/").split("/")
    return "-".join(word for word in words if word)


def picture(seen: Watched, path: str, file: Path) -> None:
    seen.open(path)
    if seen.page.locator("#connection").count():
        seen.expect_live()
    seen.page.wait_for_load_state("load")
    seen.page.screenshot(path=file, full_page=True)


def main(folder: Path = FOLDER, *wanted: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with busy_server() as server, running_browser() as browser:
        paths = wanted or pages(browser, server)
        for kind, options in KINDS.items():
            with watched(browser, server.url, **options) as seen:
                for path in paths:
                    file = folder / f"{name_of(path)}-{kind}.png"
                    picture(seen, path, file)
                    print(file.name, *seen.complaints)
                    seen.complaints.clear()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else FOLDER, *sys.argv[2:])
