"""What to tell people about their machine, and what to recommend for it. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from models_app.devices import Resources, resources
from models_app.machine import GIB, Gpu, Machine
from models_app.preferences import GPU_BACKENDS, Candidate, Preferences
from models_app.shape import LayerBytes, ModelShape
from models_app.tuning import choose

CONTEXT_SIZES = (8192, 16384, 32768, 65536, 131072)
COMFORTABLE_VRAM = 8 * GIB
PATIENT_CONTEXT = 16384

_TYPES = {
    "nvidia": "NVIDIA (RTX, GTX)",
    "amd": "AMD (RX Series)",
    "apple": "Apple Silicon",
    "intel": "Intel GPU",
}
# What each vendor's GPUs can be driven with, the fastest first.
_BACKENDS = {
    "nvidia": ("cuda", "vulkan"),
    "amd": ("rocm", "vulkan"),
    "apple": ("metal",),
    "intel": ("vulkan",),
    "unknown": ("vulkan",),
}

# Recommendations are what a common model would get: 8 billion parameters at four bits.
_LAYERS = 32
REFERENCE = Candidate(
    model_id="reference",
    path="reference.gguf",
    shape=ModelShape(
        architecture="llama",
        layers=_LAYERS,
        width=4096,
        vocabulary=128256,
        trained_context=CONTEXT_SIZES[-1],
        feed_forward=14336,
        heads=32,
        kv_heads=(8,) * _LAYERS,
        key_length=128,
        value_length=128,
        layer_bytes=(LayerBytes(dense=128 * 1024**2),) * _LAYERS,
        embedding=LayerBytes(dense=282 * 1024**2),
        output=LayerBytes(dense=411 * 1024**2),
    ),
)


def specs(machine: Machine) -> dict[str, Any]:
    """The answer of /api/system/specs. Sizes are in bytes."""
    gpus = counted_gpus(machine)
    return {
        "totalRAM": machine.ram.total,
        "availableRAM": machine.ram.available,
        "totalVRAM": sum(gpu.total for gpu in gpus),
        "availableVRAM": sum(gpu.total if gpu.free is None else gpu.free for gpu in gpus),
        "cpuCores": machine.cpu.logical_cores,
        "gpuName": gpus[0].name if gpus else "CPU Only",
        "diskSpace": machine.disk.free if machine.disk else 0,
    }


def counted_gpus(machine: Machine) -> tuple[Gpu, ...]:
    """The GPUs whose memory counts: integrated ones only where there is nothing better."""
    real = tuple(gpu for gpu in machine.gpus if not gpu.integrated)
    return real or machine.gpus


def backends(machine: Machine) -> list[str]:
    """What llama-server could use here, the fastest first; the CPU is always last."""
    possible = {name for gpu in counted_gpus(machine) for name in _BACKENDS[gpu.vendor]}
    if machine.platform == "windows":
        possible -= {"rocm"}
    return [*(name for name in GPU_BACKENDS if name in possible), "cpu"]


def quality(machine: Machine) -> str:
    """How much could be found out: "excellent", "good" without an engine, "basic" with gaps."""
    if machine.problems:
        return "basic"
    return "good" if machine.devices is None else "excellent"


def detection(machine: Machine, preferences: Preferences, read_at: datetime) -> dict[str, Any]:
    """The answer of /api/system/detection. Sizes are in GiB."""
    gpus = counted_gpus(machine)
    found = resources(machine, preferences)
    usable = backends(machine)
    suggested = _context(machine, preferences, PATIENT_CONTEXT)
    patient = replace(preferences, throughput_first=False)
    largest = max(suggested, _context(machine, patient, 2 * PATIENT_CONTEXT))
    types = list(dict.fromkeys(_TYPES[gpu.vendor] for gpu in gpus if gpu.vendor in _TYPES))
    return {
        "detectionQuality": quality(machine),
        "platform": machine.platform,
        "arch": machine.arch,
        "gpuDetected": bool(gpus),
        "gpuTypes": [*types, "CPU Only"],
        "primaryGPU": _primary(gpus),
        "totalRAMGB": _gib(machine.ram.total),
        "availableRAMGB": _gib(machine.ram.available),
        "recommendedBackends": usable,
        "supportedBackends": usable,
        "recommendedContextSizes": [size for size in CONTEXT_SIZES if size <= largest],
        "maxRecommendedContextSize": largest,
        "recommendations": _recommendations(machine, found, usable[0], suggested),
        "detectionTimestamp": read_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _primary(gpus: tuple[Gpu, ...]) -> dict[str, Any] | None:
    if not gpus:
        return None
    return {"name": gpus[0].name, "brand": gpus[0].vendor, "vramGB": _gib(gpus[0].total)}


def _context(machine: Machine, preferences: Preferences, patient: int) -> int:
    """The largest of `CONTEXT_SIZES` that the reference model gets, `patient` without a GPU.

    Memory would allow more, but a CPU takes many minutes to read so long a text.
    """
    wanted = replace(preferences, preferred_context=CONTEXT_SIZES[-1])
    plan = choose(REFERENCE, machine, wanted)
    context = plan.context_per_request
    if plan.placement.offloaded <= _LAYERS:
        context = min(context, patient)
    return max((size for size in CONTEXT_SIZES if size <= context), default=CONTEXT_SIZES[0])


def _recommendations(
    machine: Machine, found: Resources, backend: str, context: int
) -> dict[str, Any]:
    vram = sum(gpu.total for gpu in counted_gpus(machine))
    fast = vram >= COMFORTABLE_VRAM
    memory = f"{_gib(vram)}GB VRAM" if vram else f"{_gib(machine.ram.total)}GB RAM"
    priority = "Speed (Higher throughput)" if fast else "Quality (Larger context)"
    return {
        "primaryBackend": backend,
        "fallbackBackend": "cpu",
        "suggestedContextSize": context,
        "suggestedVRAMAllocation": sum(gpu.budget for gpu in found.gpus) // GIB,
        "suggestedRAMAllocation": found.ram // GIB,
        "throughputFirst": fast,
        "notes": [
            f"Detected {backend} with {memory}",
            f"Recommended context size: {context} tokens",
            f"Performance priority: {priority}",
            *found.notes,
        ],
    }


def _gib(count: int) -> float:
    return round(count / GIB, 1)
