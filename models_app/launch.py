"""A way to load a model -> the options its engine is started with. Pure."""

from __future__ import annotations

from dataclasses import replace

from models_app.command import ALL_LAYERS, LaunchOptions
from models_app.devices import Resources
from models_app.kinds import Kind
from models_app.placement import Fit
from models_app.preferences import Candidate, Choices, Preferences
from models_app.shape_reader import ENCODERS

MIB = 1024**2
PROMPT_CACHE_MIB = 8192  # the engine's own limit


def launch_options(
    candidate: Candidate,
    found: Fit,
    resources: Resources,
    preferences: Preferences,
    choices: Choices,
    *,
    sure: bool,
) -> LaunchOptions:
    """The options for `found`; where it is not sure, placement is left to the engine."""
    load = found.load
    batch = load.ubatch if candidate.is_embedding else choices.batch_size
    options = LaunchOptions(
        model=candidate.path,
        alias=candidate.model_id,
        projector=candidate.projector.path if candidate.projector else "",
        draft_model=candidate.draft.path if candidate.draft else "",
        draft_gpu_layers=0 if candidate.draft and not resources.gpus else None,
        context=load.context,
        slots=load.slots,
        kv_unified=True if load.unified else None,
        cache_type_k=load.type_k if load.type_k != "f16" else "",
        cache_type_v=load.type_v if load.type_v != "f16" else "",
        flash_attention=_flash_attention(candidate, found),
        batch=batch,
        ubatch=load.ubatch if batch else None,
        threads=resources.cores,
        embedding=candidate.kind is Kind.EMBEDDING,
        reranking=candidate.kind is Kind.RERANKER,
        pooling=_pooling(candidate),
        jinja=None if candidate.is_embedding else preferences.enable_jinja,
        chat_template="" if candidate.is_embedding else choices.chat_template,
        load_mode=choices.load_mode,
        fit=False if sure else None,
        repack=None if load.repack or _all_on_gpus(candidate, found) else False,
        cache_ram_mib=_prompt_cache(candidate, found, resources),
        metrics=True,
        extra=choices.extra_arguments,
    )
    if not resources.gpus:
        # Unless told, the engine puts layers on whatever it sees, GPUs that were ruled out too.
        devices = NO_DEVICE if resources.leaves_out else ()
        return replace(options, gpu_layers=choices.gpu_layers, devices=devices)
    if resources.leaves_out:
        options = replace(options, devices=tuple(gpu.name for gpu in resources.gpus))
    if sure or choices.gpu_layers is not None:
        return _placed(options, candidate, found, resources)
    return options


NO_DEVICE = ("none",)


def _placed(
    options: LaunchOptions, candidate: Candidate, found: Fit, resources: Resources
) -> LaunchOptions:
    """The options with layers put where `found` has them."""
    placement = found.placement
    everything = placement.offloaded > candidate.shape.layers
    options = replace(
        options,
        gpu_layers=ALL_LAYERS if everything else placement.offloaded,
        cpu_expert_layers=placement.cpu_expert_layers or None,
    )
    if candidate.draft:
        options = _with_draft(options, found, resources)
    names = tuple(resources.gpus[number].name for number in found.gpus)
    if 0 < len(names) < len(resources.gpus):
        options = replace(options, devices=names)
    if len(names) > 1:
        return replace(options, split_mode="layer", tensor_split=placement.gpu_layers)
    if names and len(resources.gpus) > 1:
        return replace(options, split_mode="none")
    return options


def _with_draft(options: LaunchOptions, found: Fit, resources: Resources) -> LaunchOptions:
    """The draft model whole on the first GPU, where the plan counts it, or in RAM without one."""
    if not found.placement.offloaded:
        return replace(options, draft_gpu_layers=0)
    first = resources.gpus[found.gpus[0]].name
    return replace(options, draft_gpu_layers=ALL_LAYERS, draft_device=first)


def _flash_attention(candidate: Candidate, found: Fit) -> str:
    if candidate.shape.architecture in ENCODERS:
        return ""
    # The engine refuses quantized values without it.
    return "on" if found.load.type_v != "f16" else "auto"


def _all_on_gpus(candidate: Candidate, found: Fit) -> bool:
    placement = found.placement
    return placement.offloaded > candidate.shape.layers and not placement.cpu_expert_layers


def _pooling(candidate: Candidate) -> str:
    if candidate.kind is not Kind.EMBEDDING:
        return ""
    if candidate.pooling:
        return candidate.pooling
    # The file is silent. Encoders average their tokens; a decoder's last one saw all others.
    return "mean" if candidate.shape.architecture in ENCODERS else "last"


def _prompt_cache(candidate: Candidate, found: Fit, resources: Resources) -> int:
    """MiB for prompts of earlier chats: a quarter of the RAM that is left."""
    if candidate.is_embedding:
        return 0
    left = (resources.ram - found.memory.cpu.total) // 4 // MIB
    return max(0, min(PROMPT_CACHE_MIB, left // 64 * 64))
