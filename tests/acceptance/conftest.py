from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI
from playwright.sync_api import Browser

from tests.browser import Browsers, ended_when_stuck, running_browsers
from tests.ggufs import cut, numbers, write_embedder, write_reciter
from tests.server import RunningServer, running_server

FOX = "The quick brown fox jumps over the lazy dog."
SEA = "Far out in the ocean the water is as blue as a cornflower."
SOME_NUMBERS = numbers(200)


def write_models(folder: Path) -> Path:
    """Two reciters, an endless one, an embedder, and a file that was cut short."""
    folder.mkdir(parents=True, exist_ok=True)
    write_reciter(folder / "fox-f32.gguf", FOX)
    write_reciter(folder / "sea-f32.gguf", SEA)
    write_reciter(folder / "numbers-f32.gguf", SOME_NUMBERS)
    write_reciter(folder / "endless-f32.gguf", FOX, endless=True, context_length=65536)
    write_embedder(folder / "letters-f32.gguf")
    cut(write_reciter(folder / "broken-f32.gguf", FOX), -1000)
    return folder


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def server(models_folder: Path) -> Iterator[RunningServer]:
    with running_server(models_folder) as running:
        running.wait_for_models("fox", "sea", "numbers", "endless", "letters")
        yield running


@pytest.fixture(scope="session")
def client(server: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as openai:
        yield openai


@pytest.fixture(scope="module")
def browsers() -> Iterator[Browsers]:
    """For a module: starting a browser takes seconds."""
    with running_browsers() as browsers:
        yield browsers


@pytest.fixture
def browser(browsers: Browsers) -> Iterator[Browser]:
    with ended_when_stuck():
        yield browsers.one()
