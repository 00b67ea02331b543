"""Regenerates docs/choices.md: what is chosen for well-known models on common machines.

    python -m bench.choices_table [--write docs/choices.md]

Pure arithmetic on published shapes; nothing is loaded.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.families import Numbers, build
from bench.shapes import FITTED, HELD_OUT, HUB
from bench.sparse_gguf import header_bytes
from models_app.engine_help import EngineDevice
from models_app.gguf import parse_header
from models_app.machine import GIB, Cpu, Machine, Ram
from models_app.preferences import Candidate
from models_app.reasons import size
from models_app.shape import ModelShape
from models_app.shape_reader import shape_of
from models_app.tuning import Plan, choose

_BY_NAME: Final = {numbers.name: numbers for numbers in (*FITTED, *HELD_OUT)}


def _whole(name: str, layers: int, weights: str, experts: str = "") -> Numbers:
    """A measured shape with all its layers, quantized as it is usually passed around."""
    return replace(_BY_NAME[name], layers=layers, weights=weights, expert_weights=experts)


MODELS: Final = (
    _whole("Llama 3.1 8B", 32, "Q4_K"),
    Numbers("Llama 3.1 70B", "llama", f"{HUB}meta-llama/Llama-3.1-70B", 80, 8192, 128256, 131072,
            64, 8, 128, 28672, weights="Q4_K", seen=_BY_NAME["Llama 3.1 8B"].seen),
    _whole("Qwen3 8B", 36, "Q4_K"),
    _whole("Qwen3 30B-A3B", 48, "Q4_K"),
    _whole("Gemma 3 12B", 48, "Q4_K"),
    Numbers("Gemma 3 27B", "gemma3", f"{HUB}google/gemma-3-27b-it", 62, 5376, 262208, 131072,
            32, 16, 128, 21504, window=1024, tied=True, weights="Q4_K",
            seen="https://ollama.com/jwang580/medgemma_27b_q8_0:latest/blobs/1ab6fc95d3b3",
            unseen="the number of tokens"),
    _whole("gpt-oss 20B", 24, "Q8_0", "MXFP4"),
    _whole("gpt-oss 120B", 36, "Q8_0", "MXFP4"),
    _whole("DeepSeek V3", 61, "Q4_K"),
    Numbers("Mistral Small 3.1 24B", "llama", f"{HUB}mistralai/Mistral-Small-3.1-24B-Instruct-2503",
            40, 5120, 131072, 131072, 32, 8, 128, 32768, weights="Q4_K",
            seen=f"{HUB}darkc0de/3.2test/blob/main/config.json",
            unseen="that 3.1 has the shape of 3.2, as 3 has"),
)  # fmt: skip


def _machine(ram: int, *gpus: int, metal: bool = False) -> Machine:
    name = "Metal" if metal else "CUDA"
    return Machine(
        platform="darwin" if metal else "linux",
        arch="arm64" if metal else "amd64",
        cpu=Cpu("", 8, 16, 8),
        ram=Ram(ram * GIB, ram * GIB),
        devices=tuple(
            EngineDevice(f"{name}{number}", "GPU", total * GIB, total * GIB, integrated=metal)
            for number, total in enumerate(gpus)
        ),
    )


MACHINES: Final = {
    "8 GiB GPU": _machine(64, 8),
    "12 GiB GPU": _machine(64, 12),
    "16 GiB GPU": _machine(64, 16),
    "24 GiB GPU": _machine(64, 24),
    "48 GiB GPU": _machine(64, 48),
    "2 x 24 GiB GPUs": _machine(64, 24, 24),
    "64 GiB Mac": _machine(64, 48, metal=True),
    "32 GiB CPU box": _machine(32),
}


def shape_for(numbers: Numbers) -> ModelShape:
    """The shape as it would be read from the model's file."""
    header, total = header_bytes(build(numbers))
    return shape_of(parse_header(io.BytesIO(header), total))


def document() -> str:
    """docs/choices.md."""
    return "\n".join([*_introduction(), *_tables()]) + "\n"


def _introduction() -> Iterator[str]:
    yield "# What is chosen for well-known models"
    yield ""
    yield (
        "Written by `python -m bench.choices_table`. Default settings: 32,768 tokens preferred, "
        "speed first, 4 requests at once. Every machine with a GPU has 64 GiB of RAM; a Mac's GPU "
        "may use 48 of them. All memory counts as free. Where `--fit off` says no, the engine gets "
        "the context and decides for itself how many layers fit."
    )
    yield ""
    yield (
        "**The figures for GPUs are unverified**: they follow the formulas that hold on the CPU "
        "(see `memory.md`), less a margin of 512 MiB and 4 % of each GPU."
    )
    yield ""
    yield (
        "The shapes are those of the published config.json files. Each was compared with a public "
        "text that repeats them: a copy, or the header of a GGUF file made of the model; what no "
        "such text confirmed is said. All matrices of a model have one type here, real files mix "
        "a few:"
    )
    yield ""
    for numbers in MODELS:
        kinds = numbers.weights
        if numbers.expert_weights:
            kinds += f", experts {numbers.expert_weights}"
        total = size(shape_for(numbers).weight_bytes)
        read = f"read [here]({numbers.seen})" if numbers.seen else "not confirmed"
        missing = f"; not confirmed: {numbers.unseen}" if numbers.unseen and numbers.seen else ""
        yield f"- [{numbers.name}]({numbers.source}): {kinds}, {total}; {read}{missing}"


def _tables() -> Iterator[str]:
    for numbers in MODELS:
        shape = shape_for(numbers)
        yield from ("", f"## {numbers.name}", "")
        yield "| machine | where | context | cache | GPU memory | RAM | `--fit off` |"
        yield "|---|---|---|---|---|---|---|"
        for name, machine in MACHINES.items():
            plan = choose(Candidate(numbers.name, "model.gguf", shape), machine)
            yield _row(name, plan, shape)


def _row(machine: str, plan: Plan, shape: ModelShape) -> str:
    if not plan.fits:
        needed = size(plan.memory.total)
        return f"| {machine} | does not fit: {needed} at least | | | | | |"
    gpus = " + ".join(size(use.total) for use in plan.memory.gpus) or "-"
    cache = plan.options.cache_type_k or "f16"
    cache += f", {plan.options.slots} slots"
    return (
        f"| {machine} | {_where(plan, shape)} | {plan.context_per_request:,} | {cache} | {gpus} | "
        f"{size(plan.memory.cpu.total)} | {'yes' if plan.sure else 'no'} |"
    )


def _where(plan: Plan, shape: ModelShape) -> str:
    placement = plan.placement
    if not placement.offloaded:
        return "CPU" + (", no repacking" if plan.options.repack is False else "")
    if placement.cpu_expert_layers:
        text = f"all layers, experts of {placement.cpu_expert_layers}/{shape.layers} in RAM"
    elif placement.offloaded > shape.layers:
        text = "all layers"
    else:
        text = f"{placement.offloaded - 1}/{shape.layers} layers"
    if len(placement.gpu_layers) > 1:
        text += f", split {'+'.join(map(str, placement.gpu_layers))}"
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes what is chosen for well-known models.")
    parser.add_argument("--write", type=Path, default=Path("docs/choices.md"))
    options = parser.parse_args()
    options.write.write_text(document())
    return 0


if __name__ == "__main__":
    sys.exit(main())
