"""What of the server's environment an engine gets to see."""

from __future__ import annotations

from collections.abc import Mapping

NAMES = frozenset({"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "XDG_RUNTIME_DIR"})
PREFIXES = ("LC_", "CUDA_", "HIP_", "ROCR_", "GGML_", "VK_", "NVIDIA_")


def engine_environment(environ: Mapping[str, str], extras: Mapping[str, str]) -> dict[str, str]:
    """The variables an engine needs, and the model's own on top.

    Everything else stays behind: the server's environment holds its secrets, and a flag of
    llama-server can be set by variable, so a stray one would change every model.
    """
    passed = {
        name: value for name, value in environ.items() if name in NAMES or name.startswith(PREFIXES)
    }
    return {**passed, **extras}
