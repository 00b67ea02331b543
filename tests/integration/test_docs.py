"""The documentation: built without a dead link, and as the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from claracore_site import api_reference, settings_reference
from proxy_app import paths
from tests.server import ROOT


def test_it_builds_without_a_dead_link(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "index.html").exists()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_of_the_pages_outside_docs_lead_somewhere(name: str) -> None:
    file = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", file.read_text()):
        if "://" not in target:
            assert (ROOT / target).exists(), f"{name} links to {target}"


def test_every_page_is_in_the_list_of_pages() -> None:
    listed = set(re.findall(r": (\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M))
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_the_settings_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert text == settings_reference.page(), "call manage.py settings_reference"


@pytest.mark.parametrize("path", [*paths.BY_BODY, *paths.BY_QUERY])
def test_every_path_of_the_gateway_is_told(path: str) -> None:
    assert f"`{path}`" in (ROOT / "docs" / "gateway.md").read_text()


def test_the_routes_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "routes.md").read_text()
    assert text == api_reference.page(), "call manage.py api_reference"
