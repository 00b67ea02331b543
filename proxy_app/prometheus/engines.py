"""The engines' own metrics, all together, each with the name of its model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from proxy_app.errors import GatewayError
from proxy_app.forward import engine_headers
from proxy_app.process import Engine, EngineState
from proxy_app.runner import Runner

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0
"""An engine that computes a long prompt may answer late; then its metrics are missing once."""

LONGEST_PAGE = 1024 * 1024


async def read(runner: Runner) -> dict[str, str]:
    """What each ready llama-server says at its `/metrics`, by model."""
    ready = {
        status.model: engine
        for status in runner.statuses()
        if status.state is EngineState.READY
        and (engine := runner.engine(status.model)) is not None
        and "--metrics" in engine.spec.argv
    }
    pages = await asyncio.gather(*(_page(engine) for engine in ready.values()))
    return {model: page for model, page in zip(ready, pages, strict=True) if page}


async def _page(engine: Engine) -> str:
    if engine.pool is None:
        return ""
    headers = engine_headers([], engine.spec.api_key)
    pieces, size = [], 0
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            async with await engine.pool.request(b"GET", b"/metrics", headers, b"") as response:
                async for piece in response:
                    pieces.append(piece)
                    size += len(piece)
                    if response.status != 200 or size > LONGEST_PAGE:
                        return ""
    except (GatewayError, TimeoutError) as error:
        logger.debug("%r gave no metrics: %s", engine, error)
        return ""
    return b"".join(pieces).decode(errors="replace")


def merged(pages: Mapping[str, str]) -> list[Metric]:
    """The metrics of all pages, one family a name, each sample with its model."""
    families: dict[str, Metric] = {}
    for model, page in pages.items():
        for family in _families(model, page):
            name = family.name.replace(":", "_")
            whole = families.setdefault(name, Metric(name, family.documentation, family.type))
            for sample in family.samples:
                whole.add_sample(
                    sample.name.replace(":", "_"), {**sample.labels, "model": model}, sample.value
                )
    return list(families.values())


def _families(model: str, page: str) -> Iterable[Metric]:
    try:
        return list(text_string_to_metric_families(page))
    except ValueError as error:
        logger.warning("The metrics of %s cannot be read: %s", model, error)
        return ()
