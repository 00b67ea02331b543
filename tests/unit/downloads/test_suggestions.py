"""Which models are suggested on which machine."""

from __future__ import annotations

import pytest

from downloads_app.sources.browsing import Why, recommend
from downloads_app.sources.fit import Fit
from downloads_app.sources.huggingface import RepoFile
from downloads_app.sources.variants import Variant
from downloads_app.suggestions import KNOWN, Role, suggest
from models_app.devices import Device, Resources
from models_app.machine import GIB


def machine(ram: int, *gpus: int) -> Resources:
    """Sizes in GiB."""
    cards = tuple(Device(f"CUDA{n}", "card", gpu * GIB, gpu * GIB) for n, gpu in enumerate(gpus))
    return Resources(cards, ram * GIB, ram * GIB, 8)


@pytest.mark.parametrize("room", [machine(8), machine(24), machine(64), machine(16, 12)])
def test_there_are_three_one_of_each_role(room: Resources) -> None:
    found = suggest(room, KNOWN)
    assert {one.role for one in found} == set(Role)
    assert len({one.repository for one in found}) == 3


def test_a_gpu_takes_bigger_ones_than_a_processor_reads_fast_enough() -> None:
    slow = max(suggest(machine(64), KNOWN), key=lambda one: one.a_token)
    fast = max(suggest(machine(64, 24), KNOWN), key=lambda one: one.a_token)
    assert slow.a_token < 3 * 10**9 < fast.a_token
    assert fast.gpu and not slow.gpu


def test_a_small_machine_is_suggested_less_and_a_tiny_one_nothing() -> None:
    assert all(one.size < 2 * 10**9 for one in suggest(machine(4), KNOWN))
    assert suggest(machine(1), KNOWN) == []


def variant(name: str, size: int, missing: int = 0) -> Variant:
    return Variant(name, (RepoFile(f"{name}.gguf", size),), missing)


OFFERED = [variant("Q4_K_M", 40), variant("Q3_K_M", 30), variant("Q2_K", 20), variant("BF16", 99)]


def fits(**contexts: int) -> dict[str, Fit]:
    """What fits, with its context; 0 does not."""
    return {name: Fit(context > 0, context, 1, False) for name, context in contexts.items()}


@pytest.mark.parametrize(
    ("found", "name", "why"),
    [
        (fits(Q4_K_M=32768, Q3_K_M=32768), "Q4_K_M", Why.USUAL),
        (fits(Q4_K_M=4096, Q3_K_M=16384, Q2_K=32768), "Q3_K_M", Why.FITS),
        (fits(Q4_K_M=2048, Q3_K_M=2048), "Q4_K_M", Why.USUAL),
        (fits(Q4_K_M=0, Q2_K=4096), "Q2_K", Why.FITS),
        (fits(Q4_K_M=0, Q2_K=0), "Q2_K", Why.SMALLEST),
        ({}, "Q4_K_M", Why.UNKNOWN),
    ],
)
def test_the_best_that_fits_is_recommended(found: dict[str, Fit], name: str, why: Why) -> None:
    recommended, reason = recommend(OFFERED, found)
    assert recommended is not None
    assert (recommended.name, reason) == (name, why)


def test_what_is_not_whole_is_not_recommended() -> None:
    assert recommend([variant("Q4_K_M", 40, missing=1)], {}) == (None, Why.UNKNOWN)
