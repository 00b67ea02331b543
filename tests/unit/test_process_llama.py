"""The same owner with the real llama-server."""

from __future__ import annotations

import asyncio
import resource
import shlex
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy_app.engine_spec import EngineFailure
from proxy_app.errors import UpstreamGone
from proxy_app.guards import GuardPool
from proxy_app.ledger import Ledger
from proxy_app.ports import PortPool
from proxy_app.process import Engine, EngineSpec, EngineStartFailed, EngineState
from proxy_app.start_failures import FailureKind
from tests.ggufs import cut, write_gguf, write_reciter
from tests.llama import binary
from tests.processes import alive

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(binary() is None, reason="no llama-server here"),
]

FOX = "The quick brown fox jumps over the lazy dog."


class Llamas:
    """Makes engines out of the real llama-server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.guards = GuardPool()

    def spec(self, model: Path, *options: str, shell: str = "exec") -> EngineSpec:
        """`shell` runs in front of the command, in a shell."""
        program = binary()
        assert program is not None
        words = [str(program), "-m", str(model), "--host", "127.0.0.1", "--port", "${PORT}"]
        command = shlex.join([*words, "--fit", "off", "--threads", "2", *options])
        return EngineSpec(
            model_id=model.stem,
            argv=("sh", "-c", f"{shell} {command.replace(repr('${PORT}'), '${PORT}')}"),
            env={"LD_LIBRARY_PATH": str(program.parent)},
            log_path=self.folder / "engine.log",
            start_timeout=60.0,
        )

    def engine(self, spec: EngineSpec) -> Engine:
        return Engine(
            spec,
            guards=self.guards,
            ports=PortPool(24_000),
            ledger=Ledger(self.folder / "ledger"),
        )

    async def failure(self, spec: EngineSpec) -> tuple[FailureKind, str]:
        """How a start fails that must fail.

        llama-server ends without waiting for the thread that writes its log. Where a busy machine
        lost the reason that way, nobody can know it, and the start is tried again.
        """
        for _ in range(5):
            failure = await self._failure(spec)
            if failure.kind is not FailureKind.EXITED:
                break
        assert failure.log_tail
        return failure.kind, failure.reason

    async def _failure(self, spec: EngineSpec) -> EngineFailure:
        engine = self.engine(spec)
        with pytest.raises(EngineStartFailed) as told:
            await engine.ensure_ready()
        assert engine.state is EngineState.STOPPED
        return told.value.failure


@pytest.fixture
async def llamas(tmp_path: Path) -> AsyncIterator[Llamas]:
    llamas = Llamas(tmp_path)
    try:
        yield llamas
    finally:
        await llamas.guards.aclose(0)


@pytest.fixture
def fox(tmp_path: Path) -> Path:
    return write_reciter(tmp_path / "fox.gguf", FOX)


async def test_it_brings_a_model_up_and_down(llamas: Llamas, fox: Path) -> None:
    engine = llamas.engine(llamas.spec(fox))
    await engine.ensure_ready()
    assert engine.pool is not None and engine.pid is not None
    body = b'{"prompt": "x", "n_predict": 50}'
    async with await engine.pool.request(b"POST", b"/completion", [], body) as response:
        assert FOX.encode() in b"".join([chunk async for chunk in response])
    pid = engine.pid
    await engine.stop()
    assert not alive(pid)


async def test_it_stops_one_that_is_generating(llamas: Llamas, tmp_path: Path) -> None:
    endless = write_reciter(tmp_path / "endless.gguf", FOX, endless=True, context_length=65536)
    engine = llamas.engine(replace(llamas.spec(endless), stop_grace=600.0))
    await engine.ensure_ready()
    assert engine.pool is not None
    body = b'{"prompt": "x", "n_predict": -1, "stream": true}'
    async with await engine.pool.request(b"POST", b"/completion", [], body) as response:
        chunks = aiter(response)
        assert await anext(chunks)
        await engine.stop()  # Well before the second SIGTERM: cutting the connection freed it.
        with pytest.raises(UpstreamGone):
            while True:
                await anext(chunks)


async def test_it_stops_one_that_is_loading(llamas: Llamas, fox: Path) -> None:
    engine = llamas.engine(llamas.spec(fox))
    for _ in range(5):
        engine.start()
        await asyncio.sleep(0.01)
        await engine.stop()
        assert engine.state is EngineState.STOPPED


async def test_an_unknown_flag_is_named(llamas: Llamas, fox: Path) -> None:
    kind, reason = await llamas.failure(llamas.spec(fox, "--no-such-flag"))
    assert kind is FailureKind.UNKNOWN_FLAG
    assert "--no-such-flag" in reason


async def test_a_bad_value_is_named(llamas: Llamas, fox: Path) -> None:
    kind, reason = await llamas.failure(llamas.spec(fox, "--ctx-size", "many"))
    assert kind is FailureKind.BAD_VALUE
    assert "--ctx-size" in reason


async def test_a_missing_file_is_named(llamas: Llamas, tmp_path: Path) -> None:
    missing = tmp_path / "missing model.gguf"
    kind, reason = await llamas.failure(llamas.spec(missing))
    assert (kind, reason) == (FailureKind.MISSING_FILE, f"the file {missing} does not exist")


@pytest.mark.parametrize("size", [-100, 500])
async def test_a_file_that_was_cut_short_is_corrupt(llamas: Llamas, fox: Path, size: int) -> None:
    assert (await llamas.failure(llamas.spec(cut(fox, size))))[0] is FailureKind.CORRUPT_FILE


async def test_a_file_of_something_else_is_corrupt(llamas: Llamas, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_text("no model")
    assert (await llamas.failure(llamas.spec(other)))[0] is FailureKind.CORRUPT_FILE


async def test_an_architecture_it_does_not_know_is_named(llamas: Llamas, tmp_path: Path) -> None:
    strange = write_gguf(tmp_path / "strange.gguf", "qwen99", {"qwen99.block_count": 1}, {})
    kind, reason = await llamas.failure(llamas.spec(strange))
    assert kind is FailureKind.UNSUPPORTED_ARCHITECTURE
    assert "qwen99" in reason


async def test_a_context_that_does_not_fit_is_out_of_memory(llamas: Llamas, fox: Path) -> None:
    """With the address space cut to 900 MB, of which a cache of 512 MB is the part too much."""
    assert resource.getrlimit(resource.RLIMIT_AS)[1] == resource.RLIM_INFINITY
    cache = ("-c", "2000000", "--cache-type-k", "f32", "--cache-type-v", "f32")
    spec = llamas.spec(fox, *cache, shell="ulimit -v 900000; exec")
    kind, _ = await llamas.failure(spec)
    # The engine crashes, and on a busy machine its log's thread may not even get to this line.
    told = "alloc_tensor_range" in spec.log_path.read_text()
    assert kind is (FailureKind.MEMORY_KV if told else FailureKind.MEMORY_OTHER)


async def test_a_port_that_is_taken_is_left_for_another(llamas: Llamas, fox: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        once = llamas.folder / "once"
        steal = f'if mkdir "{once}"; then p={port}; else p=${{PORT}}; fi; exec'
        spec = llamas.spec(fox, shell=steal)
        command = spec.argv[2].replace("--port ${PORT}", "--port $p")
        for _ in range(5):
            engine = llamas.engine(replace(spec, argv=("sh", "-c", command)))
            try:
                await engine.ensure_ready()
                break
            except EngineStartFailed as error:
                # Its last words were lost, as above: nobody could know that it was the port.
                assert error.failure.kind is FailureKind.EXITED
                once.rmdir()
        assert "couldn't bind" in engine.spec.log_path.read_text()
        await engine.stop()
