from __future__ import annotations

from itertools import permutations

from models_app.facts import FileFacts
from models_app.models import GgufFile
from models_app.splits import Settled, settle

State = GgufFile.State


def part(
    path: str, no: int | None = None, count: int | None = None, *, state: str = State.INCOMPLETE
) -> GgufFile:
    """A file that says in its metadata that it is part `no` of `count`."""
    return GgufFile(
        path=path,
        state=state,
        problem="It cannot be read." if state == State.UNREADABLE else "",
        split_no=no,
        split_count=count,
        facts=FileFacts(parameters=10).to_json(),
    )


def settled(*rows: GgufFile) -> dict[str, Settled]:
    return {row.path: outcome for row, outcome in settle(rows)}


def a_set(*numbers: int, total: int = 3) -> list[GgufFile]:
    return [part(f"/m/big-{no:05d}-of-{total:05d}.gguf", no, total) for no in numbers]


def test_a_whole_set_is_one_model_led_by_its_first_part() -> None:
    rows = a_set(1, 2, 3)

    for order in permutations(rows):
        outcome = settled(*order)

        assert {item.state for item in outcome.values()} == {State.OK}
        assert [outcome[row.path].first_part for row in rows] == [None, rows[0], rows[0]]
        assert [outcome[row.path].parameters for row in rows] == [30, 10, 10]


def test_a_missing_part_makes_all_of_them_incomplete() -> None:
    outcome = settled(*a_set(1, 3))

    assert {item.state for item in outcome.values()} == {State.INCOMPLETE}
    assert {item.problem for item in outcome.values()} == {"Part 2 of 3 is missing."}


def test_many_missing_parts_are_told_shortly() -> None:
    (outcome,) = settled(*a_set(1, total=20)).values()

    assert outcome.problem == "Parts 2, 3, 4, 5, 6 and 14 more of 20 are missing."


def test_a_vanished_part_is_a_missing_one() -> None:
    rows = a_set(1, 2, 3)
    rows[2].state = State.VANISHED

    outcome = settled(*rows)

    assert outcome[rows[0].path].problem == "Part 3 of 3 is missing."
    assert rows[2].path not in outcome


def test_an_unreadable_part_keeps_its_own_reason() -> None:
    rows = [*a_set(1, 3), part("/m/big-00002-of-00003.gguf", state=State.UNREADABLE)]

    outcome = settled(*rows)

    assert outcome[rows[0].path].problem == "Part 2 of 3 is unreadable."
    assert outcome[rows[2].path] == Settled(State.UNREADABLE, "It cannot be read.", rows[0], None)


def test_sets_of_other_folders_and_lengths_do_not_mix() -> None:
    outcome = settled(
        part("/m/big-00001-of-00002.gguf", 1, 2),
        part("/n/big-00002-of-00002.gguf", 2, 2),
        part("/m/big-00002-of-00003.gguf", 2, 3),
    )

    assert [item.problem for item in outcome.values()] == [
        "Part 2 of 2 is missing.",
        "Part 1 of 2 is missing.",
        "Parts 1, 3 of 3 are missing.",
    ]


def test_a_part_without_its_number_in_its_name_says_what_to_do() -> None:
    outcome = settled(part("/m/renamed.gguf", 2, 3))["/m/renamed.gguf"]

    assert outcome.state == State.INCOMPLETE
    assert outcome.problem == (
        "It is part 2 of 3, but its name does not end in -00002-of-00003.gguf, "
        "so the engine cannot find the others."
    )


def test_swapped_names_are_noticed() -> None:
    rows = [part("/m/a-00001-of-00002.gguf", 2, 2), part("/m/a-00002-of-00002.gguf", 1, 2)]

    problems = {item.problem for item in settled(*rows).values()}

    assert problems == {"Names and metadata disagree on which part is which."}


def test_files_that_are_no_parts_are_left_alone() -> None:
    assert settled(part("/m/a.gguf", state=State.OK)) == {}
    # Named like a part, but the file says that it is whole: the engine loads it as it is.
    assert settled(part("/m/a-00001-of-00002.gguf", state=State.OK)) == {}
    assert settled(part("/m/broken.gguf", state=State.UNREADABLE)) == {}
