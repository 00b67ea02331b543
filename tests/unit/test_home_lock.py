from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy_app.home_lock import HomeInUse, HomeLock


def test_a_second_server_on_the_same_folder_is_refused_by_name(tmp_path: Path) -> None:
    with HomeLock(tmp_path), pytest.raises(HomeInUse, match=f"process {os.getpid()}"):
        HomeLock(tmp_path).__enter__()


def test_the_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    with HomeLock(tmp_path):
        pass
    with HomeLock(tmp_path):
        pass
