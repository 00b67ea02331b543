"""From a model of the line-up to the engine that serves it."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from models_app import engine_build
from models_app.plans import DEFAULT_BINARY
from proxy_app.lineup import Served
from proxy_app.log_files import log_path
from proxy_app.process import EngineSpec


class CannotStart(Exception):
    """There is no sense in trying; the text says why."""


class NoBinary(CannotStart):
    """There is no llama-server."""


def spec_of(served: Served, home: Path, start_timeout: float) -> EngineSpec:
    """Raises CannotStart, or ValueError for an address that is none."""
    if served.launch is None:
        raise CannotStart(served.problem)
    if served.launch.argv[0] == DEFAULT_BINARY and shutil.which(DEFAULT_BINARY) is None:
        raise NoBinary(engine_build.NO_ENGINE_HELP)
    key = secrets.token_urlsafe(24) if _takes_key(served.launch.argv) else ""
    return EngineSpec(
        model_id=served.entry.model_id,
        argv=served.launch.argv,
        env={
            **engine_build.environment_of(Path(served.launch.argv[0])),
            **dict(served.launch.env),
            **({"LLAMA_API_KEY": key} if key else {}),
        },
        api_key=key,
        proxy_url=served.launch.proxy,
        check_endpoint=served.launch.check_endpoint,
        start_timeout=start_timeout,
        log_path=log_path(home, served.entry.model_id),
        working_directory=home,
        may_lose_its_last_words=Path(served.launch.argv[0]).name == DEFAULT_BINARY,
    )


def _takes_key(argv: tuple[str, ...]) -> bool:
    """Whether the engine is a llama-server without a key of its own.

    It answers any web page otherwise, on a port that is easy to guess.
    """
    own = any(word.startswith("--api-key") for word in argv)
    return Path(argv[0]).name == DEFAULT_BINARY and not own
