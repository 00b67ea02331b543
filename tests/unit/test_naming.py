from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models_app.naming import (
    LONGEST_ID,
    Candidate,
    ModelId,
    assign_ids,
    full_id,
    model_base,
    split_of,
)

# A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

BASE = "llama-3.2-3b-instruct"


@pytest.mark.parametrize(
    ("filename", "base", "quant"),
    [
        ("llama-3.2-3b-instruct-q4-k-m.gguf", BASE, "q4-k-m"),
        ("Llama-3.2-3B-Instruct-Q4_K_M.gguf", BASE, "q4-k-m"),
        ("Llama-3.2-3B-Instruct.Q4_K_M.GGUF", BASE, "q4-k-m"),
        ("Llama 3.2 3B Instruct Q8_0.gguf", BASE, "q8-0"),
        ("unsloth/Llama-3.2-3B-Instruct-UD-Q4_K_XL.gguf", BASE, "ud-q4-k-xl"),
        ("Llama-3.2-3B-Instruct.i1-IQ2_XXS.gguf", BASE, "i1-iq2-xxs"),
        ("Llama-3.2-3B-Instruct-Q4_0_4_8.gguf", BASE, "q4-0-4-8"),
        ("Llama-3.2-3B-Instruct-IQ4_NL-imat.gguf", BASE, "iq4-nl-imat"),
        ("DeepSeek-V3-0324-UD-IQ1_S-00002-of-00004.gguf", "deepseek-v3-0324", "ud-iq1-s"),
        ("C:\\models\\gpt-oss-20b-MXFP4.gguf", "gpt-oss-20b", "mxfp4"),
        ("gpt-oss-120b-mxfp4_moe-00001-of-00003.gguf", "gpt-oss-120b", "mxfp4-moe"),
        ("Falcon3-1.58bit-TQ2_0.gguf", "falcon3-1.58bit", "tq2-0"),
        ("nomic-embed-text-v1.5.f16.gguf", "nomic-embed-text-v1.5", "f16"),
        ("Qwen3-0.6B-BF16.gguf", "qwen3-0.6b", "bf16"),
        ("Qwen3-0.6B-f32.gguf", "qwen3-0.6b", "f32"),
        ("gemma-3-12b-it-qat-q4_0.gguf", "gemma-3-12b-it-qat", "q4-0"),
        ("mmproj-model-f16.gguf", "mmproj-model", "f16"),
        ("Qwen3-30B-A3B.gguf", "qwen3-30b-a3b", ""),
        ("Q4_K_M.gguf", "q4-k-m", ""),
        ("modèle élève-Q6_K.gguf", "modele-eleve", "q6-k"),
        ("Qwen2.5\N{NON-BREAKING HYPHEN}7B (1)-Q5_K_S.gguf", "qwen2.5-7b-1", "q5-k-s"),
        ("a..b--c.gguf", "a.b-c", ""),
    ],
)
def test_it_cuts_the_quantization_and_keeps_the_dots(filename: str, base: str, quant: str) -> None:
    assert model_base(filename) == (base, quant)


QUANTIZATIONS = [
    "Q2_K", "Q2_K_S", "Q2_K_L", "Q3_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q3_K_XL", "Q4_K",
    "Q4_K_S", "Q4_K_M", "Q4_K_L", "Q5_K", "Q5_K_S", "Q5_K_M", "Q5_K_L", "Q6_K", "Q6_K_L",
    "Q8_K", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q1_0", "IQ1_S", "IQ1_M", "IQ2_XXS",
    "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M", "IQ4_XS", "IQ4_NL",
    "IQ4_KS", "IQ4_KSS", "IQ5_K", "IQ2_KT", "TQ1_0", "TQ2_0", "MXFP4", "MXFP4_MOE", "NVFP4",
    "F16", "FP16", "BF16", "F32", "UD-Q2_K_XL", "UD-IQ1_M", "UD-TQ1_0", "UD-Q8_K_XL",
    "Q4_0_4_4", "Q4_0_8_8",
]  # fmt: skip


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_it_knows_every_quantization_of_the_engine(quantization: str) -> None:
    expected = quantization.lower().replace("_", "-")
    assert model_base(f"Some-Model-7B-{quantization}.gguf") == ("some-model-7b", expected)
    assert model_base(f"some-model-7b.{expected}.gguf") == ("some-model-7b", expected)


def test_a_name_without_a_usable_letter_still_gets_an_id() -> None:
    assert model_base("通义.gguf")[0].startswith("model-")
    assert model_base("通义.gguf") != model_base("千问.gguf")


@UNHURRIED
@given(st.text())
def test_an_id_is_never_empty_and_needs_no_escaping(filename: str) -> None:
    base, quant = model_base(filename)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", base)
    assert re.fullmatch(r"[a-z0-9-]*", quant)
    assert ".." not in full_id(filename)


@pytest.mark.parametrize(
    ("filename", "split"),
    [
        ("big-00002-of-00003.gguf", ("big", 2, 3)),
        ("Big-Q4_K_M-00001-of-00001.GGUF", ("Big-Q4_K_M", 1, 1)),
        ("big.gguf", None),
        ("big-2-of-3.gguf", None),
        ("big-00004-of-00003.gguf", None),
        ("big-00000-of-00003.gguf", None),
        ("-00001-of-00003.gguf", None),
        ("big-00001-of-00003.gguf.part", None),
    ],
)
def test_it_recognises_the_parts_of_a_split_model(
    filename: str, split: tuple[str, int, int] | None
) -> None:
    assert split_of(filename) == split


def ids(*paths: str, taken: dict[str, ModelId] | None = None) -> dict[str, ModelId]:
    """Ids by path, with the path as the key."""
    return assign_ids([Candidate(path, path) for path in paths], taken or {})


def test_a_single_model_answers_to_its_short_and_its_full_id() -> None:
    path = "Llama-3.2-3B-Instruct-Q8_0.gguf"
    assert ids(path) == {path: ModelId(BASE, (f"{BASE}-q8-0",))}


def test_the_short_id_goes_to_the_preferred_quantization() -> None:
    given_ids = ids("m-BF16.gguf", "m-IQ1_S.gguf", "m-Q8_0.gguf", "m-Q4_K_M.gguf")
    assert given_ids == {
        "m-Q4_K_M.gguf": ModelId("m", ("m-q4-k-m",)),
        "m-Q8_0.gguf": ModelId("m-q8-0"),
        "m-IQ1_S.gguf": ModelId("m-iq1-s"),
        "m-BF16.gguf": ModelId("m-bf16"),
    }


def test_an_unknown_quantization_comes_before_full_size_weights() -> None:
    assert ids("m-F16.gguf", "m-TQ1_0.gguf")["m-TQ1_0.gguf"].id == "m"


def test_a_later_better_quantization_does_not_take_the_short_id() -> None:
    first = ids("m-Q8_0.gguf")
    both = ids("m-Q8_0.gguf", "m-Q4_K_M.gguf", taken=first)
    assert both == {**first, "m-Q4_K_M.gguf": ModelId("m-q4-k-m")}


def test_a_file_without_quantization_is_its_own_full_id() -> None:
    assert ids("m.gguf", "m-Q4_K_M.gguf") == {
        "m.gguf": ModelId("m"),
        "m-Q4_K_M.gguf": ModelId("m-q4-k-m"),
    }


def test_the_same_file_in_two_folders_is_told_apart_by_the_folder() -> None:
    given_ids = ids(
        "bartowski/Llama-3-GGUF/llama-3-Q4_K_M.gguf", "unsloth/Llama-3-GGUF/llama-3-Q4_K_M.gguf"
    )
    assert [model_id.all for model_id in given_ids.values()] == [
        ("llama-3", "llama-3-q4-k-m"),
        ("llama-3-q4-k-m-unsloth",),
    ]


def test_what_no_folder_tells_apart_gets_a_hash() -> None:
    given_ids = ids("m-q4_0.gguf", "M-Q4_0.gguf", "m q4_0.gguf")
    names = sorted(name for model_id in given_ids.values() for name in model_id.all)
    assert len(names) == 4
    assert names[:2] == ["m", "m-q4-0"]
    assert all(re.fullmatch(r"m-q4-0-[0-9a-f]{8}", name) for name in names[2:])


def test_two_roots_with_the_same_path_are_told_apart_by_their_keys() -> None:
    candidates = [Candidate(key, "m-q4_0.gguf") for key in ("/one", "/two", "/three")]
    given_ids = assign_ids(candidates, {})
    assert given_ids["/one"] == ModelId("m", ("m-q4-0",))
    assert len({model_id.id for model_id in given_ids.values()}) == 3


def test_an_id_that_another_model_holds_is_never_given_again() -> None:
    taken = {"from config.yaml": ModelId("m", ("m-q4-k-m",))}
    assert ids("somewhere/m-Q4_K_M.gguf", taken=taken) == {
        "somewhere/m-Q4_K_M.gguf": ModelId("m-q4-k-m-somewhere")
    }


FOLDERS = st.lists(st.sampled_from(["a", "b", "A", "m", "x-gguf"]), max_size=2)
NAMES = st.sampled_from(["m", "M", "m.5", "n", "m-a", "m-q4_0-a", "é", "通"])
SUFFIXES = st.sampled_from(["", "-Q4_K_M", "-q4_k_m", ".Q8_0", "-F16", "-IQ1_S", "-Q4_0"])
PATHS = st.builds(
    lambda folders, name, suffix: "/".join([*folders, f"{name}{suffix}.gguf"]),
    FOLDERS,
    NAMES,
    SUFFIXES,
)
PATH_LISTS = st.lists(PATHS, max_size=12, unique=True)


@UNHURRIED
@given(PATH_LISTS, st.randoms(use_true_random=False))
def test_ids_do_not_depend_on_the_order_of_the_scan(paths: list[str], random: Random) -> None:
    shuffled = random.sample(paths, len(paths))
    assert ids(*paths) == ids(*shuffled)


@UNHURRIED
@given(PATH_LISTS, PATH_LISTS)
def test_a_later_scan_never_renames_and_never_gives_an_id_twice(
    earlier: list[str], later: list[str]
) -> None:
    first = ids(*earlier)
    second = ids(*earlier, *(path for path in later if path not in earlier), taken=first)
    assert {path: second[path] for path in earlier} == first
    names = [name for model_id in second.values() for name in model_id.all]
    assert len(names) == len(set(names))


@UNHURRIED
@given(PATH_LISTS)
def test_the_full_id_of_every_file_resolves(paths: list[str]) -> None:
    names = {name for model_id in ids(*paths).values() for name in model_id.all}
    assert {full_id(path) for path in paths} <= names


def test_no_id_is_longer_than_the_registry_can_store() -> None:
    name = "m" * 240 + "-q8_0.gguf"
    candidates = [Candidate(f"/{n}", f"{n * 120}/{name}") for n in "abcd"]
    ids = assign_ids(candidates, {})
    assert len({model.id for model in ids.values()}) == 4
    assert max(len(name) for model in ids.values() for name in model.all) <= LONGEST_ID
