"""Which small model may guess ahead for which bigger one (speculative decoding).

The bigger model checks every guess, so its text stays the same; a good guess only saves it a turn.
Both must number their tokens alike: the engine drafts nothing for vocabularies that differ.

Drafting is off until a person asks for it. What it brings hangs on the text: with a real engine on
two cores, a model that said 180 tokens a second said 310 to 390 with guesses that were all right,
and 70 with guesses that were all wrong. What it takes is sure: a second model with as long a cache.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from models_app.facts import FileFacts
from models_app.kinds import Kind
from models_app.models import GgufFile
from models_app.naming import quantization_rank

MOST_SIZE: Final = 0.3
"""How large a draft model is at most, as a share of the bigger one: beyond it guessing costs more
than it saves."""

_SPEAKING: Final = frozenset({Kind.CHAT, Kind.BASE, Kind.DRAFT})


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What makes the numbers of tokens mean the same in two files."""

    tokenizer: str
    tokens: int
    digest: str


@dataclass(frozen=True, slots=True)
class _Member:
    """A model with what pairing asks about it. The size is in bytes, over all parts."""

    row: GgufFile
    facts: FileFacts
    size: int

    @property
    def drafts(self) -> bool:
        return self.facts.kind is Kind.DRAFT


def vocabulary_of(facts: FileFacts) -> Vocabulary | None:
    """The file's vocabulary; None when it is not known well enough to compare."""
    if not (facts.tokenizer and facts.vocabulary and facts.vocabulary_digest):
        return None
    return Vocabulary(facts.tokenizer, facts.vocabulary, facts.vocabulary_digest)


def may_draft(draft: FileFacts, target: FileFacts) -> bool:
    """Whether the engine would let `draft` guess for `target`, whatever their sizes.

    A recurrent state cannot be taken back to before a wrong guess.
    """
    if draft.kind not in _SPEAKING or target.kind not in _SPEAKING:
        return False
    if any(draft.recurrent_layers) or any(target.recurrent_layers):
        return False
    vocabulary = vocabulary_of(target)
    return vocabulary is not None and vocabulary == vocabulary_of(draft)


def pair(models: Iterable[GgufFile], parts: Iterable[GgufFile] = ()) -> dict[int, GgufFile]:
    """The draft model for each model that has one, by the model's primary key.

    `parts` are the later parts of split models. A draft model has the same vocabulary and less
    than `MOST_SIZE` of the size. Of several, first comes one made to draft, then one that was
    taught alike (chat or base), then the one with the fewest parameters, then the quantization
    that people mean by default, then the path. The order of the files does not matter.
    """
    more: dict[int | None, int] = defaultdict(int)
    for part in parts:
        more[part.first_part_id] += part.size
    members: dict[Vocabulary, list[_Member]] = defaultdict(list)
    for row in models:
        facts = FileFacts.from_json(row.facts)
        if vocabulary := vocabulary_of(facts):
            members[vocabulary].append(_Member(row, facts, row.size + more[row.pk]))
    chosen = {}
    for alike in members.values():
        for target in alike:
            if found := _best(target, alike):
                chosen[target.row.pk] = found
    return chosen


def _best(target: _Member, alike: Iterable[_Member]) -> GgufFile | None:
    if target.drafts:
        return None
    fitting = [
        one
        for one in alike
        if one.size < MOST_SIZE * target.size and may_draft(one.facts, target.facts)
    ]
    best = min(fitting, key=lambda one: _rank(one, target), default=None)
    return best.row if best else None


def _rank(draft: _Member, target: _Member) -> tuple[bool, bool, int, int, str]:
    return (
        not draft.drafts,
        draft.facts.kind is not target.facts.kind,
        draft.row.parameters or 0,
        quantization_rank(draft.facts.quantization),
        draft.row.path,
    )
