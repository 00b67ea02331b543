"""LiteLLM's proxy in front of the same engine, for comparison, where it is installed."""

from __future__ import annotations

import os
import secrets
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

KEY = "sk-" + secrets.token_hex(32)
"""It does not start without a key of its own, and refuses one that looks guessable."""

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
    environment = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": KEY,
    }
    with child(command, **environment) as process:
        url = f"http://127.0.0.1:{port}"
        target = Target("litellm", url, psutil.Process(process.pid), key=KEY)
        target.wait()
        yield target
