from __future__ import annotations

from itertools import count, permutations
from typing import Any

from models_app.facts import FileFacts
from models_app.kinds import Kind
from models_app.models import GgufFile
from models_app.projectors import pair

_keys = count(1)


def row(path: str, folder: int = 1, **facts: Any) -> GgufFile:
    values = FileFacts(**facts)
    return GgufFile(
        pk=next(_keys),
        path=path,
        folder_id=folder,
        quantization=values.quantization,
        facts=values.to_json(),
    )


def model(path: str, folder: int = 1, **facts: Any) -> GgufFile:
    given = {"kind": Kind.CHAT, "architecture": "llama", "embedding_length": 4096}
    return row(path, folder, **{**given, **facts})


def projector(path: str, folder: int = 1, **facts: Any) -> GgufFile:
    given = {"kind": Kind.PROJECTOR, "architecture": "clip", "projection_dim": 4096}
    return row(path, folder, **{**given, **facts})


def fits(text: GgufFile, *projectors: GgufFile, others: tuple[GgufFile, ...] = ()) -> str | None:
    """The path of the projector that `text` is given."""
    chosen = pair([text, *others], projectors).get(text.pk)
    return chosen.path if chosen else None


def test_the_same_name_in_both_files_pairs_them_wherever_they_lie() -> None:
    text = model("/a/m.gguf", name="Pixtral 12B 2409")

    assert fits(text, projector("/b/p.gguf", folder=2, name="pixtral-12b_2409")) == "/b/p.gguf"


def test_a_projector_of_another_width_never_fits() -> None:
    text = model("/a/gemma-3-12b.gguf", architecture="gemma3", embedding_length=3840)
    small = projector("/a/mmproj.gguf", projector_type="gemma3", projection_dim=2560)

    assert fits(text, small) is None


def test_a_projector_of_another_family_never_fits() -> None:
    text = model("/a/qwen.gguf", architecture="qwen2", embedding_length=3584)
    other = projector("/a/mmproj.gguf", projector_type="qwen2.5vl_merger", projection_dim=3584)

    assert fits(text, other) is None


def test_old_projectors_state_an_inner_width_which_does_not_part_them() -> None:
    text = model("/a/llava-1.5-7b-q4_k_m.gguf", embedding_length=4096)
    old = projector("/a/mmproj-llava-1.5-7b-f16.gguf", projector_type="mlp", projection_dim=768)

    assert fits(text, old) == old.path


def test_the_family_and_the_width_pair_files_of_one_tracked_folder() -> None:
    text = model("/m/x/finetune.gguf", architecture="gemma3", embedding_length=2560)
    near = projector("/m/y/mmproj-F16.gguf", projector_type="gemma3", projection_dim=2560)
    far = projector("/n/mmproj-F16.gguf", 2, projector_type="gemma3", projection_dim=2560)

    assert fits(text, near) == near.path
    assert fits(text, far) is None


def test_alike_names_and_equal_widths_pair_files_of_one_tracked_folder() -> None:
    text = model("/m/x/InternVL3-8B-Instruct-Q4_K_M.gguf", name="InternVL3 8B Instruct GGUF")
    seer = projector("/m/y/mmproj-InternVL3-8B-Instruct.gguf", name="Internvl3 8B")

    assert fits(text, seer) == seer.path
    assert fits(text, projector("/m/y/p.gguf", name="InternVL3 14B Instruct")) is None


def test_a_model_alone_with_a_projector_gets_it_with_all_its_quantizations() -> None:
    seer = projector("/m/repo/mmproj-F16.gguf")
    texts = [model(f"/m/repo/thing-{quant}.gguf") for quant in ("Q4_K_M", "Q8_0")]

    assert pair(texts, [seer]) == {text.pk: seer for text in texts}


def test_a_folder_of_many_models_is_no_reason_to_pair() -> None:
    text, other = model("/m/mistral-7b-q4_0.gguf"), model("/m/llama-8b-q4_0.gguf")

    assert fits(text, projector("/m/mmproj-f16.gguf"), others=(other,)) is None


def test_the_one_in_the_models_own_folder_comes_first() -> None:
    text = model("/m/b/x-q4_0.gguf", name="Some Model")
    own = projector("/m/b/mmproj.gguf")
    named = projector("/m/a/mmproj.gguf", name="Some Model")

    assert fits(text, named, own) == own.path


def test_half_precision_comes_first() -> None:
    text = model("/m/x-q4_0.gguf")
    seers = [
        projector(f"/m/mmproj-{name}.gguf", quantization=name)
        for name in ("BF16", "F16", "F32", "Q8_0")
    ]

    for order in permutations(seers):
        assert fits(text, *order) == "/m/mmproj-F16.gguf"


def test_names_that_say_nothing_pair_nothing() -> None:
    text = model("/m/model.gguf", name="model")
    seer = projector("/n/mmproj-model-f16.gguf", folder=2, name="model")

    assert fits(text, seer) is None
