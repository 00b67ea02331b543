from __future__ import annotations

import json
import re
import subprocess
import sys

from tests.server import ROOT
from ui_app.context import MODULES

SCRIPTS = ROOT / "static" / "ui" / "js"


def imported(name: str) -> set[str]:
    """The modules that a module imports, and those that they import."""
    text = (SCRIPTS / f"{name}.js").read_text()
    direct = set(re.findall(r'^import [^;]*?"\./(\w+)\.js";', text, re.MULTILINE))
    return direct.union(*(imported(one) for one in direct))


def test_every_module_of_the_frame_is_asked_for_at_once() -> None:
    assert set(MODULES) == imported("frame")


def test_the_vendored_files_are_those_that_were_fetched() -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "vendor", "--check"], check=True)
    entries = json.loads((ROOT / "static" / "vendor" / "versions.json").read_text())
    assert all(entry["version"] and entry["licence"] for entry in entries.values())
