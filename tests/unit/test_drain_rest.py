"""How long who takes usage over rests, by what a turn found the processors like."""

from __future__ import annotations

import threading
import time

from proxy_app.drain import LONG_REST, REST, _waited, rest_after


def test_where_others_want_the_processor_it_rests_longer() -> None:
    assert rest_after(0.5, 0.0) == 0.5 * REST
    assert rest_after(0.5, 0.1) == 0.5 * REST
    assert rest_after(0.5, 0.2) == 0.5 * LONG_REST


def test_a_threads_waiting_is_its_own() -> None:
    seen: list[float] = []

    def idle() -> None:
        before = _waited()
        time.sleep(0.2)
        seen.append(_waited() - before)

    thread = threading.Thread(target=idle)
    thread.start()
    thread.join()
    assert 0 <= seen[0] < 0.2
