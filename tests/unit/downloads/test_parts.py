"""The small parts of a download: names, pieces, pauses, widths, limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloads_app import names
from downloads_app.pacing import Bandwidth, Speedometer, Width, pause
from downloads_app.pieces import Pieces, Run
from downloads_app.remote import retry_after
from downloads_app.sources.huggingface import RepoFile, is_repository
from downloads_app.sources.variants import pick, sort


@given(st.text())
def test_a_cleaned_name_stays_in_its_folder(text: str) -> None:
    try:
        name = names.clean(text)
    except names.BadName:
        return
    assert name not in ("", ".", "..") and not name.startswith(".")
    assert not set(name) & set('/\\<>:"|?*\0') and len(name.encode()) <= 255


@given(
    size=st.integers(0, 500),
    piece=st.integers(1, 50),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), max_size=200),
)
def test_connections_in_any_order_fetch_every_piece(
    size: int, piece: int, steps: list[tuple[int, int]]
) -> None:
    pieces = Pieces(size, piece=piece)
    runs: dict[int, Run] = {}
    for who, length in steps:
        if who not in runs:
            run = pieces.take(length)
            if run is not None:
                runs[who] = run
        elif length == 6:
            pieces.give_back(runs.pop(who))
        else:
            held = [number for run in runs.values() for number in range(run.next, run.end)]
            assert len(held) == len(set(held))
            if not pieces.arrived(runs[who]):
                del runs[who]
    for run in runs.values():
        pieces.give_back(run)
    while (last := pieces.take(3)) is not None:
        while pieces.arrived(last):
            pass
    assert pieces.complete and pieces.done_bytes == size


def test_a_piece_that_was_begun_is_gone_on_with() -> None:
    pieces = Pieces(100, piece=10)
    run = pieces.take(2)
    assert run is not None
    run.got, run.crc = 7, 99
    pieces.give_back(run)
    assert pieces.bytes_here == 7
    again = pieces.take(1)
    assert again is not None and (again.next, again.got, again.crc) == (0, 7, 99)


def test_pauses_grow_and_heed_the_server() -> None:
    assert [pause(number) for number in (1, 2, 3, 20)] == [0.5, 1, 2, 60]
    assert pause(1, asked=30) == 30
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"Retry-After": "soon"}) is None
    assert retry_after({}) is None


def test_connections_grow_while_they_help_and_shrink_when_refused() -> None:
    width = Width(8, 4)
    assert width.measured(100) == 5
    assert width.measured(120) == 6
    assert width.measured(121) == 6
    assert width.refused() == 3
    assert width.measured(1000) == 3


def test_a_limit_is_kept_over_all_who_share_it() -> None:
    limit = Bandwidth(100)
    assert [limit.delay(50, 0.0) for _ in range(3)] == [0.0, 0.5, 1.0]
    limit.rate = 0
    assert limit.delay(10**9, 0.0) == 0


def test_a_speed_is_of_the_newest_moments() -> None:
    meter = Speedometer(window=2)
    for second in range(10):
        speed = meter.note(float(second), 100 * second)
    assert speed == 100
    assert meter.note(20.0, 900) < 100


@pytest.mark.parametrize("name", ["owner/name", "a/b.c-d_e", "meta-llama/Llama-3.1-8B"])
def test_a_repository_has_an_owner_and_a_name(name: str) -> None:
    assert is_repository(name)
    for bad in ("", "name", "a/b/c", "../b", "a/..", "a b/c", "a/b?x=1", "a/b#c", f"{name}\n"):
        assert not is_repository(bad)


def test_files_of_a_repository_are_sorted_into_what_one_can_take() -> None:
    paths = [
        "README.md",
        "fox-Q8_0.gguf",
        "fox-Q4_K_M.gguf",
        "UD/fox-UD-Q4_K_XL.gguf",
        "BF16/fox-BF16-00001-of-00002.gguf",
        "BF16/fox-BF16-00002-of-00002.gguf",
        "F32/fox-F32-00001-of-00003.gguf",
        "mmproj-F32.gguf",
        "mmproj-BF16.gguf",
        "mmproj-F16.gguf",
    ]
    found = sort(RepoFile(path, 10) for path in paths)
    assert [variant.name for variant in found.variants] == [
        "Q4_K_M",
        "UD-Q4_K_XL",
        "Q8_0",
        "BF16",
        "F32",
    ]
    assert [variant.missing for variant in found.variants] == [0, 0, 0, 0, 2]
    assert found.projectors[0].path == "mmproj-F16.gguf"
    chosen = pick(found.variants, "bf16")
    assert chosen is not None and chosen.size == 20
    assert pick(found.variants, "F32") is None
    assert pick(found.variants, "") == found.variants[0]
