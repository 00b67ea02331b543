"""`python -m tests.hub FOLDER [--rate N]`: its files as those of owner/FOLDER's name.

Prints the hub's and the store's address, then serves until its input ends.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.hub import Blob, Fault, running_hub


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=int, default=0, help="Bytes per second and connection.")
    options = parser.parse_args()
    files = {path.name: path for path in options.folder.iterdir() if path.is_file()}
    with running_hub() as hub:
        hub.add(f"owner/{options.folder.name}", files)
        hub.plain = {name: Blob(path) for name, path in files.items()}
        if options.rate:
            hub.faults = [Fault("rate", -1, options.rate)]
        print(json.dumps({"hub": hub.url, "store": hub.store_url}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
