"""What to try next when an engine ran out of memory. Pure.

A rung is a cap on every device, below what the failed plan took there. Planning within it gives up,
in its usual order, cache precision, context, experts on the GPU, and layers on the GPU. The caps of
the rung that worked are worth remembering: the next plan then starts from them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from models_app.devices import Caps
from models_app.engine_help import EngineFlags
from models_app.machine import Machine
from models_app.preferences import Candidate, Choices, Preferences
from models_app.tuning import Plan, choose

STEP: Final = 0.85
"""Each rung takes at most this share of the one before."""


def caps_below(failed: Plan) -> Caps:
    """The caps of the rung below a plan that failed. RAM counts what must be there anyway.

    GPUs that this plan left alone keep their caps: with them free again, the next plan would be one
    that failed before.
    """
    kept = {gpu.name: gpu.cap for gpu in failed.resources.gpus if gpu.cap is not None}
    pairs = zip(failed.devices, failed.memory.gpus, strict=True)
    return Caps(
        ram=int(failed.memory.cpu.total * STEP) if not failed.devices else failed.resources.ram,
        gpus={**kept, **{device.name: int(use.total * STEP) for device, use in pairs}},
    )


def step_down(
    failed: Plan,
    candidate: Candidate,
    machine: Machine,
    preferences: Preferences | None = None,
    choices: Choices | None = None,
    flags: EngineFlags | None = None,
) -> tuple[Plan, Caps] | None:
    """The next plan to try with the caps it keeps to; None when there is nothing left to give up.

    What a person set by hand stays, so a ladder of fixed settings is short.
    """
    caps = caps_below(failed)
    plan = choose(candidate, machine, preferences, choices, flags, caps)
    if not plan.fits and not failed.devices:
        # The weights alone are above the cap: what can still be given up is the cache.
        least = failed.memory.cpu
        fixed = least.total - least.cache - least.state - least.compute
        caps = replace(caps, ram=fixed + int((least.total - fixed) * STEP))
        plan = choose(candidate, machine, preferences, choices, flags, caps)
    if not plan.fits or (plan.memory.total >= failed.memory.total and not failed.devices):
        return None
    return plan, caps
