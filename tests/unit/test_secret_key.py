from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from claracore_site import secret_key


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "secret_key"
    key = secret_key.read_or_make(file)
    assert secret_key.read_or_make(file) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    file.write_text("short")
    with pytest.raises(ImproperlyConfigured, match="too short"):
        secret_key.read_or_make(file)


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: secret_key.read_or_make(file), range(32)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o777])
def test_a_key_that_others_may_read_is_closed_to_them(tmp_path: Path, mode: int) -> None:
    """S7: the first implementation keeps its key in a file of mode 0644."""
    file = tmp_path / "secret_key"
    key = secret_key.read_or_make(file)
    file.chmod(mode)
    assert secret_key.read_or_make(file) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_replaced_key_stays_as_the_former_one(tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    old = secret_key.read_or_make(file)
    assert secret_key.read_former(file) == []
    secret_key.replace(file)
    new = secret_key.read_or_make(file)
    assert new != old
    assert secret_key.read_former(file) == [old]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
