"""Why a plan is as it is, in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass

from models_app.buffers import is_measured
from models_app.devices import Resources, gpu_margin, ram_margin
from models_app.memory import GUESSES, draft_bytes
from models_app.placement import Fit
from models_app.preferences import Candidate

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Reason:
    """One choice explained. `topic` is one word, such as "context"."""

    topic: str
    text: str


class Reasons:
    """Reasons in the order in which they came up."""

    def __init__(self) -> None:
        self._reasons: list[Reason] = []

    def add(self, topic: str, text: str) -> None:
        self._reasons.append(Reason(topic, text))

    def all(self) -> tuple[Reason, ...]:
        return tuple(self._reasons)


def size(count: int) -> str:
    """Bytes as people read them."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / 1024**2:.0f} MiB"


def explain(
    reasons: Reasons,
    candidate: Candidate,
    found: Fit,
    resources: Resources,
    target: int,
    *,
    fits: bool,
    sure: bool,
) -> None:
    """Add what there is to say about the way that was chosen."""
    _placement(reasons, candidate, found, resources)
    _context(reasons, found, target)
    _slots(reasons, found)
    if candidate.draft:
        reasons.add("draft", _draft(candidate, found, resources))
    if not found.load.repack and not resources.gpus:
        reasons.add("weights", "No second, rearranged copy of the weights: RAM has no room for it.")
    if not fits:
        reasons.add(
            "memory",
            f"With {found.load.context} tokens this model needs {size(found.memory.total)}, more "
            f"than there is. It may fail to load.",
        )
    if fits:
        reasons.add("fit", _certainty(candidate, sure=sure))


def _draft(candidate: Candidate, found: Fit, resources: Resources) -> str:
    assert candidate.draft is not None
    where = resources.gpus[found.gpus[0]].name if found.gpus else "RAM"
    taken = draft_bytes(candidate.draft.shape, candidate.shape, found.load)
    return (
        f"A small model guesses {GUESSES} tokens ahead and this one checks them, so the text stays "
        f"the same. It takes {size(taken)} in {where}."
    )


def _certainty(candidate: Candidate, *, sure: bool) -> str:
    if sure:
        return "The estimate is exact enough, so the engine need not probe memory first."
    shapes = [candidate.shape, *([candidate.draft.shape] if candidate.draft else [])]
    if guessed := next((one for one in shapes if not (one.exact and is_measured(one))), None):
        name = guessed.architecture or "this file"
        return (
            f"The estimate for {name} was never compared with the engine's, so it is taken 15 % "
            f"higher, and the engine checks for itself what fits."
        )
    return "The GPU is filled to its margin, so the engine checks for itself what fits."


def _placement(reasons: Reasons, candidate: Candidate, found: Fit, resources: Resources) -> None:
    layers = candidate.shape.layers
    if not found.gpus:
        where = "There is no GPU to use" if not resources.gpus else "The GPUs have no room"
        reasons.add(
            "placement",
            f"{where}: everything is in RAM, {size(found.memory.cpu.total)} of "
            f"{size(resources.ram)} (of {size(resources.ram_total)}, "
            f"{size(ram_margin(resources.ram_total))} stay free).",
        )
        return
    for number, use in zip(found.gpus, found.memory.gpus, strict=True):
        device = resources.gpus[number]
        reasons.add(
            "placement",
            f"{device.description or device.name} takes {size(use.total)} of its "
            f"{size(device.budget)} ({size(device.free)} free, {size(gpu_margin(device.total))} "
            f"margin).",
        )
    on_gpu = max(0, found.placement.offloaded - 1)
    if found.placement.cpu_expert_layers:
        reasons.add(
            "experts",
            f"The experts of the first {found.placement.cpu_expert_layers} of {layers} layers stay "
            f"in RAM ({size(found.memory.cpu.total)}); each token needs only a few of them.",
        )
    elif on_gpu < layers:
        reasons.add(
            "layers",
            f"{on_gpu} of {layers} layers fit on the GPU; the others run on the CPU and take "
            f"{size(found.memory.cpu.total)} of RAM.",
        )


def _context(reasons: Reasons, found: Fit, target: int) -> None:
    load = found.load
    cache = found.memory.cpu.cache + sum(use.cache for use in found.memory.gpus)
    text = f"{load.context} tokens; their cache takes {size(cache)} as {load.type_k}."
    if load.context < target:
        text += f" {target} were wanted, but there is no room."
    reasons.add("context", text)
    if load.type_k == "q8_0":
        reasons.add("cache", "The cache is kept in 8 bits, half of its usual size, to make room.")


def _slots(reasons: Reasons, found: Fit) -> None:
    load = found.load
    if load.slots > 1 and load.unified:
        reasons.add(
            "slots",
            f"{load.slots} requests at once share the context; one alone may use all of it.",
        )
    elif load.slots > 1:
        reasons.add(
            "slots",
            f"{load.slots} requests at once, each with {load.context // load.slots} tokens.",
        )
