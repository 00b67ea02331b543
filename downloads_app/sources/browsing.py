"""A repository looked at with this machine in mind: what it offers, what fits, what to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from downloads_app.sources import fit, huggingface, variants
from downloads_app.sources.fit import Fit
from downloads_app.sources.huggingface import RepoFile, Repository
from downloads_app.sources.picking import NothingFits
from downloads_app.sources.variants import Variant
from downloads_app.trouble import Trouble
from models_app.facts import FileFacts

ROOMY: Final = 8192
"""Tokens of context below which a smaller quantization is the better choice."""


class Why(StrEnum):
    """Why a quantization is the one to take."""

    USUAL = "usual"
    """What most people take, and it fits."""
    FITS = "fits"
    """What most people take does not fit, or leaves little context."""
    SMALLEST = "smallest"
    """None fits; this one is the least that is too large."""
    UNKNOWN = "unknown"
    """What most people take; whether it fits is not known."""


@dataclass(frozen=True, slots=True)
class Browsed:
    """What a repository offers."""

    repository: Repository
    variants: tuple[Variant, ...]
    projectors: tuple[RepoFile, ...]
    facts: FileFacts | None
    """Of the variant whose header was read; None when none could be."""
    fits: Mapping[str, Fit]
    """By the name of the variant."""
    problem: str
    """Why no header could be read; "" otherwise."""
    recommended: Variant | None
    why: Why


def browse(name: str, exact: str = "", token: str = "") -> Browsed:
    """Look at a repository; `exact` names the variant whose own header is read.

    Raises NothingFits when there is no such variant, Trouble when the hub does not answer.
    """
    found = huggingface.repository(name, token=token)
    offered = variants.sort(found.files)
    named = variants.pick(offered.variants, exact) if exact else None
    if exact and named is None:
        raise NothingFits(f"{name} has no {exact}.")
    projector = offered.projectors[0] if offered.projectors else None
    facts, fits, problem = _fits(found, offered, projector, named.name if named else "", token)
    recommended, why = recommend(offered.variants, fits)
    return Browsed(
        found, offered.variants, offered.projectors, facts, fits, problem, recommended, why
    )


def recommend(offered: Sequence[Variant], fits: Mapping[str, Fit]) -> tuple[Variant | None, Why]:
    """Which of the variants, best first, to take on this machine, and why."""
    whole = [variant for variant in offered if not variant.missing]
    if not whole or not fits:
        return (whole[0] if whole else None), Why.UNKNOWN
    fitting = [variant for variant in whole if (own := fits.get(variant.name)) and own.fits]
    roomy = [variant for variant in fitting if fits[variant.name].context >= ROOMY]
    if not fitting:
        return min(whole, key=lambda variant: variant.size), Why.SMALLEST
    # Where none is roomy, the model itself may know no longer context.
    best = (roomy or fitting)[0]
    return best, Why.USUAL if best is whole[0] else Why.FITS


def _fits(
    found: Repository,
    offered: variants.Sorted,
    projector: RepoFile | None,
    exact: str,
    token: str,
) -> tuple[FileFacts | None, Mapping[str, Fit], str]:
    """A header that cannot be read, as of a gated model, hides no names and sizes."""
    try:
        facts, fits = fit.fits(found, offered.variants, projector, exact, token)
        return facts, fits, ""
    except Trouble as trouble:
        return None, {}, trouble.message
