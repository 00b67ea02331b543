"""Downloads step back behind everything else, and only they."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from downloads_app.background import NICENESS, step_back

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities on Linux")


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_a_thread_steps_back_with_those_it_starts_and_leaves_others_alone() -> None:
    seen: list[int] = []

    def started() -> None:
        seen.append(niceness())

    def background() -> None:
        step_back()
        started()
        inner = threading.Thread(target=started)
        inner.start()
        inner.join()

    before = niceness()
    outer = threading.Thread(target=background)
    outer.start()
    outer.join()
    assert seen == [max(before, NICENESS)] * 2
    assert niceness() == before
