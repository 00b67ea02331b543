from __future__ import annotations

from dataclasses import replace

import pytest

from models_app.buffers import Load
from models_app.command import ALL_LAYERS
from models_app.engine_help import EngineDevice, EngineFlags
from models_app.hardware import Cpu, Gpu, Machine, Ram
from models_app.kinds import Kind
from models_app.memory import draft_bytes
from models_app.preferences import Candidate, Choices, Companion, Draft, Preferences
from models_app.shape import LayerBytes, ModelShape
from models_app.tuning import Plan, choose

GIB = 1024**3
MIB = 1024**2


def llama_8b(**changes: object) -> ModelShape:
    """Llama 3.1 8B at about 4.5 bits a weight."""
    shape = ModelShape(
        architecture="llama",
        layers=32,
        width=4096,
        vocabulary=128256,
        trained_context=131072,
        feed_forward=14336,
        heads=32,
        kv_heads=(8,) * 32,
        key_length=128,
        value_length=128,
        key_length_window=128,
        value_length_window=128,
        layer_bytes=(LayerBytes(dense=130 * MIB, repackable=110 * MIB),) * 32,
        embedding=LayerBytes(dense=282 * MIB),
        output=LayerBytes(dense=411 * MIB),
    )
    return replace(shape, **changes)  # type: ignore[arg-type]


def qwen_30b_a3b() -> ModelShape:
    """Qwen3 30B-A3B at about 4.8 bits a weight."""
    return ModelShape(
        architecture="qwen3moe",
        layers=48,
        width=2048,
        vocabulary=151936,
        trained_context=40960,
        feed_forward=6144,
        heads=32,
        kv_heads=(4,) * 48,
        key_length=128,
        value_length=128,
        experts=128,
        experts_used=8,
        expert_feed_forward=768,
        layer_bytes=(LayerBytes(dense=20 * MIB, experts=340 * MIB),) * 48,
        embedding=LayerBytes(dense=170 * MIB),
        output=LayerBytes(dense=240 * MIB),
    )


def candidate(shape: ModelShape | None = None, kind: Kind = Kind.CHAT) -> Candidate:
    return Candidate("some-model", "/models/some.gguf", shape or llama_8b(), kind)


def machine(*vram: float, ram: float = 32, **changes: object) -> Machine:
    """A machine with GPUs of so many GiB, all of it free."""
    found = Machine(
        platform="linux",
        arch="amd64",
        cpu=Cpu("x", 8, 16, 8),
        ram=Ram(int(ram * GIB), int(ram * GIB)),
        devices=tuple(
            EngineDevice(f"CUDA{number}", "RTX", int(size * GIB), int(size * GIB))
            for number, size in enumerate(vram)
        ),
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def load_of(plan: Plan) -> Load:
    """How the plan loads its model, beside GPUs."""
    options = plan.options
    assert options.context and options.slots
    return Load(options.context, options.slots, repack=False)


def said(plan: Plan, topic: str) -> str:
    return " ".join(reason.text for reason in plan.reasons if reason.topic == topic)


def assert_everything_fits(plan: Plan) -> None:
    assert plan.fits
    assert plan.memory.cpu.total <= plan.resources.ram
    for device, use in zip(plan.devices, plan.memory.gpus, strict=True):
        assert use.total <= device.budget


def test_the_preferred_context_is_taken_where_it_fits() -> None:
    plan = choose(candidate(), machine(24))
    assert plan.options.context == plan.context_per_request == 32768
    assert plan.options.gpu_layers == ALL_LAYERS
    assert plan.options.fit is False
    assert_everything_fits(plan)


def test_the_context_never_exceeds_the_trained_one() -> None:
    small = candidate(llama_8b(trained_context=2048))
    assert choose(small, machine()).options.context == 2048
    by_hand = choose(small, machine(24), choices=Choices(context=16384))
    assert by_hand.options.context == 2048
    assert "trained on 2048" in said(by_hand, "context")


def test_a_file_that_hides_its_trained_context_gets_a_small_one() -> None:
    plan = choose(candidate(llama_8b(trained_context=None)), machine())
    assert plan.options.context == 4096


def test_a_machine_without_gpus_plans_for_ram_alone() -> None:
    plan = choose(candidate(), machine())
    assert plan.options.gpu_layers is None
    assert plan.options.threads == 8
    assert plan.memory.gpus == ()
    assert "no GPU" in said(plan, "placement")
    assert_everything_fits(plan)


def test_little_ram_means_no_second_copy_then_a_smaller_context() -> None:
    roomy = choose(candidate(), machine(ram=32))
    assert roomy.options.repack is None
    tight = choose(candidate(), machine(ram=11.5))
    assert tight.options.repack is False
    assert_everything_fits(tight)
    tighter = choose(candidate(), machine(ram=7))
    assert tighter.options.context is not None
    assert 4096 <= tighter.options.context < 32768
    assert "no room" in said(tighter, "context")
    assert_everything_fits(tighter)


def test_a_model_that_fits_nowhere_is_left_to_the_engine() -> None:
    plan = choose(candidate(), machine(ram=4))
    assert not plan.fits
    assert plan.options.fit is None
    assert "more than there is" in said(plan, "memory")


def test_one_gpu_is_used_alone_when_it_holds_the_model() -> None:
    """ollama#11073, #16599: spread over cards although one holds it (100 -> 35 tokens a second)."""
    plan = choose(candidate(), machine(12, 24))
    assert plan.options.devices == ("CUDA1",)
    assert plan.options.tensor_split == ()
    assert_everything_fits(plan)


def test_two_gpus_share_what_one_cannot_hold() -> None:
    plan = choose(
        candidate(llama_8b(layer_bytes=(LayerBytes(dense=600 * MIB),) * 32)), machine(16, 16)
    )
    assert plan.options.split_mode == "layer"
    assert sum(plan.options.tensor_split) == 33
    assert plan.options.gpu_layers == ALL_LAYERS
    assert_everything_fits(plan)


def test_the_cache_shrinks_before_the_context_does() -> None:
    plan = choose(candidate(), machine(8))
    assert plan.options.cache_type_k == plan.options.cache_type_v == "q8_0"
    assert plan.options.flash_attention == "on"
    assert_everything_fits(plan)


def test_a_cache_whose_rows_do_not_divide_by_32_is_not_quantized() -> None:
    plan = choose(candidate(llama_8b(key_length=80, value_length=80)), machine(8))
    assert plan.options.cache_type_k == ""


def test_experts_stay_in_ram_when_the_gpu_is_too_small() -> None:
    plan = choose(candidate(qwen_30b_a3b()), machine(8))
    assert plan.options.gpu_layers == ALL_LAYERS
    assert plan.options.cpu_expert_layers
    assert plan.options.context == 32768
    assert "experts" in said(plan, "experts")
    assert_everything_fits(plan)


def test_a_dense_model_that_is_too_big_keeps_some_layers_on_the_cpu() -> None:
    big = llama_8b(layer_bytes=(LayerBytes(dense=400 * MIB),) * 32)
    plan = choose(candidate(big), machine(8))
    assert plan.options.gpu_layers is not None
    assert 0 < plan.options.gpu_layers < 32
    assert_everything_fits(plan)


def test_speed_first_gives_up_context_and_context_first_gives_up_layers() -> None:
    model = candidate(llama_8b(layer_bytes=(LayerBytes(dense=230 * MIB),) * 32))
    wishes = Preferences(preferred_context=65536)
    fast = choose(model, machine(12), wishes)
    assert fast.placement.offloaded == 33
    assert fast.context_per_request < 65536
    long = choose(model, machine(12), replace(wishes, throughput_first=False))
    assert long.context_per_request == 65536
    assert 0 < long.placement.offloaded < 33


def test_gpu_layers_are_never_negative() -> None:
    for vram in (0.1, 0.6, 1, 2):
        plan = choose(candidate(), machine(vram))
        assert (plan.options.gpu_layers or 0) >= 0
        assert_everything_fits(plan)


def test_what_a_person_set_is_what_is_used() -> None:
    choices = Choices(
        context=8192,
        gpu_layers=10,
        cache_type="q4_0",
        batch_size=1024,
        slots=2,
        extra_arguments=("--temp", "0"),
    )
    options = choose(candidate(), machine(24), choices=choices).options
    assert (options.context, options.gpu_layers, options.slots) == (8192, 10, 2)
    assert options.cache_type_k == options.cache_type_v == "q4_0"
    assert (options.batch, options.ubatch) == (1024, 1024)
    assert options.extra == ("--temp", "0")


def test_a_context_set_by_hand_stays_even_where_it_does_not_fit() -> None:
    plan = choose(candidate(), machine(ram=7), choices=Choices(context=65536))
    assert plan.options.context == 65536
    assert not plan.fits
    assert "more than there is" in said(plan, "memory")


def test_the_backend_can_be_forced_to_the_cpu() -> None:
    plan = choose(candidate(), machine(24), Preferences(backend="cpu"))
    assert plan.memory.gpus == ()
    assert plan.options.devices == ("none",)
    assert "CPU by hand" in said(plan, "machine")


def test_a_machine_without_gpus_needs_no_word_about_devices() -> None:
    assert choose(candidate(), machine()).options.devices == ()


def test_forced_memory_replaces_what_was_detected() -> None:
    plan = choose(candidate(), machine(24), Preferences(vram=8 * GIB))
    assert plan.resources.gpus[0].total == 8 * GIB
    assert plan.options.cache_type_k == "q8_0"
    less_ram = choose(candidate(), machine(), Preferences(ram=7 * GIB))
    assert less_ram.resources.ram_total == 7 * GIB
    assert_everything_fits(less_ram)


def test_gpus_that_the_engine_does_not_see_are_not_planned_with() -> None:
    box = machine(gpus=(Gpu("RTX 4090", "nvidia", 24 * GIB),))
    plan = choose(candidate(), box)
    assert plan.memory.gpus == ()
    assert "RTX 4090" in said(plan, "machine")


def test_an_integrated_gpu_is_left_out_beside_a_real_one() -> None:
    box = machine(
        gpus=(Gpu("Intel UHD", "intel", 8 * GIB, integrated=True),),
        devices=(
            EngineDevice("Vulkan0", "Intel UHD", 8 * GIB, 8 * GIB),
            EngineDevice("Vulkan1", "AMD RX 7900", 24 * GIB, 24 * GIB),
        ),
    )
    plan = choose(candidate(), box)
    assert [gpu.name for gpu in plan.resources.gpus] == ["Vulkan1"]


def test_an_embedding_model_takes_a_text_in_one_piece() -> None:
    encoder = ModelShape(
        architecture="bert",
        layers=12,
        width=384,
        vocabulary=30522,
        trained_context=512,
        feed_forward=1536,
        heads=12,
        kv_heads=(0,) * 12,
        layer_bytes=(LayerBytes(dense=3 * MIB),) * 12,
    )
    options = choose(candidate(encoder, Kind.EMBEDDING), machine()).options
    assert options.embedding
    assert options.pooling == "mean"
    assert (options.context, options.batch, options.ubatch) == (512, 512, 512)
    assert options.jinja is None


def test_a_reranker_is_started_as_one() -> None:
    options = choose(candidate(kind=Kind.RERANKER), machine()).options
    assert options.reranking
    assert not options.embedding


def test_an_unknown_architecture_is_left_to_the_engine() -> None:
    plan = choose(candidate(llama_8b(architecture="brand-new")), machine(24))
    assert not plan.sure
    assert plan.options.gpu_layers is None
    assert plan.options.fit is None
    assert "never compared" in said(plan, "fit")


def test_a_gpu_filled_to_its_margin_is_left_to_the_engine() -> None:
    tight = llama_8b(layer_bytes=(LayerBytes(dense=305 * MIB),) * 32)
    plan = choose(candidate(tight), machine(16), choices=Choices(context=32768))
    assert plan.placement.offloaded == 33
    assert not plan.sure
    assert plan.options.gpu_layers is None
    assert "margin" in said(plan, "fit")


def test_windows_are_kept_for_one_slot_where_four_do_not_fit() -> None:
    shape = llama_8b(architecture="gemma3", window=4096, windowed=(True, True, True, False) * 8)
    assert choose(candidate(shape), machine(24)).options.slots == 4
    plan = choose(candidate(shape), machine(6))
    assert plan.options.slots == 1
    assert_everything_fits(plan)


def test_layers_of_unequal_size_fill_two_gpus_alike() -> None:
    plan = choose(candidate(qwen_30b_a3b()), machine(6, 6))
    assert plan.placement.cpu_expert_layers
    first, second = plan.memory.gpus
    assert abs(first.total - second.total) < GIB


def test_a_build_without_a_unified_cache_gives_the_context_to_one_slot() -> None:
    flags = EngineFlags(values={"--ctx-size": "N"})
    plan = choose(candidate(), machine(), flags=flags)
    assert plan.options.slots == 1
    assert plan.context_per_request == plan.options.context


@pytest.mark.parametrize("jinja", [True, False])
def test_jinja_follows_the_settings(jinja: bool) -> None:
    plan = choose(candidate(), machine(), Preferences(enable_jinja=jinja))
    assert plan.options.jinja is jinja


def with_draft(**changes: object) -> Candidate:
    small = llama_8b(layers=16, kv_heads=(8,) * 16, layer_bytes=(LayerBytes(dense=30 * MIB),) * 16)
    draft = Draft("/models/small.gguf", replace(small, width=2048))
    return replace(candidate(), draft=draft, **changes)  # type: ignore[arg-type]


def test_a_draft_model_and_its_cache_are_counted_where_they_go() -> None:
    alone, both = choose(candidate(), machine(24)), choose(with_draft(), machine(24))

    draft = draft_bytes(with_draft().draft.shape, llama_8b(), load_of(both))  # type: ignore[union-attr]
    cache = 16 * 32768 * 8 * 256 * 2
    assert draft > 16 * 30 * MIB + cache
    assert both.memory.gpus[0].extra == draft
    assert both.memory.total == alone.memory.total + draft
    assert both.options.draft_model == "/models/small.gguf"
    assert (both.options.draft_gpu_layers, both.options.draft_device) == (ALL_LAYERS, "CUDA0")
    assert "checks them" in said(both, "draft")


def test_a_draft_model_stays_in_ram_without_a_gpu() -> None:
    plan = choose(with_draft(), machine())
    assert plan.memory.cpu.extra > 0
    assert (plan.options.draft_gpu_layers, plan.options.draft_device) == (0, "")


def test_a_draft_model_that_leaves_no_room_is_left_out_and_that_is_said() -> None:
    plan = choose(with_draft(), machine(ram=6.5))
    assert plan.fits
    assert plan.options.draft_model == ""
    assert "no room" in said(plan, "draft")


def test_a_draft_model_is_left_out_beside_a_projector() -> None:
    plan = choose(with_draft(projector=Companion("/models/mmproj.gguf", GIB)), machine(24))
    assert plan.options.draft_model == ""
    assert plan.options.projector == "/models/mmproj.gguf"
    assert "projector" in said(plan, "draft")


def test_a_draft_model_of_an_unknown_architecture_makes_the_plan_unsure() -> None:
    odd = with_draft()
    assert odd.draft is not None
    odd = replace(odd, draft=replace(odd.draft, shape=replace(odd.draft.shape, architecture="odd")))
    assert choose(with_draft(), machine(24)).sure
    assert not choose(odd, machine(24)).sure
    assert "odd" in said(choose(odd, machine(24)), "fit")
