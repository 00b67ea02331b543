"""What llama-server says it allocates, beside what `models_app.memory` says it will.

The engine is stopped as soon as it has said how large its buffers are. `bench.memory_table` makes
a document of it.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from models_app.buffers import Load

MIB: Final = 1024**2
HANG_SECONDS: Final = 300

_BUFFER = re.compile(
    r"(?P<who>\w+):\s+(?P<device>\S+)\s+(?P<what>model|output|KV|RS|compute) buffer size =\s+"
    r"(?P<mib>[\d.]+) MiB"
)
_DONE = "listening on http"


class EngineFailed(Exception):
    """The engine ended before it had loaded the model; the text is the end of its log."""


@dataclass(frozen=True, slots=True)
class Buffers:
    """Bytes, as the engine's log has them (rounded to 0.01 MiB)."""

    weights: int = 0
    repacked: int = 0
    cache: int = 0
    state: int = 0
    output: int = 0
    compute: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.repacked + self.cache + self.state + self.output + self.compute


def parse_log(text: str) -> Buffers:
    """The sums of all buffers of each kind."""
    sums = dict.fromkeys(("weights", "repacked", "cache", "state", "output", "compute"), 0.0)
    names = {"KV": "cache", "RS": "state", "output": "output", "compute": "compute"}
    for match in _BUFFER.finditer(text):
        name = names.get(match["what"], "weights")
        if name == "weights" and "REPACK" in match["device"]:
            name = "repacked"
        sums[name] += float(match["mib"])
    return Buffers(**{name: round(mib * MIB) for name, mib in sums.items()})


def arguments(load: Load) -> list[str]:
    """The engine's options for `load`."""
    words = ["--ctx-size", str(load.context), "--parallel", str(load.slots)]
    words += ["--kv-unified" if load.unified else "--no-kv-unified"]
    words += ["--cache-type-k", load.type_k, "--cache-type-v", load.type_v]
    words += ["--flash-attn", "on" if load.flash_attention else "off"]
    words += ["--ubatch-size", str(load.ubatch), "--batch-size", str(max(2048, load.ubatch))]
    if load.embedding:
        words.append("--embedding")
    if load.full_windows:
        words.append("--swa-full")
    if not load.repack:
        words.append("--no-repack")
    return words


def measure(binary: Path, model: Path, load: Load, log: Path, *options: str) -> Buffers:
    """Load `model`, with further `options`, and read what was allocated. Raises `EngineFailed`."""
    command = [
        *("nice", "-n", "10", str(binary), "--model", str(model), *arguments(load)),
        *("--host", "127.0.0.1", "--port", str(_free_port()), "--fit", "off", "--no-warmup"),
        # Without this the kernel would fill in every page of the empty file first.
        *("--numa", "distribute", "--verbosity", "4", *options),
    ]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(binary.parent)}
    with log.open("wb") as output:
        engine = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            text = _wait(engine, log)
        finally:
            engine.kill()
            engine.wait()
    return parse_log(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(engine: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + HANG_SECONDS
    while time.monotonic() < deadline:
        ended = engine.poll() is not None
        text = log.read_text(errors="replace")
        if _DONE in text:
            return text
        if ended:
            raise EngineFailed(text[-1500:])
        time.sleep(0.02)
    raise EngineFailed(f"no answer within {HANG_SECONDS} s:\n{log.read_text()[-1500:]}")


def loads_for(architecture: str) -> Sequence[Load]:
    """The ways in which a model of this architecture is loaded for the table."""
    if architecture == "bert":
        return [
            Load(context=512, ubatch=512, embedding=True),
            Load(context=512, ubatch=512, slots=1, embedding=True),
            Load(context=512, ubatch=256, embedding=True),
            Load(context=512, ubatch=512, embedding=True, flash_attention=False),
        ]
    base = Load(context=4096)
    loads = [
        base,
        replace(base, context=16384),
        replace(base, context=6000, slots=1, ubatch=256),
        replace(base, context=8192, slots=2, unified=False),
        replace(base, context=9000, slots=3, unified=False, ubatch=1024),
        replace(base, context=8192, flash_attention=False),
        replace(base, context=4096, slots=2, unified=False, flash_attention=False, ubatch=256),
        replace(base, context=4096, embedding=True, ubatch=128),
    ]
    if architecture == "mamba":
        return loads
    loads.append(replace(base, context=8192, full_windows=True))
    # The engine refuses to quantize a latent cache.
    if architecture != "deepseek2":
        loads += [
            replace(base, context=8192, type_k="q8_0", flash_attention=False),
            replace(base, context=12288, type_k="q8_0", type_v="q8_0"),
            replace(base, context=12288, type_k="q4_0", type_v="q4_0", slots=1),
        ]
    return loads
