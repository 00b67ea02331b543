"""People looking at the admin while streams run.

    python -m bench.visitors http://127.0.0.1:5800 --session … --rate 20 --seconds 5

Prints one JSON object. Each visitor has signed in and looks at lists and forms in turn. They let
others on their processor go first: whoever measures streams there is not to wait for them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from threading import local
from urllib.parse import urlsplit

PAGES = (
    "/admin/",
    "/admin/models_app/servedmodel/",
    "/admin/models_app/modelfolder/",
    "/admin/models_app/revision/",
    "/ui/models/",
)
VISITORS = 8
"""So many pages may be on their way at once."""

NICENESS = 10

_mine = local()


def look(host: str, path: str, session: str) -> float:
    """Milliseconds until a page was there. Raises what `http.client` does when it was not."""
    if not hasattr(_mine, "connection"):
        _mine.connection = HTTPConnection(host, timeout=60)
    cookies = f"sessionid={session}; csrftoken={'c' * 32}"
    headers = {"Cookie": cookies, "Accept-Encoding": "gzip", "Accept": "text/html"}
    began = time.monotonic()
    _mine.connection.request("GET", path, headers=headers)
    reply = _mine.connection.getresponse()
    reply.read()
    if reply.status != 200:
        raise SystemExit(f"{path} answered {reply.status}.")
    return (time.monotonic() - began) * 1000


def visit(url: str, session: str, rate: float, seconds: float) -> dict[str, float]:
    """Ask for `rate` pages a second, whether or not those before have come."""
    host = urlsplit(url).netloc
    began = time.monotonic()
    with ThreadPoolExecutor(VISITORS) as crowd:
        looks = []
        for number in range(int(rate * seconds)):
            time.sleep(max(0, began + number / rate - time.monotonic()))
            looks.append(crowd.submit(look, host, PAGES[number % len(PAGES)], session))
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
    os.nice(NICENESS)
    print(json.dumps(visit(options.url, options.session, options.rate, options.seconds)))


if __name__ == "__main__":
    main()
