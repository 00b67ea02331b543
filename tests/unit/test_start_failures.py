from __future__ import annotations

import pytest

from proxy_app.start_failures import FailureKind, diagnose

LOADING = "0.00.006 E cmn  common_init_: failed to load model 'x.gguf'"


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        (
            "E llama_model_load: error loading model: mmap failed: Cannot allocate memory",
            FailureKind.MEMORY_WEIGHTS,
            "model's weights",
        ),
        (
            "E llama_model_load: error loading model: unable to allocate CPU_REPACK buffer",
            FailureKind.MEMORY_WEIGHTS,
            "model's weights",
        ),
        (
            "E llama_init_from_model: failed to initialize the context: "
            "failed to allocate buffer for kv cache",
            FailureKind.MEMORY_KV,
            "KV cache",
        ),
        (
            "E llama_init_from_model: failed to initialize the context: "
            "failed to allocate compute pp buffers",
            FailureKind.MEMORY_COMPUTE,
            "compute buffers",
        ),
        (
            "E llama_init_from_model: failed to initialize the context: std::bad_alloc",
            FailureKind.MEMORY_KV,
            "KV cache",
        ),
        ("/ggml.c:1: GGML_ASSERT(buffer) failed", FailureKind.MEMORY_OTHER, "not enough memory"),
        ("terminate called after throwing 'std::bad_alloc'", FailureKind.MEMORY_OTHER, "memory"),
        ("error: invalid argument: --draft-max", FailureKind.UNKNOWN_FLAG, "flag --draft-max"),
        (
            'error while handling argument "-c": stoi',
            FailureKind.BAD_VALUE,
            "value given for -c (stoi)",
        ),
        (
            "llama-server: error while loading shared libraries: libgomp.so.1: cannot open "
            "shared object file: No such file or directory",
            FailureKind.MISSING_LIBRARY,
            "Debian: libgomp1",
        ),
        (
            "E error loading model: unknown model architecture: 'qwen99'",
            FailureKind.UNSUPPORTED_ARCHITECTURE,
            "architecture qwen99; a newer build may",
        ),
        (
            "E tensor 'output.weight' data is not within the file bounds, "
            "model is corrupted or incomplete",
            FailureKind.CORRUPT_FILE,
            "download it again",
        ),
        ("E gguf: failed to read key-value pairs", FailureKind.CORRUPT_FILE, "corrupt"),
        (
            "E gguf_init_from_reader: invalid magic characters: '??\"?', expected 'GGUF'",
            FailureKind.CORRUPT_FILE,
            "corrupt",
        ),
        (
            "E gguf_init_from_file: failed to open GGUF file '/m/{x}.gguf' "
            "(No such file or directory)",
            FailureKind.MISSING_FILE,
            "the file /m/{x}.gguf does not exist",
        ),
        (
            "E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 58641",
            FailureKind.PORT_TAKEN,
            "port is taken",
        ),
        (
            "OSError: [Errno 98] error while attempting to bind: address already in use",
            FailureKind.PORT_TAKEN,
            "port is taken",
        ),
    ],
)
def test_it_reads_the_reason_from_the_log(line: str, kind: FailureKind, words: str) -> None:
    found = diagnose(["main: build 1", line, LOADING], 1, None)
    assert found.kind is kind
    assert words in found.reason
    assert not found.reason.endswith(".")


def test_it_names_the_part_that_did_not_fit_rather_than_the_allocator() -> None:
    lines = [
        "E ggml_aligned_malloc: insufficient memory (attempted to allocate 366.22 MB)",
        "E failed to initialize the context: failed to allocate buffer for kv cache",
    ]
    assert diagnose(lines, 1, None).kind is FailureKind.MEMORY_KV


CUT_SHORT = [
    "W llama_context: n_ctx_seq (4000000) > n_ctx_train (4096) -- possible training overflow",
    "E ggml_aligned_malloc: insufficient memory (attempted to allocate 488.28 MB)",
    "E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 512000000",
    "E alloc_tensor_range: failed to allocate CPU buffer of size 512000000",
]
"""What is left of llama-server's last words when it crashed before it had said them all."""


def test_it_knows_the_cache_by_what_came_before_when_the_last_line_was_lost() -> None:
    assert diagnose(CUT_SHORT, None, 11).kind is FailureKind.MEMORY_KV


def test_it_names_no_part_when_the_log_does_not_tell_which() -> None:
    assert diagnose(CUT_SHORT[1:], None, 11).kind is FailureKind.MEMORY_OTHER


def test_it_takes_a_crash_while_loading_for_want_of_memory_and_another_for_what_it_is() -> None:
    lines = ["I srv load_model: loading model 'x.gguf'"]
    assert diagnose(lines, None, 11, loading=True).kind is FailureKind.MEMORY_OTHER
    assert diagnose(lines, None, 11).kind is FailureKind.KILLED
    assert diagnose(lines, None, 6, loading=True).kind is FailureKind.KILLED


def test_it_blames_the_weights_of_a_draft_model_on_the_weights() -> None:
    weights = "E llama_model_load: error loading model: unable to allocate CPU buffer"
    assert diagnose([*CUT_SHORT, weights], 1, None).kind is FailureKind.MEMORY_WEIGHTS


@pytest.mark.parametrize(
    ("code", "signal", "kind", "words"),
    [
        (None, 9, FailureKind.KILLED, "killed by SIGKILL, perhaps because memory ran out"),
        (None, 11, FailureKind.KILLED, "killed by SIGSEGV"),
        (None, 6, FailureKind.KILLED, "SIGABRT"),
        (None, 4, FailureKind.KILLED, "built for another processor"),
        (None, 99, FailureKind.KILLED, "killed by signal 99"),
        (None, None, FailureKind.KILLED, "guard was killed"),
        (3, None, FailureKind.EXITED, "ended by itself with exit code 3"),
        (0, None, FailureKind.EXITED, "ended by itself with exit code 0"),
    ],
)
def test_it_goes_by_the_exit_when_the_log_tells_nothing(
    code: int | None, signal: int | None, kind: FailureKind, words: str
) -> None:
    found = diagnose([], code, signal)
    assert found.kind is kind
    assert words in found.reason


def test_only_memory_failures_are_out_of_memory() -> None:
    told = {kind for kind in FailureKind if kind.out_of_memory}
    assert told == {kind for kind in FailureKind if kind.value.startswith("memory")}
    assert len(told) == 4
