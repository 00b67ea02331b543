"""Writes small models that the real llama-server loads in well under a second.

A reciter says one known sentence, token by token, whatever it is asked and at any temperature:
its attention and feed-forward layers are zero, so each token's embedding goes straight to the
output matrix, which holds for each piece of the sentence the embedding of the piece before.
Every other token, such as the end of a prompt, leads to the first piece, and the last piece leads
to the end of the text or, in an endless one, back to the first.

    python -m tests.ggufs FOLDER    writes two reciters and an embedding model, to try the product
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from gguf import GGUFValueType, GGUFWriter, TokenType

Tensors = dict[str, npt.NDArray[np.float32]]
Metadata = Mapping[str, Any]

BEGIN, END, USER, ASSISTANT, SYSTEM, TOOL = range(6)
SPECIALS: Final = ("<|begin|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>")
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
WIDTH: Final = 64
# The right token beats every other by some hundred logits, far more than a temperature evens out.
CERTAINTY: Final = 100.0


def write_gguf(
    path: Path, architecture: str, metadata: Metadata, tensors: Mapping[str, Any]
) -> Path:
    """Write a file of any architecture and give back `path`.

    In keys, "{arch}" stands for the architecture. An int is written as u32, a float as f32; a pair
    of value and `GGUFValueType` says otherwise.
    """
    writer = GGUFWriter(path, architecture)
    for key, value in metadata.items():
        _add(writer, key.replace("{arch}", architecture), value)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    types = {bool: "BOOL", int: "UINT32", float: "FLOAT32", str: "STRING", list: "ARRAY"}
    if isinstance(value, tuple):
        writer.add_key_value(key, *value)
    else:
        writer.add_key_value(key, value, GGUFValueType[types[type(value)]])


def write_reciter(
    path: Path,
    sentence: str,
    *,
    endless: bool = False,
    context_length: int = 4096,
    layers: int = 1,
    metadata: Metadata | None = None,
) -> Path:
    """Write a chat model that recites `sentence` and give back `path`.

    `len(pieces_of(sentence))` is how many tokens it says. An `endless` one starts over until the
    context or the caller's limit is full. More `layers` make it slower; the text is the same. With
    /completion and /v1/completions, too, it begins at the start, whatever the prompt.
    """
    return write_gguf(path, "llama", *_reciter(sentence, endless, context_length, layers, metadata))


def write_split(
    prefix: Path, parts: int, sentence: str = "Split in parts and whole again."
) -> list[Path]:
    """Write a reciter as a split model of `parts` files and give back their paths, in order."""
    metadata, tensors = _reciter(sentence, False, 4096, 1, None)
    names = list(tensors)
    paths = []
    for number in range(parts):
        split: Metadata = {
            "split.no": (number, GGUFValueType.UINT16),
            "split.count": (parts, GGUFValueType.UINT16),
            "split.tensors.count": (len(names), GGUFValueType.INT32),
        }
        path = prefix.with_name(f"{prefix.name}-{number + 1:05d}-of-{parts:05d}.gguf")
        share = {name: tensors[name] for name in names[number::parts]}
        write_gguf(path, "llama", split if number else {**metadata, **split}, share)
        paths.append(path)
    return paths


def pieces_of(sentence: str) -> list[str]:
    """The tokens a reciter says: the sentence's words with the space before them.

    A word that occurs again, or has a single letter, is joined with what follows until the piece
    is new and longer, since no two tokens may have the same text.
    """
    pieces: list[str] = []
    piece = ""
    for word in re.findall(r"\s*\S+|\s+$", sentence):
        piece += word
        if piece not in pieces and len(piece.encode()) > 1:
            pieces.append(piece)
            piece = ""
    while piece:  # the last words were all there before
        if not pieces:
            raise ValueError("a reciter needs a sentence of at least two bytes")
        piece = pieces.pop() + piece
        if piece not in pieces:
            pieces.append(piece)
            piece = ""
    if not pieces:
        raise ValueError("a reciter needs a sentence of at least two bytes")
    return pieces


def numbers(last: int) -> str:
    """A sentence of exactly `last` tokens: "1, 2, 3, …"."""
    return "1," + "".join(f" {number}," for number in range(2, last + 1))


def _reciter(
    sentence: str, endless: bool, context_length: int, layers: int, extra: Metadata | None
) -> tuple[dict[str, Any], Tensors]:
    pieces = pieces_of(sentence)
    tokens = [*SPECIALS, *_BYTES, *map(_spelled, pieces)]
    control = [TokenType.CONTROL] * len(SPECIALS)
    normal = [TokenType.NORMAL] * (len(tokens) - len(control))
    metadata = {
        "general.name": "Reciter",
        "general.license": "mit",
        "{arch}.context_length": context_length,
        "{arch}.block_count": layers,
        "{arch}.embedding_length": WIDTH,
        "{arch}.feed_forward_length": WIDTH,
        "{arch}.attention.head_count": 2,
        "{arch}.attention.head_count_kv": 1,
        "{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        "{arch}.rope.dimension_count": WIDTH // 2,
        "{arch}.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [int(kind) for kind in control + normal],
        # Without merges no prompt is ever read as a piece of the sentence. One must be there.
        "tokenizer.ggml.merges": ["< |"],
        "tokenizer.ggml.bos_token_id": BEGIN,
        "tokenizer.ggml.eos_token_id": END,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": CHAT_TEMPLATE,
        **(extra or {}),
    }
    return metadata, {**_recital(len(tokens), len(pieces), endless), **_silent_layers(layers)}


def _recital(vocabulary: int, pieces: int, endless: bool) -> Tensors:
    """The matrices before and after the silent layers. The pieces are the last tokens."""
    ways = _directions(pieces + 1)
    embedding = np.tile(ways[0], (vocabulary, 1))
    embedding[-pieces:] = ways[1:]
    output = np.zeros_like(embedding)
    output[-pieces:] = ways[:-1] * CERTAINTY
    if endless:
        embedding[-1] = ways[0]
    else:
        output[END] = ways[-1] * CERTAINTY
    return {
        "token_embd.weight": embedding,
        "output_norm.weight": np.ones(WIDTH, np.float32),
        "output.weight": output,
    }


def _directions(count: int) -> npt.NDArray[np.float32]:
    """Vectors of length 1, the same on every machine, no two of them close."""
    vectors = np.random.RandomState(0).standard_normal((count, WIDTH))
    lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    return np.asarray(vectors / lengths, np.float32)


def _silent_layers(count: int) -> Tensors:
    square = np.zeros((WIDTH, WIDTH), np.float32)
    shared = np.zeros((WIDTH // 2, WIDTH), np.float32)  # two heads share one of keys and values
    norm = np.ones(WIDTH, np.float32)
    layer = {
        "attn_norm": norm,
        "attn_q": square,
        "attn_k": shared,
        "attn_v": shared,
        "attn_output": square,
        "ffn_norm": norm,
        "ffn_gate": square,
        "ffn_up": square,
        "ffn_down": square,
    }
    return {
        f"blk.{number}.{name}.weight": tensor
        for number in range(count)
        for name, tensor in layer.items()
    }


def _letters() -> list[str]:
    """For each byte the letter that a GPT-2 vocabulary writes for it."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(b) if b in visible else chr(256 + hidden.index(b)) for b in range(256)]


_BYTES: Final = _letters()


def _spelled(text: str) -> str:
    return "".join(_BYTES[byte] for byte in text.encode())


def write_embedder(path: Path, context_length: int = 512) -> Path:
    """Write a BERT that embeds a text as the mean of its letters, and give back `path`.

    Equal texts get equal vectors of `WIDTH` numbers, texts of the same letters close ones.
    """
    return write_gguf(path, "bert", *_letter_bert(context_length))


def write_reranker(path: Path, letter: str = "z") -> Path:
    """Write a BERT that ranks a text the higher the more of `letter` is in it; gives back `path`.

    Its attention hands every token the mean of all of them, so that the first one, which is
    scored, knows the whole text.
    """
    metadata, tensors = _letter_bert(512)
    same = np.eye(WIDTH, dtype=np.float32)
    place = metadata["tokenizer.ggml.tokens"].index(letter)
    tensors |= {
        "blk.0.attn_v.weight": same,
        "blk.0.attn_output.weight": same,
        "cls.weight": same,
        "cls.bias": np.zeros(WIDTH, np.float32),
        "cls.output.weight": tensors["token_embd.weight"][place : place + 1] * CERTAINTY,
        "cls.output.bias": np.zeros(1, np.float32),
    }
    named = {"general.name": "Letter reranker", "{arch}.pooling_type": 4}
    return write_gguf(path, "bert", {**metadata, **named}, tensors)


def _letter_bert(context_length: int) -> tuple[dict[str, Any], Tensors]:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'-"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # A letter that begins a word is marked. It embeds like any other.
    tokens += [mark + letter for mark in ("\u2581", "") for letter in letters]
    ways = _directions(5 + len(letters))
    embedding = np.concatenate([ways, ways[5:]])
    metadata: dict[str, Any] = {
        "general.name": "Letter embedder",
        "general.license": "mit",
        "{arch}.context_length": context_length,
        "{arch}.block_count": 1,
        "{arch}.embedding_length": WIDTH,
        "{arch}.feed_forward_length": WIDTH,
        "{arch}.attention.head_count": 2,
        "{arch}.attention.layer_norm_epsilon": 1e-12,
        "{arch}.attention.causal": False,
        "{arch}.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [int(TokenType.NORMAL)] * len(tokens),
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.eos_token_id": 3,
        "tokenizer.ggml.mask_token_id": 4,
    }
    return metadata, _silent_bert(embedding, context_length)


def _silent_bert(embedding: npt.NDArray[np.float32], context_length: int) -> Tensors:
    tensors = {
        "token_embd.weight": embedding,
        "token_types.weight": np.zeros((2, WIDTH), np.float32),
        "position_embd.weight": np.zeros((context_length, WIDTH), np.float32),
    }
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        tensors[f"{name}.weight"] = np.ones(WIDTH, np.float32)
        tensors[f"{name}.bias"] = np.zeros(WIDTH, np.float32)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"):
        tensors[f"blk.0.{name}.weight"] = np.zeros((WIDTH, WIDTH), np.float32)
        tensors[f"blk.0.{name}.bias"] = np.zeros(WIDTH, np.float32)
    return tensors


def write_projector(path: Path, projection_dim: int = WIDTH, sense: str = "vision") -> Path:
    """Write the header of a projector, with one tensor for show, and give back `path`.

    Its `sense` is "vision" or "audio".
    """
    metadata: Metadata = {
        "general.type": "mmproj",
        "general.name": "Reciter",
        f"clip.has_{sense}_encoder": True,
        "clip.projector_type": "mlp",
        f"clip.{sense}.projection_dim": projection_dim,
        "clip.vision.image_size": 224,
        "clip.vision.block_count": 1,
    }
    return write_gguf(path, "clip", metadata, {"mm.0.weight": np.zeros((4, 4), np.float32)})


def cut(path: Path, size: int) -> Path:
    """Cut the file to its first `size` bytes; a negative `size` cuts that many from its end."""
    data = path.read_bytes()
    path.write_bytes(data[:size])
    return path


def patch(path: Path, offset: int, data: bytes) -> Path:
    """Overwrite the file's bytes from `offset` on."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return path


def main(arguments: Sequence[str]) -> None:
    """Write the models for trying the product by hand into the folder given."""
    if len(arguments) != 1:
        sys.exit("usage: python -m tests.ggufs FOLDER")
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for path in (
        write_reciter(folder / "pangram-1b-q4_k_m.gguf", "The quick brown fox jumps over a dog."),
        write_reciter(folder / "counter-1b-q8_0.gguf", numbers(500)),
        write_embedder(folder / "letter-embed-f32.gguf"),
    ):
        print(f"{path}  {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
