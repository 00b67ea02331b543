from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models_app.facts import MAX_PARAMETERS, FileFacts, facts_of
from models_app.gguf import (
    ArrayInfo,
    GgufHeader,
    TensorInfo,
    TextInfo,
    Value,
    ValueType,
    read_header,
)
from models_app.kinds import Kind
from tests.ggufs import (
    WIDTH,
    write_embedder,
    write_gguf,
    write_projector,
    write_reciter,
    write_split,
)

# A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(path: Path) -> FileFacts:
    return facts_of(read_header(path), path.name)


def header(metadata: Mapping[str, Value], *tensors: TensorInfo) -> GgufHeader:
    return GgufHeader(3, False, metadata, tensors, 32, 0, 0)


def tensor(name: str, kind: int = 0, size: int = 4, shape: tuple[int, ...] = (1,)) -> TensorInfo:
    return TensorInfo(name, shape, kind, 0, size)


def facts(
    extra: Mapping[str, Value] | None = None,
    *tensors: TensorInfo,
    arch: str = "llama",
    filename: str = "model.gguf",
) -> FileFacts:
    """Facts of a whole model of some architecture."""
    metadata = {"general.architecture": arch, f"{arch}.block_count": 2, **(extra or {})}
    return facts_of(header(metadata, *(tensors or (tensor("token_embd.weight"),))), filename)


def test_it_tells_the_facts_of_a_chat_model(tmp_path: Path) -> None:
    told = read(write_reciter(tmp_path / "m.gguf", "To be, or not to be.", context_length=2048))
    assert told.kind is Kind.CHAT
    assert (told.architecture, told.name, told.licence) == ("llama", "Reciter", "mit")
    assert (told.context_length, told.block_count, told.embedding_length) == (2048, 1, WIDTH)
    assert (told.head_count, told.kv_heads) == (2, (1,))
    assert (told.key_length, told.value_length) == (WIDTH // 2, WIDTH // 2)
    assert (told.tokenizer, told.chat_template) == ("gpt2", True)
    assert told.vocabulary == 6 + 256 + 6
    assert told.quantization == "F32"
    assert told.tensor_bytes == 4 * told.parameters == told.bytes_by_type["F32"]


def test_it_tells_an_embedding_model_by_its_pooling(tmp_path: Path) -> None:
    told = read(write_embedder(tmp_path / "m.gguf"))
    assert (told.kind, told.pooling, told.context_length) == (Kind.EMBEDDING, "mean", 512)


def test_it_tells_what_a_projector_fits(tmp_path: Path) -> None:
    told = read(write_projector(tmp_path / "m.gguf", projection_dim=2560))
    assert (told.kind, told.projector_type, told.projection_dim) == (Kind.PROJECTOR, "mlp", 2560)


def test_only_the_first_part_of_a_split_model_has_a_kind(tmp_path: Path) -> None:
    told = [read(path) for path in write_split(tmp_path / "m", 3)]
    assert [part.kind for part in told] == [Kind.CHAT, Kind.PART, Kind.PART]
    assert [(part.split_no, part.split_count) for part in told] == [(1, 3), (2, 3), (3, 3)]


def test_a_first_part_may_hold_no_tensors() -> None:
    split: dict[str, Value] = {"split.no": 0, "split.count": 4, "tokenizer.chat_template": "x"}
    metadata = {"general.architecture": "llama", "llama.block_count": 2, **split}
    assert facts_of(header(metadata), "m.gguf").kind is Kind.CHAT


@pytest.mark.parametrize(
    ("metadata", "arch", "filename", "kind"),
    [
        ({"tokenizer.chat_template": "{{ x }}"}, "llama", "m.gguf", Kind.CHAT),
        ({"tokenizer.chat_template": TextInfo(2**21)}, "llama", "m.gguf", Kind.CHAT),
        ({"tokenizer.chat_template.tool_use": "{{ x }}"}, "llama", "m.gguf", Kind.CHAT),
        ({"tokenizer.chat_template": ""}, "llama", "m.gguf", Kind.BASE),
        ({}, "llama", "Llama-2-7b-chat.Q4_0.gguf", Kind.CHAT),
        ({}, "gemma2", "gemma-2-2b-it-Q4_K_M.gguf", Kind.CHAT),
        ({}, "llama", "Llama-2-7b.Q4_0.gguf", Kind.BASE),
        ({"tokenizer.chat_template": "x"}, "qwen3", "Qwen3-8B-Base-Q8_0.gguf", Kind.BASE),
        ({"tokenizer.chat_template": "x", "general.finetune": "base"}, "qwen3", "q", Kind.BASE),
        ({"qwen3.pooling_type": 3, "tokenizer.chat_template": "x"}, "qwen3", "q", Kind.EMBEDDING),
        ({"qwen3.pooling_type": 0, "tokenizer.chat_template": "x"}, "qwen3", "q", Kind.CHAT),
        ({}, "nomic-bert", "m.gguf", Kind.EMBEDDING),
        ({}, "gemma-embedding", "m.gguf", Kind.EMBEDDING),
        ({"general.tags": ("feature-extraction",)}, "qwen2", "m.gguf", Kind.EMBEDDING),
        ({}, "llama", "e5-mistral-7b-instruct-Q4_K_M.gguf", Kind.EMBEDDING),
        ({"general.name": "Gte Qwen2 7B instruct"}, "qwen2", "m.gguf", Kind.EMBEDDING),
        ({"qwen3.pooling_type": 4}, "qwen3", "m.gguf", Kind.RERANKER),
        ({"bert.pooling_type": 4}, "bert", "m.gguf", Kind.RERANKER),
        ({"general.tags": ("text-ranking",)}, "bert", "m.gguf", Kind.RERANKER),
        ({}, "eagle3", "m.gguf", Kind.DRAFT),
        ({}, "qwen2", "Qwen2.5-Coder-DRAFT-0.5B-Q4_0.gguf", Kind.DRAFT),
        ({}, "wavtokenizer-dec", "m.gguf", Kind.SPEECH),
        ({"general.type": "adapter", "adapter.type": "lora"}, "llama", "m.gguf", Kind.LORA),
        ({"adapter.type": "lora"}, "llama", "m.gguf", Kind.LORA),
        ({"general.type": "adapter", "adapter.type": "control"}, "llama", "m", Kind.OTHER),
        ({"general.type": "imatrix"}, "llama", "m.gguf", Kind.OTHER),
        ({"clip.has_vision_encoder": True}, "clip", "m.gguf", Kind.PROJECTOR),
        ({"split.no": 2, "split.count": 3}, "llama", "m.gguf", Kind.PART),
    ],
)
def test_it_tells_what_a_file_is_for(
    metadata: dict[str, Value], arch: str, filename: str, kind: Kind
) -> None:
    assert facts(metadata, arch=arch, filename=filename).kind is kind


def test_a_classifier_head_makes_a_reranker() -> None:
    assert facts({}, tensor("cls.weight"), arch="bert").kind is Kind.RERANKER


def test_a_vocabulary_alone_is_nothing_to_serve() -> None:
    metadata: dict[str, Value] = {"general.architecture": "llama", "llama.block_count": 2}
    assert facts_of(header(metadata), "ggml-vocab.gguf").kind is Kind.OTHER


def test_an_image_model_is_nothing_to_serve() -> None:
    metadata: dict[str, Value] = {"general.architecture": "flux"}
    assert facts_of(header(metadata, tensor("x")), "flux1-dev-Q4_K_S.gguf").kind is Kind.OTHER


def test_each_layer_has_its_own_number_of_kv_heads() -> None:
    told = facts({"llama.attention.head_count": (8, 0), "llama.attention.head_count_kv": (4, 0)})
    assert (told.head_count, told.kv_heads) == (8, (4, 0))


def test_one_number_of_kv_heads_holds_for_every_layer() -> None:
    assert facts({"llama.attention.head_count_kv": 4}).kv_heads == (4, 4)


def test_without_kv_heads_each_head_has_its_own_keys() -> None:
    assert facts({"llama.attention.head_count": 8}).kv_heads == (8, 8)


def test_it_reads_both_ways_of_telling_which_layers_have_a_window() -> None:
    key = "llama.attention.sliding_window_pattern"
    assert facts({key: 6}).sliding_window_period == 6
    assert facts({key: (True, False)}).sliding_window_layers == (True, False)
    assert facts({"llama.attention.sliding_window": 512}).sliding_window == 512


def test_it_counts_experts_and_takes_the_widest_layer() -> None:
    told = facts(
        {
            "llama.expert_count": 128,
            "llama.expert_used_count": 8,
            "llama.feed_forward_length": (100, 300, 200),
        }
    )
    assert (told.expert_count, told.expert_used_count, told.feed_forward_length) == (128, 8, 300)


def test_the_licences_own_name_comes_before_other() -> None:
    assert facts({"general.license": "apache-2.0"}).licence == "apache-2.0"
    named: dict[str, Value] = {"general.license": "other", "general.license.name": "llama3.2"}
    assert facts(named).licence == "llama3.2"


def test_it_names_the_models_it_was_made_from() -> None:
    told = facts({"general.base_model.count": 2, "general.base_model.1.name": "Qwen3 8B"})
    assert told.base_models == ("Qwen3 8B",)


@pytest.mark.parametrize(
    ("file_type", "types", "quantization"),
    [
        (15, {12: 100, 14: 40, 0: 1}, "Q4_K_M"),
        (15, {6: 100, 12: 40}, "Q4_K_M"),
        (None, {12: 100, 14: 40, 0: 1}, "Q4_K"),
        (1, {8: 100}, "Q8_0"),
        (7, {30: 100}, "BF16"),
        (1, {1: 100}, "F16"),
        (1024, {12: 100}, "Q4_K"),
        (99_999, {12: 100}, "Q4_K"),
        (38, {39: 100, 0: 10}, "MXFP4_MOE"),
        (None, {999: 100}, "type 999"),
    ],
)
def test_it_tells_the_quantization(
    file_type: int | None, types: dict[int, int], quantization: str
) -> None:
    metadata: dict[str, Value] = {} if file_type is None else {"general.file_type": file_type}
    tensors = [tensor(f"blk.0.{kind}", kind, size) for kind, size in types.items()]
    assert facts(metadata, *tensors).quantization == quantization


def test_a_large_vocabulary_does_not_decide_the_quantization() -> None:
    tensors = (tensor("token_embd.weight", 8, 900), tensor("blk.0.ffn_up.weight", 12, 100))
    assert facts({}, *tensors).quantization == "Q4_K"


def test_parameters_are_counted_from_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = GGUFWriter(path, "llama")
    rows = np.zeros((4, 34 * 2), np.uint8)  # 4 rows of 64 numbers, 34 bytes for each 32
    writer.add_tensor("a", rows, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert (read(path).parameters, read(path).tensor_bytes) == (256, 272)


def test_absurd_shapes_do_not_overflow_a_database() -> None:
    huge = [tensor(f"t{number}", 999, 4, (2**62,)) for number in range(9)]
    assert facts({}, *huge).parameters == MAX_PARAMETERS


def test_odd_values_count_as_missing() -> None:
    told = facts(
        {
            "general.name": 7,
            "general.tags": "one",
            "llama.context_length": -1,
            "llama.embedding_length": "wide",
            "llama.attention.head_count": (1, "two"),
            "llama.attention.key_length": 2**40,
            "llama.pooling_type": 77,
            "tokenizer.ggml.tokens": 3,
            "llama.attention.head_count_kv": ArrayInfo(ValueType.UINT32, 2000),
            "llama.attention.sliding_window_pattern": ArrayInfo(ValueType.BOOL, 2000),
            "split.count": False,
        }
    )
    assert replace(told, shape={}) == FileFacts(
        kind=Kind.BASE,
        architecture="llama",
        quantization="F32",
        parameters=1,
        tensor_bytes=4,
        bytes_by_type={"F32": 4},
        block_count=2,
    )


def test_names_are_fit_for_a_line_in_a_database() -> None:
    assert facts({"general.name": "  A\0B\n\x1b[31mC "}).name == "A B [31mC"
    assert len(facts({"general.name": "x" * 5000}).name) == 200


def test_integer_arrays_written_by_the_gguf_package_are_read(tmp_path: Path) -> None:
    metadata: dict[str, Any] = {
        "{arch}.block_count": 3,
        "{arch}.attention.head_count_kv": [4, 0, 4],
        "{arch}.attention.sliding_window_pattern": [True, True, False],
        "{arch}.context_length": (10_000_000, GGUFValueType.UINT64),
    }
    told = read(write_gguf(tmp_path / "m.gguf", "llama", metadata, {}))
    assert told.kv_heads == (4, 0, 4)
    assert told.sliding_window_layers == (True, True, False)
    assert told.context_length == 10_000_000


def test_it_tells_the_ranks_of_latent_attention() -> None:
    ranks: dict[str, Value] = {
        "deepseek2.attention.q_lora_rank": 1536,
        "deepseek2.attention.kv_lora_rank": 512,
    }
    told = facts(ranks, arch="deepseek2")
    assert (told.query_rank, told.kv_rank) == (1536, 512)
    assert (facts().query_rank, facts().kv_rank) == (None, None)


def test_it_tells_which_layers_are_recurrent_and_what_their_state_takes() -> None:
    state: dict[str, Value] = {
        "mamba.embedding_length": 768,
        "mamba.ssm.conv_kernel": 4,
        "mamba.ssm.inner_size": 1536,
        "mamba.ssm.state_size": 16,
    }
    told = facts(state, arch="mamba")
    assert told.recurrent_layers == (True, True)
    assert told.recurrent_bytes == 2 * 4 * (3 * 1536 + 16 * 1536)
    assert (facts().recurrent_layers, facts().recurrent_bytes) == ((), None)


def test_it_tells_how_positions_are_scaled() -> None:
    scaled: dict[str, Value] = {
        "llama.rope.scaling.type": "yarn",
        "llama.rope.scaling.factor": 4.0,
        "llama.rope.scaling.original_context_length": 32768,
    }
    told = facts(scaled)
    assert (told.rope_scaling, told.rope_scaling_factor) == ("yarn", 4.0)
    assert told.rope_original_context == 32768
    assert facts({"llama.rope.scale_linear": 2.0}).rope_scaling_factor == 2.0
    assert facts(None, tensor("rope_freqs.weight")).rope_scaling == "llama3"
    assert facts(None, tensor("rope_factors_long.weight")).rope_scaling == "longrope"
    assert facts({"llama.rope.scaling.factor": float("nan")}).rope_scaling_factor is None


def test_it_tells_whether_a_projector_sees_or_hears() -> None:
    def senses(**flags: Value) -> tuple[bool, bool]:
        told = facts(
            {f"clip.has_{name}_encoder": value for name, value in flags.items()}, arch="clip"
        )
        return told.sees, told.hears

    assert senses(vision=True) == (True, False)
    assert senses(audio=True) == (False, True)
    assert senses(vision=True, audio=True) == (True, True)
    assert senses() == (True, False)
    assert (facts().sees, facts().hears) == (False, False)


def test_files_of_one_vocabulary_have_one_digest(tmp_path: Path) -> None:
    def digest(name: str, sentence: str, **options: Any) -> str:
        return read(write_reciter(tmp_path / name, sentence, **options)).vocabulary_digest

    one = digest("a", "To be, or not to be.")
    assert len(one) == 32
    assert digest("b", "To be, or not to be.", layers=3, context_length=64) == one
    assert digest("c", "To be, or not to bee.") != one


def test_facts_survive_json(tmp_path: Path) -> None:
    told = read(write_reciter(tmp_path / "m.gguf", "To be, or not to be."))
    assert FileFacts.from_json(json.loads(json.dumps(told.to_json()))) == told


def test_facts_stored_by_another_version_are_read() -> None:
    assert FileFacts.from_json({}) == FileFacts()
    assert FileFacts.from_json({"kind": "chat", "from the future": [1]}).kind is Kind.CHAT
    with pytest.raises(ValueError, match="sculpture"):
        FileFacts.from_json({"kind": "sculpture"})


VALUES: st.SearchStrategy[Value] = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.booleans(),
    st.text(max_size=20),
    st.lists(st.one_of(st.integers(-5, 2**33), st.text(max_size=3), st.booleans())).map(tuple),
    st.builds(ArrayInfo, st.sampled_from(ValueType), st.integers(0, 2**24)),
    st.builds(TextInfo, st.integers(0, 2**27)),
)
KEYS = [
    "general.architecture", "general.type", "general.name", "general.tags", "general.file_type",
    "general.base_model.count", "split.no", "split.count", "adapter.type", "clip.projector_type",
    "tokenizer.chat_template", "tokenizer.ggml.tokens", "llama.block_count", "llama.pooling_type",
    "llama.attention.head_count", "llama.attention.head_count_kv", "llama.embedding_length",
    "llama.attention.sliding_window_pattern", "llama.feed_forward_length", "llama.vocab_size",
    "llama.rope.scaling.type", "llama.rope.scaling.factor", "llama.ssm.inner_size",
    "llama.ssm.conv_kernel", "llama.attention.kv_lora_rank", "clip.has_audio_encoder",
]  # fmt: skip


@UNHURRIED
@given(st.dictionaries(st.sampled_from(KEYS), VALUES), st.booleans(), st.text(max_size=20))
def test_any_metadata_gives_facts_that_json_can_hold(
    metadata: dict[str, Value], llama: bool, filename: str
) -> None:
    if llama:
        metadata = {**metadata, "general.architecture": "llama", "llama.block_count": 2}
    told = facts_of(header(metadata, tensor("a")), filename)
    text = json.dumps(told.to_json(), allow_nan=False)
    assert "\\u0000" not in text
    assert FileFacts.from_json(json.loads(text)) == told
