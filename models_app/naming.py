"""Ids of models, made from file names alone: the same files give the same ids on any machine.

`Llama-3.2-3B-Instruct-Q4_K_M.gguf` has the base `llama-3.2-3b-instruct`, the quantization `q4-k-m`
and the full id `llama-3.2-3b-instruct-q4-k-m`. One model of each base also gets the base as its
short id, and keeps it whatever is found later.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

# Which quantization answers to the short id: first what most people mean, then good compromises,
# then larger ones, then smaller ones. Others follow, full-size weights come last.
PREFERRED_QUANTIZATIONS: Final = (
    "q4-k-m", "ud-q4-k-xl", "i1-q4-k-m", "q4-k-l", "q4-k-s", "q4-k", "mxfp4", "mxfp4-moe",
    "iq4-xs", "iq4-nl", "q4-0", "q4-1", "q5-k-m", "q5-k-l", "q5-k-s", "q5-k", "q5-0", "q5-1",
    "q6-k", "q6-k-l", "q8-0", "q3-k-l", "q3-k-m", "iq3-m", "q3-k-s", "iq3-s", "iq3-xs", "iq3-xxs",
)  # fmt: skip
_RANK: Final = {name: rank for rank, name in enumerate(PREFERRED_QUANTIZATIONS)}
_FULL_SIZE: Final = frozenset({"bf16", "f16", "fp16", "f32", "fp32"})

_SPLIT: Final = re.compile(r"(?P<prefix>.+)-(?P<no>[0-9]{5})-of-(?P<total>[0-9]{5})", re.DOTALL)
_QUANTIZATION: Final = re.compile(
    r"""[-.]
    (?P<quant>
        (?:ud-|i1-)?
        (?: i?q[1-8](?:-(?:
                [01](?:-[48]-[48])? | k(?:-(?:xxs|xs|s|m|l|xl|xxl))? | k[slt] | kss
              | xxs | xs | s | m | l | xl | nl))?
          | tq[12]-0
          | (?:mx|nv)fp4(?:-moe)?
          | bf16 | fp?16 | fp?32
        )
        (?:-imat(?:rix)?)?
    )$""",
    re.VERBOSE,
)


class Split(NamedTuple):
    """A file's place in a split model: part `no` of `total`, counted from 1."""

    prefix: str
    no: int
    total: int


class Candidate(NamedTuple):
    """A model that needs an id.

    `key` names the model for ever and is unique, `path` is its file's path below the models folder.
    """

    key: str
    path: str


class ModelId(NamedTuple):
    """The id a model is listed under, and the ids it answers to as well."""

    id: str
    also: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Every id the model answers to."""
        return (self.id, *self.also)


def split_of(filename: str) -> Split | None:
    """The place of a file such as `big-00002-of-00003.gguf` in its set, None for any other name."""
    match = _SPLIT.fullmatch(_without_suffix(filename))
    if match is None:
        return None
    split = Split(match["prefix"], int(match["no"]), int(match["total"]))
    return split if 1 <= split.no <= split.total else None


LONGEST_ID = 255
"""Characters; what the registry stores. A file name alone is never longer."""


def model_base(filename: str) -> tuple[str, str]:
    """The base and the quantization that a file's name tells, the latter "" when it tells none.

    Both hold only a-z, 0-9, "." and "-"; the base is never empty. Folders in `filename` are cut.
    """
    stem = _without_suffix(re.split(r"[/\\]", filename)[-1])
    split = _SPLIT.fullmatch(stem)
    name = _slug(split["prefix"] if split else stem)
    match = _QUANTIZATION.search(name)
    if match and (base := name[: match.start()].strip("-.")):
        return base, match["quant"]
    return name or f"model-{_short_hash(filename)}", ""


def quantization_rank(quantization: str) -> int:
    """Its place in `PREFERRED_QUANTIZATIONS`; others follow, full-size weights come last."""
    name = _slug(quantization)
    return _RANK.get(name, len(_RANK) + (name in _FULL_SIZE))


def full_id(filename: str) -> str:
    """`<base>-<quantization>`, or the base alone when the name tells no quantization."""
    base, quant = model_base(filename)
    return _joined(base, quant)


def assign_ids(candidates: Iterable[Candidate], taken: Mapping[str, ModelId]) -> dict[str, ModelId]:
    """Ids for `candidates` by key, whatever order they come in.

    `taken` holds what was assigned earlier, by key: it never changes, and no id in it is given to
    another model, whether or not the model is among the candidates. The rest is given in the order
    of `PREFERRED_QUANTIZATIONS`, then of the path:
    1. the full id to the first that asks for it;
    2. the short id to the first of its base that won its full id;
    3. the full id with the name of a folder, or else with a hash of the path, to who lost in 1.
    """
    waiting = []
    assigned: dict[str, ModelId] = {}
    for candidate in candidates:
        if candidate.key in taken:
            assigned[candidate.key] = taken[candidate.key]
        else:
            waiting.append(candidate)
    used = {name for model_id in taken.values() for name in model_id.all}
    waiting.sort(key=_order)

    winners: list[Candidate] = []
    losers: list[Candidate] = []
    for candidate in waiting:
        name = full_id(candidate.path)
        (losers if name in used else winners).append(candidate)
        used.add(name)
    for candidate in winners:
        base, full = model_base(candidate.path)[0], full_id(candidate.path)
        assigned[candidate.key] = ModelId(full) if base in used else ModelId(base, (full,))
        used.add(base)
    for candidate in losers:
        name = next(name for name in _longer_ids(candidate) if name not in used)
        assigned[candidate.key] = ModelId(name)
        used.add(name)
    return assigned


def _order(candidate: Candidate) -> tuple[int, str, str, str]:
    rank = quantization_rank(model_base(candidate.path)[1])
    return rank, candidate.path.casefold(), candidate.path, candidate.key


def _longer_ids(candidate: Candidate) -> Iterator[str]:
    """Ids for a model whose full id belongs to another, best first, without end."""
    base, full = model_base(candidate.path)[0], full_id(candidate.path)
    for folder in reversed(re.split(r"[/\\]", candidate.path)[:-1]):
        name = _slug(folder)
        # A folder named after the model, as repositories are, tells nothing new.
        if name and f"-{base}-" not in f"-{name}-" and len(full) + len(name) < LONGEST_ID:
            yield _joined(full, name)
    text = candidate.path
    while True:
        yield _joined(full[: LONGEST_ID - 10], _short_hash(text))
        text = f"{text}\0{candidate.key}"


def _without_suffix(filename: str) -> str:
    return filename[:-5] if filename[-5:].lower() == ".gguf" else filename


def _slug(text: str) -> str:
    """`text` in lower case with accents cut, "-" for all but letters, digits and dots."""
    letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    dashed = re.sub(r"[^a-z0-9.]+", "-", "".join(letters).lower())
    return re.sub(r"\.{2,}", ".", dashed).strip("-.")


def _joined(*parts: str) -> str:
    return "-".join(part for part in parts if part)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
