"""Pictures of every page, light and dark, wide and phone: `make screenshots`.

A server of its own serves small real models to a few people and answers some requests, so that
pages have something to show. The pages are those of its navigation, and a few that are reached from
them. Pictures are WebP and small, as they lie in the repository.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from playwright.sync_api import Browser, expect

from tests.browser import PHONE, WIDE, Watched, running_browser, watched
from tests.ggufs import write_embedder, write_reciter, write_reranker
from tests.server import ROOT, RunningServer, running_server

FOLDER: Final = ROOT / "docs" / "screenshots"
MORE: Final = (
    "/ui/models/?view=table",
    "/ui/models/1/",
    "/ui/playground/embeddings/",
    "/ui/setup/browse/",
    "/ui/configuration/text/",
    "/ui/configuration/history/",
    "/ui/keys/usage/",
    "/ui/keys/people/",
    "/ui/keys/1/",
    "/ui/components/",
)
"""Pages that the navigation does not name."""

KINDS: Final[dict[str, dict[str, Any]]] = {
    "wide-light": {"viewport": WIDE, "color_scheme": "light"},
    "wide-dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone-light": {**PHONE, "color_scheme": "light"},
    "phone-dark": {**PHONE, "color_scheme": "dark"},
}
PEOPLE: Final = {"ada": "user", "grace": "curator", "root": "administrator"}
"""The administrator comes last: from then on everybody has to sign in."""

PASSWORD: Final = "correct horse 9"
SEA: Final = "Far out in the ocean the water is as blue as a cornflower."
RAINBOW: Final = (
    "A rainbow needs **two things**: sun behind you and rain before you.\n\n"
    "| colour | wavelength |\n|---|---|\n| red | 700 nm |\n| green | 530 nm |\n"
    "| violet | 400 nm |\n\n```python\nbow = refract(sun, rain)\n```\n"
)
QUALITIES: Final = (60, 45, 30, 20, 10)
"""Of WebP, best first: the first that keeps a picture below MOST_BYTES."""

MOST_BYTES: Final = 60_000
TALLEST: Final = 2000
"""CSS pixels of a page that a picture shows."""


@contextmanager
def busy_server() -> Iterator[RunningServer]:
    """A server with models, some of them used by people who have keys."""
    with tempfile.TemporaryDirectory(prefix="claracore-pictures-") as scratch:
        folder = Path(scratch) / "models"
        folder.mkdir()
        write_reciter(folder / "sea-f32.gguf", SEA)
        write_reciter(folder / "rainbow-f32.gguf", RAINBOW)
        write_reciter(folder / "long-talk-f32.gguf", SEA, endless=True, context_length=65536)
        write_embedder(folder / "letters-f32.gguf")
        write_reranker(folder / "judge-f32.gguf")
        with running_server(folder, home=Path(scratch) / "claracore") as server:
            server.wait_for_models("sea", "rainbow", "long-talk", "letters", "judge")
            _work(server, _settle_people(server))
            yield server


def _settle_people(server: RunningServer) -> list[str]:
    """Accounts, and a key for each; the keys."""
    keys = []
    for name, role in PEOPLE.items():
        body = {"name": name, "password": PASSWORD, "role": role}
        if role == "administrator":
            continue
        person = _asked(server, "/api/people", body)
        wish = {"name": f"{name}'s notebook", "person": person["id"], "tokensPerDay": 200_000}
        keys.append(_asked(server, "/api/keys", wish)["key"])
    return keys


def _work(server: RunningServer, keys: list[str]) -> None:
    """Some requests, and an administrator, without whom none would have to sign in."""
    for number, model in enumerate(("sea", "rainbow", "rainbow", "sea", "rainbow", "nobody")):
        key = {"Authorization": f"Bearer {keys[number % len(keys)]}"}
        body = {"model": model, "messages": [{"role": "user", "content": "Tell me a story."}]}
        url = f"{server.url}/v1/chat/completions"
        requests.post(url, json=body, headers=key, timeout=120)
    _asked(server, "/v1/embeddings", {"model": "letters", "input": "sea"})
    _asked(server, "/api/people", {"name": "root", "password": PASSWORD, "role": "administrator"})


def _asked(server: RunningServer, path: str, body: dict[str, Any]) -> Any:
    reply = requests.post(f"{server.url}{path}", json=body, timeout=120)
    assert reply.ok, reply.text
    return reply.json()


def signed_in(browser: Browser, server: RunningServer) -> Any:
    """What a browser keeps of somebody who has signed in as the administrator."""
    with watched(browser, server.url) as seen:
        seen.open("/ui/sign-in/")
        seen.page.get_by_label("Name").fill("root")
        seen.page.get_by_label("Password").fill(PASSWORD)
        seen.page.get_by_label("Password").press("Enter")
        seen.expect_live()
        return seen.page.context.storage_state()


def pages(browser: Browser, server: RunningServer, state: Any) -> list[str]:
    """The paths of all pages."""
    with watched(browser, server.url, storage_state=state) as seen:
        seen.open("/ui/")
        links = seen.page.locator(".nav-link").evaluate_all("links => links.map(one => one.href)")
    return [*(urlsplit(link).path for link in links), *MORE]


def name_of(path: str) -> str:
    """For example: models-table of /ui/models/?view=table."""
    words = path.removeprefix("/ui").replace("?view=", "/").strip("/").split("/")
    return "-".join(word for word in words if word)


# ---- What a page is made to show before its picture is taken -----------------------------------


def _talk(seen: Watched) -> None:
    expect(seen.page.locator("#play[data-ready]")).to_be_visible()
    seen.page.locator("#question").fill("What is a rainbow?")
    seen.page.locator("#question").press("Enter")
    whole = seen.page.locator('.message[data-role="assistant"]:not([data-busy])')
    expect(whole).to_have_count(1)


def _charts(seen: Watched) -> None:
    expect(seen.page.locator("canvas").first).to_be_visible()


def _lines(seen: Watched) -> None:
    expect(seen.page.locator(".log-line").first).to_be_visible()


SHOWN: Final[dict[str, Callable[[Watched], None]]] = {
    "/ui/playground/?model=rainbow": _talk,
    "/ui/dashboard/": _charts,
    "/ui/activity/": _charts,
    "/ui/keys/usage/": _charts,
    "/ui/keys/1/": _charts,
    "/ui/logs/?source=rainbow": _lines,
}
INSTEAD: Final = {
    "/ui/playground/": "/ui/playground/?model=rainbow",
    "/ui/logs/": "/ui/logs/?source=rainbow",
}
"""Addresses that show more than the plain one."""


_CHANGE_TEXTS: Final = """places => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (const [here, there] of places) {
      if (node.data.includes(here)) node.data = node.data.replaceAll(here, there);
    }
  }
  for (const field of document.querySelectorAll("textarea, input")) {
    for (const [here, there] of places) field.value = field.value.replaceAll(here, there);
  }
}"""


def picture(seen: Watched, path: str, file: Path, places: list[tuple[str, str]]) -> None:
    """Open a page and take its picture, from the top to TALLEST; `places` are shown otherwise."""
    path = INSTEAD.get(path, path)
    seen.open(path)
    if seen.page.locator("#connection").count():
        seen.expect_live()
    if path in SHOWN:
        SHOWN[path](seen)
    seen.page.wait_for_load_state("load")
    seen.page.evaluate(_CHANGE_TEXTS, places)
    seen.page.evaluate("Promise.all([document.fonts.ready, scrollTo(0, 0)])")
    session = seen.page.context.new_cdp_session(seen.page)
    size = session.send("Page.getLayoutMetrics")["cssContentSize"]
    clip = {**size, "height": min(size["height"], TALLEST), "scale": 1}
    for quality in QUALITIES:
        options = {"format": "webp", "quality": quality, "captureBeyondViewport": True}
        shot = session.send("Page.captureScreenshot", {**options, "clip": clip})
        content = base64.b64decode(shot["data"])
        if len(content) <= MOST_BYTES:
            break
    file.write_bytes(content)
    session.detach()


def main(folder: Path = FOLDER, *wanted: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with busy_server() as server, running_browser() as browser:
        # Where this checkout and its passing home lie is another place each time.
        places = [(str(server.home.parent), "/srv"), (str(ROOT), "/opt/claracore")]
        state = signed_in(browser, server)
        paths = wanted or pages(browser, server, state)
        for kind, options in KINDS.items():
            with watched(browser, server.url, storage_state=state, **options) as seen:
                for path in paths:
                    begun = time.monotonic()
                    file = folder / f"{name_of(path)}-{kind}.webp"
                    picture(seen, path, file, places)
                    took = f"{time.monotonic() - begun:.1f} s"
                    print(file.name, file.stat().st_size, took, *seen.complaints, flush=True)
                    seen.complaints.clear()


def arguments() -> argparse.Namespace:
    """What the command line says, or an explanation."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="where they go")
    parser.add_argument("paths", nargs="*", metavar="path", help="such as /ui/models/; else all")
    return parser.parse_args()


if __name__ == "__main__":
    asked = arguments()
    main(asked.folder, *asked.paths)
