"""Which model the playground begins with."""

from __future__ import annotations

import pytest

from models_app.kinds import Kind
from ui_app.model_choices import Choice, Task, preferred

RIDDLE = Choice("a-riddle", "", "ready")
"""A model with a command of its own: nobody knows what it does."""


@pytest.mark.parametrize(
    ("task", "others", "wanted", "expected"),
    [
        (Task.CHAT, [Choice("fox", Kind.CHAT)], "fox", "fox"),
        (Task.CHAT, [Choice("fox", Kind.CHAT)], "", "a-riddle"),
        (Task.CHAT, [Choice("fox", Kind.CHAT, "ready")], "", "fox"),
        (Task.EMBEDDINGS, [Choice("letters", Kind.EMBEDDING)], "", "letters"),
        (Task.EMBEDDINGS, [Choice("letters", Kind.EMBEDDING)], "a-riddle", "a-riddle"),
        (Task.SPEECH, [], "", "a-riddle"),
    ],
)
def test_a_known_and_loaded_model_goes_first(
    task: Task, others: list[Choice], wanted: str, expected: str
) -> None:
    chosen = preferred([RIDDLE, *others], task, wanted)
    assert chosen is not None
    assert chosen.model_id == expected


def test_without_models_none_is_chosen() -> None:
    assert preferred([], Task.CHAT, "fox") is None
