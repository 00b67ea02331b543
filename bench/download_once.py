"""One download by the code that the workers run: URL TARGET SHA256 CONNECTIONS."""

from __future__ import annotations

import sys
from pathlib import Path

from downloads_app.background import step_back
from downloads_app.transfer import Order, Transfer


def main() -> None:
    url, target, digest, connections = sys.argv[1:]
    count = int(connections)
    order = Order(
        url, Path(target), "bench", sha256=digest, connections=count, most_connections=count
    )
    step_back()
    Transfer(order).run()


if __name__ == "__main__":
    main()
