"""LiteLLM's proxy in front of the same engine, for comparison, where it is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

from bench.targets import MODEL, Cores, Target, child, pinned
from tests.server import free_port

PROGRAM = "LITELLM"
"""The environment variable that names it; else it is looked for on the PATH."""

HOW_TO_INSTALL = (
    "LiteLLM is not installed, so it is left out. To measure it too:\n"
    "    python3 -m venv /tmp/litellm && /tmp/litellm/bin/pip install 'litellm[proxy]'\n"
    "    make bench LITELLM=/tmp/litellm/bin/litellm"
)


def program() -> str | None:
    """Where LiteLLM is; None when it is not installed."""
    return shutil.which(os.environ.get(PROGRAM) or "litellm")


@contextmanager
def litellm(cores: Cores, engine: Target, scratch: Path, program: str) -> Iterator[Target]:
    """One worker, no logging to anywhere, in front of the same engine as `direct`."""
    behind = {"model": f"openai/{MODEL}", "api_base": f"{engine.url}/v1", "api_key": "none"}
    config = scratch / "litellm.yaml"
    config.write_text(
        yaml.safe_dump({"model_list": [{"model_name": MODEL, "litellm_params": behind}]})
    )
    port = free_port()
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    command = [
        *pinned(cores.proxy),
        program,
        *options,
        "--num_workers",
        "1",
        "--telemetry",
        "False",
    ]
    with child(command, LITELLM_LOG="ERROR", LITELLM_LOCAL_MODEL_COST_MAP="True") as process:
        target = Target("litellm", f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        target.wait()
        yield target
