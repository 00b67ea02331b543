"""Why an engine ended: its newest log lines and exit status, read as a plain reason. Pure.

The signs are those of llama-server; builds 10068 and 10434 were looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from proxy_app.guard_channel import signal_name

SIGILL = 4
SIGABRT = 6
SIGKILL = 9
SIGSEGV = 11


class FailureKind(StrEnum):
    """What went wrong, for programs: whether another port, or less memory, may help."""

    MEMORY_WEIGHTS = "memory_weights"
    MEMORY_KV = "memory_kv"
    MEMORY_COMPUTE = "memory_compute"
    MEMORY_OTHER = "memory_other"
    PORT_TAKEN = "port_taken"
    UNKNOWN_FLAG = "unknown_flag"
    BAD_VALUE = "bad_value"
    UNSUPPORTED_ARCHITECTURE = "unsupported_architecture"
    CORRUPT_FILE = "corrupt_file"
    MISSING_FILE = "missing_file"
    KILLED = "killed"
    EXITED = "exited"
    TIMED_OUT = "timed_out"
    MISSING_LIBRARY = "missing_library"
    NOT_STARTED = "not_started"
    """The program could not be executed at all."""

    @property
    def out_of_memory(self) -> bool:
        return self.name.startswith("MEMORY_")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`reason` is a sentence without its period, for a person."""

    kind: FailureKind
    reason: str


_LESS_WEIGHTS = "take a smaller quantization or a smaller model"
_LESS_CONTEXT = "take a shorter context or a quantized KV cache"
_WEIGHTS = f"there is not enough memory for the model's weights; {_LESS_WEIGHTS}"
_KV = f"there is not enough memory for the context (KV cache); {_LESS_CONTEXT}"
_COMPUTE = (
    "there is not enough memory for the compute buffers; take a smaller ubatch or a shorter context"
)
_CORRUPT = "the model file is corrupt or incomplete; download it again"

_CRASHED_LOADING = (
    "the engine crashed while it loaded (SIGSEGV), as llama-server does when memory runs out; take "
    "a shorter context or a smaller model"
)
"""Its log's thread ends with it: on a busy machine none of the lines that name memory gets out."""

_SIGNS: tuple[tuple[FailureKind, str, str], ...] = (
    (
        FailureKind.PORT_TAKEN,
        r"couldn't bind HTTP server socket|(?i:address already in use)",
        "its port is taken by another program",
    ),
    (
        FailureKind.UNKNOWN_FLAG,
        r"error: invalid argument: (\S+)",
        "this llama-server does not know the flag {0}",
    ),
    (
        FailureKind.BAD_VALUE,
        r'error while handling argument "([^"]+)": (.*)',
        "this llama-server does not take the value given for {0} ({1})",
    ),
    (
        FailureKind.MISSING_LIBRARY,
        r"error while loading shared libraries: ([\w.+-]+):",
        "the system lacks the library {0} that this llama-server needs; install its package "
        "(for libgomp.so.1 on Debian: libgomp1)",
    ),
    (
        FailureKind.UNSUPPORTED_ARCHITECTURE,
        r"unknown model architecture: '([^']*)'",
        "this llama-server does not support the architecture {0}; a newer build may",
    ),
    (
        FailureKind.MISSING_FILE,
        r"failed to open GGUF file '?(.*?)'? \(No such file",
        "the file {0} does not exist",
    ),
    (
        FailureKind.CORRUPT_FILE,
        r"data is not within the file bounds|failed to read key-value pairs"
        r"|failed to read tensor|invalid magic characters|tensor '.*' not found",
        _CORRUPT,
    ),
    (
        FailureKind.MEMORY_KV,
        r"failed to allocate buffer for kv cache|failed to initialize the context: std::bad_alloc",
        _KV,
    ),
    (
        FailureKind.MEMORY_COMPUTE,
        r"failed to allocate compute (pp |tg )?buffers",
        _COMPUTE,
    ),
    (
        FailureKind.MEMORY_WEIGHTS,
        r"mmap failed: Cannot allocate memory|unable to allocate \S+ buffer",
        _WEIGHTS,
    ),
    (
        # An engine that cannot make its context ends with SIGSEGV, and its log's thread with it,
        # one time in ten before the line that names the cache. Of all that a context allocates,
        # only the cache goes through this function; weights do so before, or with a sign above.
        FailureKind.MEMORY_KV,
        r"llama_context: [\s\S]*alloc_tensor_range: failed to allocate",
        _KV,
    ),
    (
        FailureKind.MEMORY_OTHER,
        r"std::bad_alloc|GGML_ASSERT\(buffer\) failed|std::system_error|insufficient memory",
        "there is not enough memory; take a shorter context or a smaller model",
    ),
)
"""In order: what a person mistyped or misplaced comes before memory, and among the memory signs
the one that names its part before the allocator's own."""

_PATTERNS = tuple((kind, re.compile(sign), reason) for kind, sign, reason in _SIGNS)


def diagnose(
    lines: Iterable[str], code: int | None, signal: int | None, *, loading: bool = False
) -> Diagnosis:
    """The reason for an exit nobody asked for.

    `lines` are the newest of the log; `code` and `signal` are both None if nobody saw the exit.
    `loading`: it was not ready yet.
    """
    text = "\n".join(lines)
    for kind, pattern, reason in _PATTERNS:
        found = pattern.search(text)
        if found:
            return Diagnosis(kind, reason.format(*found.groups()))
    if loading and signal == SIGSEGV:
        return Diagnosis(FailureKind.MEMORY_OTHER, _CRASHED_LOADING)
    return _by_status(code, signal)


def _by_status(code: int | None, signal: int | None) -> Diagnosis:
    if signal == SIGKILL:
        killed = "the engine was killed by SIGKILL, perhaps because memory ran out"
        return Diagnosis(FailureKind.KILLED, killed)
    if signal == SIGILL:
        wrong = "this llama-server was built for another processor (SIGILL); use a build for this"
        return Diagnosis(FailureKind.KILLED, f"{wrong} one")
    if signal == SIGABRT:
        return Diagnosis(FailureKind.KILLED, "the engine gave up by itself (SIGABRT)")
    if signal is not None:
        return Diagnosis(FailureKind.KILLED, f"the engine was killed by {signal_name(signal)}")
    if code is None:
        return Diagnosis(
            FailureKind.KILLED, "the engine's guard was killed, and the engine with it"
        )
    return Diagnosis(FailureKind.EXITED, f"the engine ended by itself with exit code {code}")
