"""Installing Debian packages, with an apt-get that only looks around, in mounts of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.server import ROOT

POLICY = "/usr/sbin/policy-rc.d"
APT_GET = f"""#!/bin/sh
echo "$1: $(cat {POLICY})" >>"$SEEN"
exit "$APT_STATUS"
"""
OUR_OWN = ["unshare", "--mount", "sh", "-ec"]


def _has_mounts_of_its_own() -> bool:
    try:
        return (
            subprocess.run([*OUR_OWN, "mount -t tmpfs none /usr/sbin"], check=False).returncode == 0
        )
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not _has_mounts_of_its_own(), reason="needs root and unshare")


class Installation:
    """Runs the tool where nothing is in /usr/sbin but what a test put there."""

    def __init__(self, folder: Path) -> None:
        self.seen = folder / "seen"
        self.after = folder / "after"
        (folder / "apt-get").write_text(APT_GET)
        (folder / "apt-get").chmod(0o755)
        self._path = f"{folder}:{os.environ['PATH']}"

    def __call__(self, before: str = "true", status: int = 0) -> int:
        """The exit status; `before` is what a shell does first, `status` is apt-get's."""
        tool = "tools/debian-packages no-such-program:its-package || status=$?"
        keep = f"cp {POLICY} {self.after} || true; exit ${{status:-0}}"
        script = f"mount -t tmpfs none /usr/sbin; {before}; {tool}; {keep}"
        environment = {"PATH": self._path, "SEEN": str(self.seen), "APT_STATUS": str(status)}
        done = subprocess.run(
            [*OUR_OWN, script], cwd=ROOT, env=environment, capture_output=True, check=False
        )
        return done.returncode


@pytest.fixture
def install(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_it_keeps_services_from_starting_while_it_installs(install: Installation) -> None:
    assert install() == 0
    assert install.seen.read_text().count("exit 101") == 2  # update and install
    assert not install.after.exists()


def test_it_clears_up_when_the_installation_fails(install: Installation) -> None:
    assert install(status=100) == 100
    assert "exit 101" in install.seen.read_text()
    assert not install.after.exists()


def test_it_leaves_the_policy_of_somebody_else_alone(install: Installation) -> None:
    assert install(before=f"echo mine >{POLICY}") == 0
    assert install.seen.read_text() == "update: mine\ninstall: mine\n"
    assert install.after.read_text() == "mine\n"
