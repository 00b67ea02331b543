from __future__ import annotations

from itertools import count, permutations
from typing import Any

import pytest

from models_app.drafts import may_draft, pair, vocabulary_of
from models_app.facts import FileFacts
from models_app.kinds import Kind
from models_app.models import GgufFile

_keys = count(1)
GIGA = 10**9


def facts(**changes: Any) -> FileFacts:
    given = {
        "kind": Kind.CHAT,
        "tokenizer": "gpt2",
        "vocabulary": 151936,
        "vocabulary_digest": "aa",
        "quantization": "Q4_K_M",
    }
    return FileFacts(**{**given, **changes})


def model(path: str, size: float, billions: float = 1, **changes: Any) -> GgufFile:
    told = facts(**changes)
    return GgufFile(
        pk=next(_keys),
        path=path,
        size=int(size * GIGA),
        parameters=int(billions * GIGA),
        facts=told.to_json(),
    )


def drafts_for(target: GgufFile, *others: GgufFile, parts: tuple[GgufFile, ...] = ()) -> str | None:
    """The path of the draft model that `target` is given."""
    chosen = pair([target, *others], parts).get(target.pk)
    return chosen.path if chosen else None


def test_a_small_model_of_the_same_vocabulary_drafts_for_a_bigger_one() -> None:
    big, small = model("/big", 20, 32), model("/small", 0.5, 0.6)

    assert pair([big, small]) == {big.pk: small}


@pytest.mark.parametrize(
    "other",
    [{"tokenizer": "llama"}, {"vocabulary": 151937}, {"vocabulary_digest": "bb"}],
)
def test_another_vocabulary_never_pairs(other: dict[str, Any]) -> None:
    assert drafts_for(model("/big", 20), model("/small", 0.5, **other)) is None


def test_a_vocabulary_that_is_not_known_pairs_with_nothing() -> None:
    unknown: dict[str, Any] = {"vocabulary_digest": ""}
    assert drafts_for(model("/big", 20, **unknown), model("/small", 1, **unknown)) is None
    assert vocabulary_of(FileFacts()) is None


def test_the_architecture_may_be_another_one() -> None:
    small = model("/small", 0.5, architecture="qwen3")
    assert drafts_for(model("/big", 20, architecture="qwen3moe"), small) == "/small"


def test_a_draft_model_is_smaller_than_three_tenths() -> None:
    assert drafts_for(model("/big", 10), model("/small", 3)) is None
    assert drafts_for(model("/big", 10), model("/small", 2.9)) == "/small"


def test_all_parts_of_a_split_model_count() -> None:
    big, small = model("/big", 5), model("/small", 2.5)
    part = GgufFile(pk=next(_keys), path="/part", size=5 * GIGA, first_part_id=big.pk)

    assert drafts_for(big, small) is None
    assert drafts_for(big, small, parts=(part,)) == "/small"


@pytest.mark.parametrize("kind", [Kind.EMBEDDING, Kind.RERANKER])
def test_what_does_not_write_neither_drafts_nor_is_drafted_for(kind: Kind) -> None:
    assert not may_draft(facts(kind=kind), facts())
    assert not may_draft(facts(), facts(kind=kind))


def test_a_recurrent_state_cannot_be_taken_back() -> None:
    recurrent = facts(recurrent_layers=(True, False))
    assert not may_draft(recurrent, facts())
    assert not may_draft(facts(), recurrent)


def test_the_choice_is_the_same_in_any_order() -> None:
    big = model("/big", 40, 70)
    small = [
        model("/base-1b-q4", 0.7, 1, kind=Kind.BASE),
        model("/chat-3b-q4", 2, 3),
        model("/chat-1b-f16", 2, 1, quantization="F16"),
        model("/chat-1b-q4", 0.7, 1),
        model("/chat-1b-iq1", 0.3, 1, quantization="IQ1_S"),
    ]
    for order in permutations(small):
        assert drafts_for(big, *order) == "/chat-1b-q4"


def test_a_model_made_to_draft_comes_first_and_has_none_itself() -> None:
    made = model("/b-draft", 3, 4, kind=Kind.DRAFT)
    assert drafts_for(model("/big", 40, 70), model("/a-chat", 0.7, 1), made) == "/b-draft"
    assert drafts_for(made, model("/a-chat", 0.7, 1)) is None
