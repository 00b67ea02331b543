"""From a model of the line-up to the engine that serves it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from models_app import engine_build
from models_app.plans import DEFAULT_BINARY
from proxy_app.engine_rules import EngineRules
from proxy_app.guards import GRACE_SECONDS
from proxy_app.lineup import Launch, Served
from proxy_app.log_files import log_path
from proxy_app.process import EngineSpec
from proxy_app.stop_command import STOP_COMMAND_SECONDS


class CannotStart(Exception):
    """There is no sense in trying; the text says why."""


class NoBinary(CannotStart):
    """There is no llama-server."""


DEVICE_VARIABLES = ("CUDA_", "HIP_", "ROCR_", "GGML_", "VK_", "NVIDIA_")
"""Of what engines are handed on from the server's environment, what decides where they run."""


def spec_of(
    served: Served, home: Path, start_timeout: float, rules: EngineRules | None = None
) -> EngineSpec:
    """Raises CannotStart, or ValueError for an address that is none."""
    if served.launch is None:
        raise CannotStart(served.problem)
    if served.launch.argv[0] == DEFAULT_BINARY and shutil.which(DEFAULT_BINARY) is None:
        raise NoBinary(engine_build.NO_ENGINE_HELP)
    rules = rules or EngineRules()
    key = secrets.token_urlsafe(24) if _takes_key(served.launch.argv) else ""
    own = {
        **engine_build.environment_of(Path(served.launch.argv[0])),
        **dict(served.launch.env),
    }
    return EngineSpec(
        model_id=served.entry.model_id,
        argv=served.launch.argv,
        env={
            **own,
            **({"LLAMA_API_KEY": key} if key else {}),
        },
        api_key=key,
        proxy_url=served.launch.proxy,
        check_endpoint=served.launch.check_endpoint,
        start_timeout=start_timeout,
        log_path=log_path(home, served.entry.model_id),
        working_directory=home,
        stop_argv=served.launch.stop_argv,
        start_port=served.start_port,
        stop_grace=_stop_grace(served, bool(served.launch.stop_argv)),
        adopt_wait=rules.adopt_wait,
        fingerprint=fingerprint(served.launch, own),
        may_lose_its_last_words=Path(served.launch.argv[0]).name == DEFAULT_BINARY,
    )


def fingerprint(launch: Launch, env: Mapping[str, str]) -> str:
    """The same for two launches that run the same program on the same devices, the same way.

    A program that was replaced is another one, though its name is the same.
    """
    devices = {
        name: value for name, value in os.environ.items() if name.startswith(DEVICE_VARIABLES)
    }
    parts = [launch.argv, launch.proxy, launch.check_endpoint, launch.stop_argv]
    told = json.dumps([*parts, _build(launch.argv[0]), {**devices, **env}], sort_keys=True)
    return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()


def _build(program: str) -> list[object]:
    found = shutil.which(program)
    if found is None:
        return [program]
    about = os.stat(found)
    return [os.path.realpath(found), about.st_size, about.st_mtime_ns]


def _stop_grace(served: Served, has_command: bool) -> float:
    """Seconds an engine may take to stop."""
    if served.unload_timeout is not None:
        return served.unload_timeout
    return STOP_COMMAND_SECONDS if has_command else GRACE_SECONDS


def _takes_key(argv: tuple[str, ...]) -> bool:
    """Whether the engine is a llama-server without a key of its own.

    It answers any web page otherwise, on a port that is easy to guess.
    """
    own = any(word.startswith("--api-key") for word in argv)
    return Path(argv[0]).name == DEFAULT_BINARY and not own
