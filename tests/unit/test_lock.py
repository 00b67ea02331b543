"""What is installed is what the lock says, and the lock says what the requirements ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.server import ROOT

HELP = "Run `make lock`, and commit what it writes."
FILES = ("requirements", "requirements-dev")


def wanted(file: Path) -> Iterator[Requirement]:
    """What a requirements file asks for, those it includes too."""
    for line in file.read_text().splitlines():
        text = line.partition(" #")[0].strip()
        if text.startswith("-r "):
            yield from wanted(file.parent / text[3:])
        elif text and not text.startswith(("#", "-")):
            yield Requirement(text)


def locked(file: Path) -> dict[str, tuple[Requirement, int]]:
    """Each package of a lock with how many hashes it has."""
    found: dict[str, tuple[Requirement, int]] = {}
    for entry in re.split(r"\n(?=\S)", file.read_text().replace("\\\n", " ")):
        text = entry.partition("--hash")[0].strip()
        if text and not text.startswith("#"):
            requirement = Requirement(text)
            hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}", entry)
            found[canonicalize_name(requirement.name)] = (requirement, len(hashes))
    return found


@pytest.mark.parametrize("name", FILES)
def test_the_lock_fits_the_requirements(name: str) -> None:
    lock = locked(ROOT / f"{name}.lock")
    for requirement in wanted(ROOT / f"{name}.txt"):
        assert str(requirement.specifier).startswith("=="), requirement
        pinned, _ = lock.get(canonicalize_name(requirement.name), (None, 0))
        assert pinned is not None, f"{requirement.name} is not in {name}.lock. {HELP}"
        assert pinned.specifier == requirement.specifier, f"{requirement.name}: {HELP}"


@pytest.mark.parametrize("name", FILES)
def test_every_package_is_pinned_with_hashes(name: str) -> None:
    for pinned, hashes in locked(ROOT / f"{name}.lock").values():
        assert re.fullmatch(r"==[^*,]+", str(pinned.specifier)), pinned
        assert hashes, pinned


@pytest.mark.parametrize("name", FILES)
def test_what_the_packages_need_is_locked_too(name: str) -> None:
    lock = locked(ROOT / f"{name}.lock")
    asked = wanted(ROOT / f"{name}.txt")
    extras = {str(canonicalize_name(one.name)): sorted(one.extras) for one in asked}
    for package, (pinned, _) in lock.items():
        if pinned.marker and not pinned.marker.evaluate():
            continue
        for text in distribution(package).requires or ():
            needed = Requirement(text)
            if needed.marker and not any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *extras.get(package, ()))
            ):
                continue
            found, _ = lock.get(canonicalize_name(needed.name), (None, 0))
            assert found is not None, f"{package} needs {needed}, which is not locked. {HELP}"
            version = str(found.specifier).removeprefix("==")
            assert needed.specifier.contains(version, prereleases=True), (package, text, version)


def test_the_locks_agree() -> None:
    ours, whole = (locked(ROOT / f"{name}.lock") for name in FILES)
    for package, (pinned, _) in ours.items():
        assert whole[package][0].specifier == pinned.specifier, f"{package}: {HELP}"


def test_what_is_installed_is_what_is_locked() -> None:
    for package, (pinned, _) in locked(ROOT / "requirements-dev.lock").items():
        if pinned.marker and not pinned.marker.evaluate():
            continue
        try:
            installed = distribution(package).version
        except PackageNotFoundError:
            pytest.fail(f"{package} is locked but not installed. Run `make setup`.")
        assert pinned.specifier.contains(installed, prereleases=True), (package, installed)
