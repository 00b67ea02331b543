"""Random and mutated HTTP requests against the whole server, for what they might break.

    python -m tests.hostile [--requests 20000] [--seed N]     exits with 1 when something did

Requests that many servers get wrong (two lengths, odd chunks, half a request behind another) are
mixed with changes of single bytes. Nothing may crash, answer with a 5xx of ours, send an answer
that is no HTTP, or make the server grow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests
import yaml

from tests.server import ROOT, RunningServer, running_server

AT_ONCE = 24
ANSWER_SECONDS = 20.0
"""How long an answer may take before it counts as a hang; the machine may be busy."""

QUIET_SECONDS = 0.3
"""After such a silence the client says that nothing more comes."""

GROWTH_BYTES = 48 * 1024 * 1024
"""How much more memory the server may hold at the end than after the first tenth."""

CRASH = "Traceback (most recent call last)"
"""What the server logs when something of ours raised and nothing had expected it."""

ENDLESS = b"event:message"
"""In an answer that goes on for ever, and tells of every nonsense that others send."""

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

PATHS = (
    b"/v1/chat/completions",
    b"/v1/completions",
    b"/v1/audio/transcriptions",
    b"/v1/rerank",
    b"/v1/messages",
    b"/v1/models",
    b"/v1/models/fake",
    b"/upstream/fake/props",
    b"/props?model=fake",
    b"/running",
    b"/info",
    b"/api/events/",
    b"/api/nothing",
    b"/api/settings/system",
    b"/api/models/load",
    b"/api/config/fake",
    b"/admin/models_app/servedmodel/",
    b"/ui/models/",
    b"/health",
)
VERSIONS = (*(b" HTTP/1.1",) * 9, b" HTTP/1.0")
METHODS = (b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH")
BODIES = (
    b'{"model":"fake","messages":[]}',
    b'{"model":"fake","stream":true,"messages":[]}',
    b'{"model":5,"messages":[]}',
    b'{"model":"fake"' + b',"a":{"b":1}' * 50 + b"}",
    b"[" * 5000,
    b'{"model":"\xff\xfe"}',
    b'{"model":"\\ud800"}',
    b"",
    b"null",
    b"\x00" * 100,
)
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nfake\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nxyz\r\n--b--\r\n'
)
ODD_HEADERS = (
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 1, 1",
    b"Content-Length : 3",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:\tchunked, identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Expect: 100-continue",
    b"Connection: close, x-a, content-length",
    b"Connection: Upgrade\r\nUpgrade: websocket",
    b"Connection: Upgrade\r\nUpgrade: h2c",
    b"Host: evil.example",
    b"Origin: https://evil.example",
    b"Authorization: \xff\xfe",
    b"X-Long: " + b"a" * 20_000,
    b"X-Folded: a\r\n b",
    b"X-Nul: a\x00b",
    b"X-Bare: a\nb",
    b": nameless",
    b"No colon at all",
    b"Content-Type: multipart/form-data",
    b"Content-Type: multipart/form-data; boundary=" + b"y" * 100,
    b"Content-Type: application/json\r\nContent-Type: multipart/form-data; boundary=b",
    b"Content-Encoding: gzip",
    b"Range: bytes=0-1",
)
ODD_TARGETS = (
    b"/v1/%00/%ff%fe",
    b"/upstream/%2e%2e/%2e%2e/etc/passwd",
    b"/upstream//",
    b"/upstream/fake/a b",
    b"//v1/models",
    b"/v1/models/" + b"a" * 5000,
    b"http://evil.example/v1/models",
    b"*",
    b"/v1/models?model=%zz&api_key=%00",
    b"/props?model=" + b"%41" * 2000,
    b"/upstream/fake/\xc3\xa4",
    b"/v1/chat/completions/../models",
)


def make(dice: random.Random) -> bytes:
    """One request, or what pretends to be one."""
    target = dice.choice(PATHS) if dice.random() < 0.7 else dice.choice(ODD_TARGETS)
    form = dice.random() < 0.15
    body = FORM if form else dice.choice(BODIES)
    lines = [dice.choice(METHODS) + b" " + target + dice.choice(VERSIONS), b"Host: localhost"]
    if form:
        lines.append(b"Content-Type: multipart/form-data; boundary=b")
    lines += dice.sample(ODD_HEADERS, dice.choice((0, 0, 1, 2)))
    framing = dice.random()
    if framing < 0.6:
        lines.append(b"Content-Length: %d" % len(body))
    elif framing < 0.8:
        lines.append(b"Transfer-Encoding: chunked")
        body = chunked(dice, body)
    request = b"\r\n".join(lines) + b"\r\n\r\n" + body
    if dice.random() < 0.2:
        request += b"GET /upstream/fake/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for change in dice.sample(CHANGES, dice.choice((0, 0, 1, 1, 2))):
        request = change(dice, request)
    return request


def chunked(dice: random.Random, body: bytes) -> bytes:
    size = dice.choice((b"%x", b"%X", b"0%x", b"%x;a=b", b" %x", b"+%x", b"%xg")) % len(body)
    return (
        size
        + b"\r\n"
        + body
        + b"\r\n"
        + dice.choice((b"0\r\n\r\n", b"0\r\n", b"", b"0\r\nA: b\r\n\r\n"))
    )


def _flip(dice: random.Random, request: bytes) -> bytes:
    changed = bytearray(request)
    for _ in range(dice.randint(1, 8)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _cut(dice: random.Random, request: bytes) -> bytes:
    return request[: dice.randrange(1, len(request) + 1)]


def _repeat(dice: random.Random, request: bytes) -> bytes:
    start = dice.randrange(len(request))
    return request[:start] + request[start : start + 50] * dice.randint(2, 40) + request[start:]


def _bare_newlines(dice: random.Random, request: bytes) -> bytes:
    return request.replace(b"\r\n", b"\n", dice.randint(1, 5))


def _noise(dice: random.Random, request: bytes) -> bytes:
    return dice.randbytes(dice.randint(1, 3000))


CHANGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip,
    _cut,
    _repeat,
    _bare_newlines,
    _noise,
)


@dataclass
class Findings:
    """What came back; `faults` is what must not have."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def judge(self, request: bytes, answer: bytes) -> None:
        for found in STATUS.finditer(answer):
            self.statuses[int(found[1])] += 1
        if answer and not answer.startswith(b"HTTP/1.1 "):
            self.faults.append(f"no HTTP: {answer[:80]!r} to {request[:300]!r}")
        # The engine's own errors pass through, with its name on them.
        if re.search(rb"HTTP/1\.1 5\d\d (?!.*?server: llama\.cpp)", answer, re.DOTALL | re.I):
            self.faults.append(f"{answer[:300]!r} to {request[:300]!r}")


async def read_on(reader: asyncio.StreamReader, quiet: float) -> bytes:
    """What comes until the end, or until nothing came for `quiet` seconds; of endless, some."""
    answer = b""
    with suppress(TimeoutError):
        while piece := await asyncio.wait_for(reader.read(65536), quiet):
            answer += piece
            if ENDLESS in answer:
                break
    return answer


async def throw(port: int, request: bytes, findings: Findings) -> None:
    answer = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                answer = await read_on(reader, QUIET_SECONDS)
                if ENDLESS not in answer:
                    writer.write_eof()
                    answer += await read_on(reader, ANSWER_SECONDS)
            finally:
                writer.close()
    except TimeoutError:
        findings.faults.append(f"no end: {answer[:100]!r} to {request[:300]!r}")
    except OSError:
        pass  # It hung up, as it may on what is no HTTP.
    findings.judge(request, answer)


async def throw_all(port: int, count: int, seed: int, findings: Findings) -> None:
    dice = random.Random(seed)
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(request: bytes) -> None:
        try:
            await throw(port, request, findings)
        finally:
            turns.release()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            await turns.acquire()
            group.create_task(one(make(dice)))


def attack(server: RunningServer, count: int, seed: int) -> Findings:
    """Throw `count` requests; a fault is also a server that grew, stopped answering or raised."""
    findings = Findings()
    port = int(server.url.rpartition(":")[2])
    process = psutil.Process(server.process.pid)
    early = max(count // 10, 1)
    asyncio.run(throw_all(port, early, seed, findings))
    before = process.memory_info().rss
    asyncio.run(throw_all(port, count - early, seed + 1, findings))
    grown = process.memory_info().rss - before
    if grown > GROWTH_BYTES:
        findings.faults.append(f"the server grew by {grown / 1e6:.0f} MB")
    with suppress(requests.ConnectionError):
        body = {"model": "fake", "messages": []}
        reply = requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
        if reply.ok:
            said = server.said()
            if CRASH in said:
                findings.faults.append(CRASH + said.partition(CRASH)[2][:6000])
            return findings
    findings.faults.append("the server no longer answers")
    return findings


def write_config(folder: Path) -> Path:
    """A configuration with the fake engine as the model "fake"."""
    engine = {
        "cmd": f"{sys.executable} -m tests.fake_engine --port ${{PORT}}",
        "env": [f"PYTHONPATH={ROOT}"],
        "concurrencyLimit": 1000,
    }
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({"models": {"fake": engine}}))
    return config


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--config", str(write_config(Path(folder)))]
        with running_server(arguments=arguments) as server:
            server.wait_for_models("fake")
            findings = attack(server, options.requests, options.seed)
    print(f"seed {options.seed}:", json.dumps(dict(sorted(findings.statuses.items()))))
    for fault in findings.faults[:20]:
        print(fault)
    print(f"{len(findings.faults)} faults in {options.requests} requests")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    sys.exit(main())
