"""A model on the GPUs that a person chose for it. The GPUs are described; none of them is here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models_app.engine_help import EngineDevice, EngineFlags
from models_app.gpu_choice import NoSuchGpu, find, words_of
from models_app.preferences import Choices, Preferences
from models_app.shape import LayerBytes
from models_app.tuning import choose
from tests.unit.test_tuning import (
    GIB,
    MIB,
    assert_everything_fits,
    candidate,
    llama_8b,
    machine,
    said,
)


def test_a_model_is_kept_on_the_gpu_that_was_chosen() -> None:
    """ollama#8430: pin a model to a GPU."""
    automatic = choose(candidate(), machine(12, 24))
    assert automatic.options.devices == ("CUDA1",)
    plan = choose(candidate(), machine(12, 24), choices=Choices(gpus=("CUDA0",)))
    assert plan.options.devices == ("CUDA0",)
    assert [device.name for device in plan.devices] == ["CUDA0"]
    assert "CUDA0 was chosen by hand" in said(plan, "machine")
    assert_everything_fits(plan)


@pytest.mark.parametrize("words", [("1",), ("cuda1",), ("CUDA1", "1")])
def test_a_gpu_goes_by_its_name_or_its_number(words: tuple[str, ...]) -> None:
    plan = choose(candidate(), machine(24, 12), choices=Choices(gpus=words))
    assert plan.options.devices == ("CUDA1",)


def test_what_the_chosen_gpu_does_not_hold_stays_in_ram_rather_than_on_another_gpu() -> None:
    big = candidate(llama_8b(layer_bytes=(LayerBytes(dense=600 * MIB),) * 32))
    plan = choose(big, machine(8, 80, ram=64), choices=Choices(gpus=("CUDA0",)))
    assert plan.options.devices == ("CUDA0",)
    assert 0 < (plan.options.gpu_layers or 0) < 32
    assert_everything_fits(plan)


def test_of_three_gpus_the_two_chosen_ones_share_a_model() -> None:
    big = candidate(llama_8b(layer_bytes=(LayerBytes(dense=600 * MIB),) * 32))
    plan = choose(big, machine(16, 80, 16), choices=Choices(gpus=("2", "0")))
    assert plan.options.devices == ("CUDA0", "CUDA2")
    assert plan.options.split_mode == "layer"
    assert_everything_fits(plan)


def test_an_integrated_gpu_is_used_beside_a_real_one_when_it_is_chosen() -> None:
    small = EngineDevice("Vulkan1", "UHD Graphics", 24 * GIB, 24 * GIB, integrated=True)
    real = EngineDevice("Vulkan0", "Arc", 16 * GIB, 16 * GIB)
    both = replace(machine(ram=64), devices=(real, small))
    assert choose(candidate(), both).options.devices == ("Vulkan0",)
    plan = choose(candidate(), both, choices=Choices(gpus=("Vulkan1",)))
    assert plan.options.devices == ("Vulkan1",)


def test_a_chosen_gpu_that_was_taken_out_leaves_the_model_on_what_there_is() -> None:
    plan = choose(candidate(), machine(24), choices=Choices(gpus=("CUDA1",)))
    assert [device.name for device in plan.devices] == ["CUDA0"]
    assert "CUDA1 was chosen by hand, but there is no such GPU" in said(plan, "machine")


def test_memory_set_by_hand_is_shared_out_before_a_gpu_is_chosen() -> None:
    half = Preferences(vram=24 * GIB)
    plan = choose(candidate(), machine(24, 24), half, Choices(gpus=("CUDA1",)))
    assert [device.total for device in plan.devices] == [12 * GIB]


def test_a_build_that_cannot_be_told_about_gpus_is_said_to_be_one() -> None:
    old = EngineFlags(values={"--n-gpu-layers": "N"})
    plan = choose(candidate(), machine(24, 24), None, Choices(gpus=("0",)), old)
    assert plan.options.devices == ("CUDA0",)
    assert "cannot be told which GPUs" in said(plan, "machine")


def test_a_choice_that_is_not_there_is_answered_with_what_is() -> None:
    devices = machine(24, 12).devices
    assert devices is not None
    with pytest.raises(NoSuchGpu) as error:
        find(words_of("CUDA0, 7"), devices)
    assert str(error.value) == (
        "There is no GPU 7. Choose among 0 or CUDA0 (RTX); 1 or CUDA1 (RTX), or leave it empty."
    )
    with pytest.raises(NoSuchGpu, match="This machine has no GPU"):
        find(("0",), ())
