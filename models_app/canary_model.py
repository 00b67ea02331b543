"""Writes a tiny chat model, 240 KB, that says one known sentence: what a new engine is tried with.

Its attention and feed-forward layers are zero, so the embedding of each token goes straight to the
output matrix. There every word of the sentence holds the embedding of the word before; any other
token, such as the end of a prompt, leads to the first word, and the last one to the end. So the
answer is right on any backend whose arithmetic is, at any temperature.
"""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

WORDS: Final = ("All", " engines", " run", " well", " here.")
SENTENCE: Final = "".join(WORDS)

_BEGIN, _END = 0, 1
_SPECIAL: Final = ("<|begin|>", "<|end|>")
_WIDTH: Final = 64
_CONTEXT: Final = 256
_CERTAINTY: Final = 100.0

_U32, _F32, _BOOL, _STRING, _ARRAY, _I32 = 4, 6, 7, 8, 9, 5
_CONTROL, _NORMAL = 3, 1
_ALIGNMENT: Final = 32


def write(path: Path) -> Path:
    """Write the file and give back its path. Raises OSError."""
    tensors = _tensors()
    header = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(_METADATA)))
    for key, (kind, value) in _METADATA.items():
        header += _text(key) + struct.pack("<I", kind) + _value(kind, value)
    offset = 0
    for name, (shape, data) in tensors.items():
        # Dimensions stand with the fastest first; 0 is the type of plain floats.
        header += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        header += struct.pack("<IQ", 0, offset)
        offset += _padded(len(data) * 4)
    header += b"\0" * (_padded(len(header)) - len(header))
    with path.open("wb") as out:
        out.write(header)
        for _, data in tensors.values():
            out.write(data.tobytes())
            out.write(b"\0" * (_padded(len(data) * 4) - len(data) * 4))
    return path


def _letters() -> list[str]:
    """For each byte the letter that a GPT-2 vocabulary writes for it."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(b) if b in visible else chr(256 + hidden.index(b)) for b in range(256)]


_LETTERS: Final = _letters()
_TOKENS: Final = (
    *_SPECIAL,
    *_LETTERS,
    *("".join(_LETTERS[byte] for byte in word.encode()) for word in WORDS),
)
_TYPES: Final = (
    *(_CONTROL for _ in _SPECIAL),
    *(_NORMAL for _ in range(len(_TOKENS) - len(_SPECIAL))),
)

_METADATA: Final[dict[str, tuple[int, Any]]] = {
    "general.architecture": (_STRING, "llama"),
    "general.name": (_STRING, "Trial"),
    "llama.context_length": (_U32, _CONTEXT),
    "llama.block_count": (_U32, 1),
    "llama.embedding_length": (_U32, _WIDTH),
    "llama.feed_forward_length": (_U32, _WIDTH),
    "llama.attention.head_count": (_U32, 2),
    "llama.attention.head_count_kv": (_U32, 1),
    "llama.attention.layer_norm_rms_epsilon": (_F32, 1e-5),
    "llama.rope.dimension_count": (_U32, _WIDTH // 2),
    "llama.vocab_size": (_U32, len(_TOKENS)),
    "tokenizer.ggml.model": (_STRING, "gpt2"),
    "tokenizer.ggml.pre": (_STRING, "gpt-2"),
    "tokenizer.ggml.tokens": (_ARRAY, (_STRING, _TOKENS)),
    "tokenizer.ggml.token_type": (_ARRAY, (_I32, _TYPES)),
    # One must be there; with this one no prompt is ever read as a word of the sentence.
    "tokenizer.ggml.merges": (_ARRAY, (_STRING, ("< |",))),
    "tokenizer.ggml.bos_token_id": (_U32, _BEGIN),
    "tokenizer.ggml.eos_token_id": (_U32, _END),
    "tokenizer.ggml.add_bos_token": (_BOOL, True),
}


def _value(kind: int, value: Any) -> bytes:
    if kind == _ARRAY:
        inner, items = value
        content = b"".join(_value(inner, item) for item in items)
        return struct.pack("<IQ", inner, len(items)) + content
    if kind == _STRING:
        return _text(value)
    return struct.pack({_U32: "<I", _I32: "<i", _F32: "<f", _BOOL: "<?"}[kind], value)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(count: int) -> int:
    return -(-count // _ALIGNMENT) * _ALIGNMENT


def _tensors() -> dict[str, tuple[tuple[int, ...], array[float]]]:
    ways = _directions(len(WORDS) + 1)
    count, first = len(_TOKENS), len(_TOKENS) - len(WORDS)
    embedding = [ways[0]] * first + ways[1:]
    output: list[Sequence[float]] = [[0.0] * _WIDTH for _ in range(count)]
    for number, way in enumerate(ways[:-1]):
        output[first + number] = [_CERTAINTY * part for part in way]
    output[_END] = [_CERTAINTY * part for part in ways[-1]]
    ones = ((_WIDTH,), array("f", [1.0] * _WIDTH))
    square = ((_WIDTH, _WIDTH), array("f", bytes(4 * _WIDTH * _WIDTH)))
    half = ((_WIDTH, _WIDTH // 2), array("f", bytes(2 * _WIDTH * _WIDTH)))
    return {
        "token_embd.weight": ((_WIDTH, count), _flat(embedding)),
        "output_norm.weight": ones,
        "output.weight": ((_WIDTH, count), _flat(output)),
        "blk.0.attn_norm.weight": ones,
        "blk.0.attn_q.weight": square,
        "blk.0.attn_k.weight": half,
        "blk.0.attn_v.weight": half,
        "blk.0.attn_output.weight": square,
        "blk.0.ffn_norm.weight": ones,
        "blk.0.ffn_gate.weight": square,
        "blk.0.ffn_up.weight": square,
        "blk.0.ffn_down.weight": square,
    }


def _flat(rows: Iterable[Sequence[float]]) -> array[float]:
    return array("f", [part for row in rows for part in row])


def _directions(count: int) -> list[Sequence[float]]:
    """Vectors of length 1, the same on every machine, no two of them close."""
    source = random.Random(0)
    ways: list[Sequence[float]] = []
    for _ in range(count):
        way = [source.gauss(0, 1) for _ in range(_WIDTH)]
        length = sum(part * part for part in way) ** 0.5
        ways.append([part / length for part in way])
    return ways
