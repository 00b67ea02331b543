"""People looking at the admin while streams run.

    python -m bench.visitors http://127.0.0.1:5800 --session … --rate 20 --seconds 5

Prints one JSON object. Each visitor has signed in, keeps its cookies, and looks at lists and forms
in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from threading import local

import requests

PAGES = (
    "/admin/",
    "/admin/models_app/servedmodel/",
    "/admin/models_app/modelfolder/",
    "/admin/models_app/revision/",
    "/ui/models/",
)
VISITORS = 8
"""So many pages may be on their way at once."""

_mine = local()


def look(url: str, session: str) -> float:
    """Milliseconds until a page was there. Raises what `requests` does when it was not."""
    if not hasattr(_mine, "session"):
        _mine.session = requests.Session()
        _mine.session.cookies.set("sessionid", session)
    began = time.monotonic()
    reply = _mine.session.get(url, timeout=60, allow_redirects=False)
    reply.raise_for_status()
    if reply.status_code != 200:
        raise SystemExit(f"{url} answered {reply.status_code}.")
    return (time.monotonic() - began) * 1000


def visit(url: str, session: str, rate: float, seconds: float) -> dict[str, float]:
    """Ask for `rate` pages a second, whether or not those before have come."""
    began = time.monotonic()
    with ThreadPoolExecutor(VISITORS) as crowd:
        looks = []
        for number in range(int(rate * seconds)):
            time.sleep(max(0, began + number / rate - time.monotonic()))
            looks.append(crowd.submit(look, url + PAGES[number % len(PAGES)], session))
        took = [one.result() for one in looks]
    return {
        "pages": len(took),
        "per_second": len(took) / (time.monotonic() - began),
        "p50": statistics.median(took),
        "max": max(took),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--session", default="", help="the cookie of somebody who signed in")
    parser.add_argument("--rate", type=float, default=20, help="pages a second")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    print(json.dumps(visit(options.url, options.session, options.rate, options.seconds)))


if __name__ == "__main__":
    main()
