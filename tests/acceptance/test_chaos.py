"""The short form of `make chaos`."""

from __future__ import annotations

from tests.campaigns import chaos

SECONDS = 20


def test_every_request_is_settled_once_and_nothing_is_left_whatever_happens() -> None:
    """Dead groups, stuck models, growing memory: llama-swap#946, llama.cpp#27351, litellm#12685,
    #15128, #27954."""
    outcome = chaos.run(SECONDS, seed=20)
    print(outcome)
    assert outcome.faults() == []
    assert outcome.tally.outcomes["answered"] > 0
