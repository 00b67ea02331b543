"""How long a page takes to be there, in Chromium, on a server that has much to show.

    python -m bench.pages [--models 500] [--requests 10000] [--rounds 3]

The server knows that many models and has answered that many requests. Each page is opened in a
fresh context, so nothing comes from a cache. Printed, as medians: when the first of it was painted,
when all of it was there, and what it weighed on the wire. Asked: painted within a second, at most
300 kB.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml
from playwright.sync_api import Browser

from bench.promises import Promise
from tests.browser import WEIGHT_LIMIT, WIDE, running_browser
from tests.management import in_home
from tests.server import running_server

PAINT_CEILING_MS: Final = 1000.0
PAGES: Final = (
    "/ui/",
    "/ui/models/",
    "/ui/models/?view=table",
    "/ui/playground/",
    "/ui/downloads/",
    "/ui/activity/",
    "/ui/queue/",
    "/ui/logs/",
    "/ui/configuration/",
    "/ui/engines/",
    "/ui/setup/",
    "/admin/",
    "/admin/models_app/servedmodel/",
    "/admin/proxy_app/usagerow/",
)

REQUESTS: Final = """
import time
from proxy_app.drain import folder
from proxy_app.journal import Journal
from proxy_app.models import UsageRow
from proxy_app.records import Line
said = '"usage":{{"prompt_tokens":9,"completion_tokens":16}}'
now = time.time()
journal = Journal(folder())
journal.append([
    Line(now - number * 8, number, f"model-{{number % {models}:03}}", "/v1/chat/completions", 0, 0,
         200, "", True, 0.01, 0.0, 0.2, 1.5, 1.2, 0, said)
    for number in range({requests})
])
journal.close()
while UsageRow.objects.count() < {requests}:
    time.sleep(0.2)
"""

TOLD: Final = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const fetched = performance.getEntriesByType("resource");
  return {
    paint: paint ? paint.startTime : null,
    done: page.loadEventEnd,
    bytes: [page, ...fetched].reduce((sum, { transferSize }) => sum + transferSize, 0),
    elements: document.querySelectorAll("*").length,
  };
}"""


def look(browser: Browser, url: str) -> dict[str, float]:
    """What the browser itself measured of one visit."""
    context = browser.new_context(viewport=WIDE)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url, wait_until="load")
    told: dict[str, Any] = page.evaluate(TOLD)
    while told["paint"] is None:  # It is noted down a little later.
        page.wait_for_timeout(20)
        told = page.evaluate(TOLD)
    context.close()
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    promises = []
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "config.yaml"
        entry = {"cmd": "sleep 1000", "proxy": "http://127.0.0.1:1"}
        models = {f"model-{number:03}": dict(entry) for number in range(options.models)}
        config.write_text(yaml.safe_dump({"models": models}))
        with running_server(arguments=["--config", str(config)]) as server:
            server.wait_for_models(*models)
            filling = REQUESTS.format(models=options.models, requests=options.requests)
            in_home(server.home, filling)
            print(f"{options.models} models, {options.requests:,} requests; medians of visits")
            print(f"{'':34}{'painted ms':>12}{'there ms':>12}{'kB':>8}{'elements':>10}")
            with running_browser() as browser:
                look(browser, server.url + "/ui/")  # The process that renders pages starts now.
                for path in PAGES:
                    visits = [look(browser, server.url + path) for _ in range(options.rounds)]
                    of = {name: statistics.median(v[name] for v in visits) for name in visits[0]}
                    print(
                        f"{path:34}{of['paint']:12,.0f}{of['done']:12,.0f}"
                        f"{of['bytes'] / 1000:8,.0f}{of['elements']:10,.0f}"
                    )
                    promises += [
                        Promise(f"{path}: painted", of["paint"], PAINT_CEILING_MS, unit="ms"),
                        Promise(f"{path}: weight", of["bytes"], WEIGHT_LIMIT, unit="bytes"),
                    ]
    missed = [promise for promise in promises if not promise.kept]
    for promise in missed:
        print(promise.line())
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
