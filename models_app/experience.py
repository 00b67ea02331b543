"""What a plan makes of a load that was measured: say so, be sure, or leave more room. Pure."""

from __future__ import annotations

from dataclasses import replace

from models_app.devices import Caps
from models_app.measured import DeviceLoad, Measured, sentence
from models_app.reasons import Reason
from models_app.tuning import Plan

_NOTHING_SMALLER = "That is more than there is room for, and nothing smaller fits either."


def matched(plan: Plan, measured: Measured) -> Measured | None:
    """The measurement beside what is predicted now; None when it was of other devices."""
    if [one.device for one in measured.devices[1:]] != [device.name for device in plan.devices]:
        return None
    uses = (plan.memory.cpu, *plan.memory.gpus)
    pairs = zip(measured.devices, uses, strict=True)
    return replace(measured, devices=tuple(replace(one, predicted=use.total) for one, use in pairs))


def noted(plan: Plan, measured: Measured) -> Plan:
    """The plan with what it took the last time.

    Where all of it was in RAM and had room, the engine need not probe for room again. Where there
    was no room for it, it does not fit, whatever was predicted.
    """
    reasons = (*plan.reasons, Reason("measured", sentence(measured)))
    plan = replace(plan, measured=measured, reasons=reasons)
    if caps_below(plan, measured) is not None:
        return replace(plan, fits=False, reasons=(*reasons, Reason("memory", _NOTHING_SMALLER)))
    if plan.sure or not plan.fits or plan.resources.gpus:
        return plan
    return replace(
        plan,
        sure=True,
        options=replace(plan.options, fit=False),
        reasons=tuple(_certain(reason) for reason in reasons),
    )


def _certain(reason: Reason) -> Reason:
    if reason.topic != "fit":
        return reason
    return Reason("fit", "It had room the last time, so the engine need not probe memory first.")


def caps_below(plan: Plan, measured: Measured) -> Caps | None:
    """The caps for a smaller plan when this one took more than there is room for, else None.

    They are below each device's room by as much as the prediction for it was too low. The
    measurement must be one that `matched` gave.
    """
    cpu, *gpus = (_excess(one) for one in measured.devices)
    found = plan.resources
    over = (measured.devices[0].measured or 0) > found.ram
    caps = {gpu.name: gpu.budget for gpu in found.gpus}
    for device, one, excess in zip(plan.devices, measured.devices[1:], gpus, strict=True):
        over = over or (one.measured or 0) > device.budget
        caps[device.name] = max(0, device.budget - excess)
    if not over:
        return None
    return Caps(
        ram=max(0, found.ram - cpu),
        gpus=caps,
        why="A load took more than was predicted, so this plan leaves room for that.",
    )


def _excess(one: DeviceLoad) -> int:
    if one.predicted is None or one.measured is None:
        return 0
    return max(0, one.measured - one.predicted)
