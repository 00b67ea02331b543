from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from claracore_site import env


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def set_it(value: str) -> None:
        monkeypatch.setenv("CLARACORE_SAMPLE", value)

    return set_it


def test_an_unset_or_blank_variable_gives_the_default(setting: Callable[[str], None]) -> None:
    assert env.integer("SAMPLE", 7, lowest=1, highest=9) == 7
    setting("  ")
    assert env.text("SAMPLE", "x") == "x"
    assert env.boolean("SAMPLE", True) is True
    assert env.gibibytes("SAMPLE") is None


@pytest.mark.parametrize(("value", "expected"), [("YES", True), ("off", False), ("1", True)])
def test_it_reads_booleans_in_the_usual_words(
    setting: Callable[[str], None], value: str, expected: bool
) -> None:
    setting(value)
    assert env.boolean("SAMPLE", not expected) is expected


def test_a_bad_value_names_its_variable(setting: Callable[[str], None]) -> None:
    setting("maybe")
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE must be true or false"):
        env.boolean("SAMPLE", True)
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE must be a whole number"):
        env.integer("SAMPLE", 1, lowest=0, highest=2)
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE must be a number of GiB"):
        env.gibibytes("SAMPLE")
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE must be one of a, b"):
        env.choice("SAMPLE", "a", ("a", "b"))


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_memory_must_be_a_real_amount(setting: Callable[[str], None], value: str) -> None:
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE"):
        env.gibibytes("SAMPLE")


def test_a_number_out_of_range_is_refused(setting: Callable[[str], None]) -> None:
    setting("70000")
    with pytest.raises(ImproperlyConfigured, match="between 1 and 65535"):
        env.integer("SAMPLE", 1, lowest=1, highest=65535)


def test_paths_are_made_absolute(setting: Callable[[str], None], tmp_path: Path) -> None:
    setting(f"{tmp_path}/a/../b")
    assert env.path("SAMPLE", tmp_path) == tmp_path / "b"


def test_lists_are_split_at_commas(setting: Callable[[str], None]) -> None:
    setting("a.example , b.example,,")
    assert env.words("SAMPLE") == ["a.example", "b.example"]
