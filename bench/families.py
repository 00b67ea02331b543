"""The tensors and metadata of each model family, from a handful of published numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from bench.sparse_gguf import SparseModel, Tensor, Value
from models_app.ggml import TENSOR_TYPES


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a model's config.json says. `weights` is the type of its matrices."""

    name: str
    architecture: str
    source: str
    layers: int
    width: int
    vocabulary: int
    context: int
    heads: int = 0
    kv_heads: int = 0
    head_size: int = 0
    feed_forward: int = 0
    window: int = 0
    experts: int = 0
    experts_used: int = 0
    expert_feed_forward: int = 0
    shared_experts: int = 0
    dense_layers: int = 0
    q_rank: int = 0
    latent_rank: int = 0
    rope_length: int = 0
    nope_length: int = 0
    value_length: int = 0
    inner_size: int = 0
    state_size: int = 0
    conv_kernel: int = 0
    state_ranks: int = 0
    state_groups: int = 0
    tied: bool = False
    weights: str = "F16"
    expert_weights: str = ""
    """Type of the experts' matrices where it is another."""
    seen: str = ""
    """Where these numbers were read: `source` is the model's own page, which needs an account or
    was not at hand."""
    unseen: str = ""
    """Which of them could not be read anywhere."""

    @property
    def query(self) -> int:
        return self.heads * self.head_size

    @property
    def shared(self) -> int:
        return self.kv_heads * self.head_size


Layer = Callable[[Numbers, int], Iterator[Tensor]]


def build(numbers: Numbers) -> SparseModel:
    """The whole model, loadable by the engine."""
    layer, extra = _FAMILIES[numbers.architecture]
    tensors = list(_outer(numbers))
    for number in range(numbers.layers):
        for tensor in layer(numbers, number):
            tensors.append(replace(tensor, name=f"blk.{number}.{tensor.name}"))
    return SparseModel(
        name=numbers.name,
        architecture=numbers.architecture,
        metadata={**_common(numbers), **extra(numbers), **_tokenizer(numbers)},
        tensors=tensors,
        source=numbers.source,
    )


def _matrix(numbers: Numbers, name: str, *shape: int) -> Tensor:
    kind = next(k for k in TENSOR_TYPES.values() if k.name == numbers.weights)
    fits = shape[0] % kind.block == 0
    return Tensor(f"{name}.weight", shape, numbers.weights if fits else "F16")


def _vector(name: str, length: int) -> Tensor:
    return Tensor(f"{name}.weight", (length,))


def _bias(name: str, *shape: int) -> Tensor:
    return Tensor(f"{name}.bias", shape)


def _outer(n: Numbers) -> Iterator[Tensor]:
    yield _matrix(n, "token_embd", n.width, n.vocabulary)
    if n.architecture == "bert":
        yield Tensor("position_embd.weight", (n.width, n.context), "F32")
        yield Tensor("token_types.weight", (n.width, 2), "F32")
        yield _vector("token_embd_norm", n.width)
        yield _bias("token_embd_norm", n.width)
        return
    yield _vector("output_norm", n.width)
    if not n.tied:
        yield _matrix(n, "output", n.width, n.vocabulary)


def _attention(n: Numbers, query_factor: int = 1) -> Iterator[Tensor]:
    yield _vector("attn_norm", n.width)
    yield _matrix(n, "attn_q", n.width, n.query * query_factor)
    yield _matrix(n, "attn_k", n.width, n.shared)
    yield _matrix(n, "attn_v", n.width, n.shared)
    yield _matrix(n, "attn_output", n.query, n.width)


def _head_norms(n: Numbers) -> Iterator[Tensor]:
    yield _vector("attn_q_norm", n.head_size)
    yield _vector("attn_k_norm", n.head_size)


def _dense(n: Numbers, norm: str = "ffn_norm") -> Iterator[Tensor]:
    if norm:
        yield _vector(norm, n.width)
    yield _matrix(n, "ffn_gate", n.width, n.feed_forward)
    yield _matrix(n, "ffn_up", n.width, n.feed_forward)
    yield _matrix(n, "ffn_down", n.feed_forward, n.width)


def _expert_matrices(n: Numbers) -> Iterator[Tensor]:
    yield Tensor("ffn_gate_inp.weight", (n.width, n.experts))
    experts = replace(n, weights=n.expert_weights or n.weights)
    yield _matrix(experts, "ffn_gate_exps", n.width, n.expert_feed_forward, n.experts)
    yield _matrix(experts, "ffn_up_exps", n.width, n.expert_feed_forward, n.experts)
    yield _matrix(experts, "ffn_down_exps", n.expert_feed_forward, n.width, n.experts)


def _llama(n: Numbers, _: int) -> Iterator[Tensor]:
    yield from _attention(n)
    yield from _dense(n)


def _qwen2(n: Numbers, number: int) -> Iterator[Tensor]:
    yield from _llama(n, number)
    yield _bias("attn_q", n.query)
    yield _bias("attn_k", n.shared)
    yield _bias("attn_v", n.shared)


def _qwen3(n: Numbers, number: int) -> Iterator[Tensor]:
    yield from _llama(n, number)
    yield from _head_norms(n)


def _gemma2(n: Numbers, number: int) -> Iterator[Tensor]:
    yield from _llama(n, number)
    yield _vector("post_attention_norm", n.width)
    yield _vector("post_ffw_norm", n.width)


def _gemma3(n: Numbers, number: int) -> Iterator[Tensor]:
    yield from _gemma2(n, number)
    yield from _head_norms(n)


def _qwen3moe(n: Numbers, _: int) -> Iterator[Tensor]:
    yield from _attention(n)
    yield from _head_norms(n)
    yield _vector("ffn_norm", n.width)
    yield from _expert_matrices(n)


def _gpt_oss(n: Numbers, _: int) -> Iterator[Tensor]:
    yield from _attention(n)
    for name, length in (
        ("attn_q", n.query),
        ("attn_k", n.shared),
        ("attn_v", n.shared),
        ("attn_output", n.width),
    ):
        yield _bias(name, length)
    yield _vector("attn_sinks", n.heads)
    yield _vector("post_attention_norm", n.width)
    yield from _expert_matrices(n)
    yield _bias("ffn_gate_inp", n.experts)
    yield _bias("ffn_gate_exps", n.expert_feed_forward, n.experts)
    yield _bias("ffn_up_exps", n.expert_feed_forward, n.experts)
    yield _bias("ffn_down_exps", n.width, n.experts)


def _deepseek2(n: Numbers, number: int) -> Iterator[Tensor]:
    head = n.nope_length + n.rope_length
    yield _vector("attn_norm", n.width)
    if n.q_rank:
        yield _matrix(n, "attn_q_a", n.width, n.q_rank)
        yield _vector("attn_q_a_norm", n.q_rank)
        yield _matrix(n, "attn_q_b", n.q_rank, n.heads * head)
    else:
        yield _matrix(n, "attn_q", n.width, n.heads * head)
    yield _matrix(n, "attn_kv_a_mqa", n.width, n.latent_rank + n.rope_length)
    yield _vector("attn_kv_a_norm", n.latent_rank)
    yield _matrix(n, "attn_k_b", n.nope_length, n.latent_rank, n.heads)
    yield _matrix(n, "attn_v_b", n.latent_rank, n.value_length, n.heads)
    yield _matrix(n, "attn_output", n.heads * n.value_length, n.width)
    if number < n.dense_layers:
        yield from _dense(n)
        return
    yield _vector("ffn_norm", n.width)
    yield from _expert_matrices(n)
    shared = n.expert_feed_forward * n.shared_experts
    yield _matrix(n, "ffn_gate_shexp", n.width, shared)
    yield _matrix(n, "ffn_up_shexp", n.width, shared)
    yield _matrix(n, "ffn_down_shexp", shared, n.width)


def _phi3(n: Numbers, _: int) -> Iterator[Tensor]:
    yield _vector("attn_norm", n.width)
    yield _matrix(n, "attn_qkv", n.width, n.query + 2 * n.shared)
    yield _matrix(n, "attn_output", n.query, n.width)
    yield _vector("ffn_norm", n.width)
    yield _matrix(n, "ffn_up", n.width, 2 * n.feed_forward)
    yield _matrix(n, "ffn_down", n.feed_forward, n.width)


def _bert(n: Numbers, _: int) -> Iterator[Tensor]:
    for name, rows, columns in (
        ("attn_q", n.width, n.width),
        ("attn_k", n.width, n.width),
        ("attn_v", n.width, n.width),
        ("attn_output", n.width, n.width),
        ("ffn_up", n.width, n.feed_forward),
        ("ffn_down", n.feed_forward, n.width),
    ):
        yield _matrix(n, name, rows, columns)
        yield _bias(name, columns)
    for name in ("attn_output_norm", "layer_output_norm"):
        yield _vector(name, n.width)
        yield _bias(name, n.width)


def _mamba(n: Numbers, _: int) -> Iterator[Tensor]:
    yield _vector("attn_norm", n.width)
    yield _matrix(n, "ssm_in", n.width, 2 * n.inner_size)
    yield Tensor("ssm_conv1d.weight", (n.conv_kernel, n.inner_size))
    yield _bias("ssm_conv1d", n.inner_size)
    yield _matrix(n, "ssm_x", n.inner_size, n.state_ranks + 2 * n.state_size)
    yield _matrix(n, "ssm_dt", n.state_ranks, n.inner_size)
    yield _bias("ssm_dt", n.inner_size)
    yield Tensor("ssm_a", (n.state_size, n.inner_size))
    yield Tensor("ssm_d", (n.inner_size,))
    yield _matrix(n, "ssm_out", n.inner_size, n.width)


def _qwen35(n: Numbers, number: int) -> Iterator[Tensor]:
    if (number + 1) % 4 == 0:
        yield from _attention(n, query_factor=2)
        yield from _head_norms(n)
    else:
        keys = n.state_size * n.state_groups
        yield _vector("attn_norm", n.width)
        yield _matrix(n, "attn_qkv", n.width, 2 * keys + n.inner_size)
        yield _matrix(n, "attn_gate", n.width, n.inner_size)
        yield Tensor("ssm_conv1d.weight", (n.conv_kernel, 2 * keys + n.inner_size))
        yield _bias("ssm_dt", n.state_ranks)
        yield Tensor("ssm_a", (n.state_ranks,))
        yield _matrix(n, "ssm_beta", n.width, n.state_ranks)
        yield _matrix(n, "ssm_alpha", n.width, n.state_ranks)
        yield _vector("ssm_norm", n.state_size)
        yield _matrix(n, "ssm_out", n.inner_size, n.width)
    yield _vector("post_attention_norm", n.width)
    yield from _dense(n, norm="")


# ---- Metadata --------------------------------------------------------------------------------
Extra = Callable[[Numbers], dict[str, Value]]


def _common(n: Numbers) -> dict[str, Value]:
    values: dict[str, Value] = {
        "{arch}.block_count": n.layers,
        "{arch}.context_length": n.context,
        "{arch}.embedding_length": n.width,
        "{arch}.feed_forward_length": n.feed_forward,
        "{arch}.attention.head_count": n.heads,
        "{arch}.attention.layer_norm_rms_epsilon": 1e-6,
    }
    if n.kv_heads:
        values["{arch}.attention.head_count_kv"] = n.kv_heads
    if n.head_size:
        values["{arch}.attention.key_length"] = n.head_size
        values["{arch}.attention.value_length"] = n.head_size
        values["{arch}.rope.dimension_count"] = n.head_size
    if n.window:
        values["{arch}.attention.sliding_window"] = n.window
    if n.experts:
        values["{arch}.expert_count"] = n.experts
        values["{arch}.expert_used_count"] = n.experts_used
        values["{arch}.expert_feed_forward_length"] = n.expert_feed_forward
    if n.inner_size:
        values["{arch}.ssm.conv_kernel"] = n.conv_kernel
        values["{arch}.ssm.inner_size"] = n.inner_size
        values["{arch}.ssm.state_size"] = n.state_size
        values["{arch}.ssm.time_step_rank"] = n.state_ranks
    if n.state_groups:
        values["{arch}.ssm.group_count"] = n.state_groups
    return values


def _nothing(_: Numbers) -> dict[str, Value]:
    return {}


def _mla(n: Numbers) -> dict[str, Value]:
    return {
        "{arch}.attention.q_lora_rank": n.q_rank,
        "{arch}.attention.kv_lora_rank": n.latent_rank,
        "{arch}.attention.head_count_kv": 1,
        "{arch}.attention.key_length": n.latent_rank + n.rope_length,
        "{arch}.attention.value_length": n.latent_rank,
        "{arch}.attention.key_length_mla": n.nope_length + n.rope_length,
        "{arch}.attention.value_length_mla": n.value_length,
        "{arch}.rope.dimension_count": n.rope_length,
        "{arch}.leading_dense_block_count": n.dense_layers,
        "{arch}.expert_shared_count": n.shared_experts,
        "{arch}.expert_weights_scale": 1.0,
    }


def _encoder(n: Numbers) -> dict[str, Value]:
    return {
        "{arch}.attention.layer_norm_epsilon": 1e-12,
        "{arch}.attention.causal": False,
        "{arch}.pooling_type": 1,
        "tokenizer.ggml.token_type_count": 2,
    }


def _hybrid(n: Numbers) -> dict[str, Value]:
    quarter = n.head_size // 4
    return {
        "{arch}.full_attention_interval": 4,
        "{arch}.rope.dimension_count": quarter,
        "{arch}.rope.dimension_sections": [11, 11, 10, 0],
    }


_FAMILIES: Final[dict[str, tuple[Layer, Extra]]] = {
    "llama": (_llama, _nothing),
    "qwen2": (_qwen2, _nothing),
    "qwen3": (_qwen3, _nothing),
    "gemma2": (_gemma2, _nothing),
    "gemma3": (_gemma3, _nothing),
    "qwen3moe": (_qwen3moe, _nothing),
    "gpt-oss": (_gpt_oss, _nothing),
    "deepseek2": (_deepseek2, _mla),
    "phi3": (_phi3, _nothing),
    "bert": (_bert, _encoder),
    "mamba": (_mamba, _nothing),
    "qwen35": (_qwen35, _hybrid),
}


# ---- Vocabulary ------------------------------------------------------------------------------
def _tokenizer(n: Numbers) -> dict[str, Value]:
    if n.architecture == "bert":
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokens = words + [f"\u2581w{number}" for number in range(n.vocabulary - len(words))]
        return {"tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": tokens,
                "tokenizer.ggml.unknown_token_id": 1, "tokenizer.ggml.cls_token_id": 2,
                "tokenizer.ggml.seperator_token_id": 3, "tokenizer.ggml.padding_token_id": 0,
                "tokenizer.ggml.mask_token_id": 4}  # fmt: skip
    # The engine looks these up by name in models called Phi-3.
    letters = ["<|endoftext|>", "<unk>", "<s>", "</s>", *_letters()]
    tokens = letters + [f"<{number}>" for number in range(n.vocabulary - len(letters))]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
    }


def _letters() -> list[str]:
    """For each byte the letter that a GPT-2 vocabulary writes for it."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(b) if b in visible else chr(256 + hidden.index(b)) for b in range(256)]
