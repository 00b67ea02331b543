"""What many keys with limits cost: a server with 10,000 of them, beside one with a single key.

    python -m bench.keys_cost [--rounds 9] [--seconds 4]

Both run at once and take turns under the same load on one processor; the ratios are taken round by
round. On the one server each request brings the next of 10,000 keys, every one limited in all ways
there are (so high that nothing is refused); on the other always the only key, without limits. What
looking a key up, its limits and their headers take is also measured by itself, in this process.
Asked: requests a second within 10 %.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import django
import requests

from bench.measures import Run, Wrk
from bench.targets import Claracore, Cores, Target, chat_body, claracore
from tests.management import in_home
from tests.server import wait_until

MANY, ONE = "10,000 keys", "one key"
COUNT = 10_000
LEAST = 0.9
"""Requests a second with many keys and limits, as a share of those with one key and none."""

LIMITS = {
    "requests_per_minute": 10**9,
    "tokens_per_minute": 10**9,
    "tokens_per_day": 10**12,
    "tokens_per_month": 10**13,
    "parallel_requests": 10**6,
    "queue_share": 2,
}

MAKE = f"""
from models_app import api_keys
from models_app.models import ApiKey
keys = ["sk-bench-%06d" % number for number in range({COUNT})]
ApiKey.objects.bulk_create(
    ApiKey(name=key, prefix=key[:8], digest=api_keys.digest_of(key), **{LIMITS!r}) for key in keys
)
"""

SCRIPT = """
local written, turn = {{}}, 0
wrk.method = "POST"
wrk.body = [[{body}]]
wrk.headers["Content-Type"] = "application/json"
init = function()
  for line in io.lines("{file}") do
    wrk.headers["Authorization"] = "Bearer " .. line
    written[#written + 1] = wrk.format(nil, string.format("%s?n=%05d", wrk.path, #written))
  end
end
request = function()
  turn = turn % #written + 1
  return written[turn]
end
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('\\nJSON {{"requests": %d, "seconds": %f, "failed": %d}}\\n',
    summary.requests, summary.duration / 1e6, failed))
end
"""


class InTurn(Wrk):
    """As `Wrk`, with the next of a target's keys for each request.

    All requests are written before the first is sent, and each is another one, also with a single
    key: the load would else have less to do for that, and whoever waits for it gain by it.
    """

    def script(self, target: Target) -> str:
        file = self._scratch / f"{target.port}.keys"
        if not file.exists():
            file.write_text("\n".join(keys_of(target)) + "\n")
        return SCRIPT.format(file=file, body=chat_body())


def keys_of(target: Target) -> list[str]:
    if target.name == ONE:
        return [target.key] * COUNT
    return [f"sk-bench-{number:06}" for number in range(COUNT)]


def make_keys(target: Any) -> None:
    """10,000 keys with limits, known to the server."""
    in_home(target.home, MAKE)
    headers = {"Authorization": f"Bearer {keys_of(target)[-1]}"}
    address = f"{target.url}/v1/models"
    wait_until(lambda: requests.get(address, headers=headers).ok, "the last of the keys")


def own_us(count: int = 50_000) -> float:
    """Microseconds that one request's key, limits, headers and tokens take."""
    from models_app import api_keys  # needs Django's settings
    from models_app.rights import EVERYTHING, Rights
    from proxy_app.bodies import read_head
    from proxy_app.keys import Caller, Key, KeyRing, Keys
    from proxy_app.limit_book import LimitBook
    from proxy_app.limit_headers import lines_of, lines_of_first
    from proxy_app.limits import Limits, admit, admit_first, end
    from proxy_app.records import Record, line_of
    from proxy_app.reservation import tokens_wanted

    limits = Limits(10**9, 10**9, 10**12, 10**13, 10**6, 2)
    texts = [f"sk-bench-{number:06}" for number in range(COUNT)]
    ring = KeyRing.of(
        True,
        [
            Key(
                bytes.fromhex(api_keys.digest_of(text)),
                Caller(text, number + 1, Rights(0, text, EVERYTHING), limits),
            )
            for number, text in enumerate(texts)
        ],
    )
    scopes = [
        {
            "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {text}".encode())],
            "query_string": b"",
        }
        for text in texts
    ]
    keys, book, body = Keys(), LimitBook(), chat_body().encode()
    head = read_head(body)
    record = Record(1, "/v1/chat/completions", "fake", "fake", "127.0.0.1")
    record.piece(b'{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":16}}')
    line = line_of(record)
    lines = [type(line)(*_with_key(line, number + 1)) for number in range(COUNT)]
    before = time.process_time()
    for number in range(count):
        caller = keys.caller_of(scopes[number % COUNT], ring)
        accounts = book.accounts_of(caller)
        wanted = tokens_wanted("/v1/chat/completions", body, wish=head)
        now, today = time.monotonic(), time.time()
        if admit_first(accounts[0], now, today, wanted):
            lines_of_first(accounts[0].limits)
        else:
            admit(accounts, now, today, wanted)
            lines_of(accounts)
        end(accounts, wanted)
        book.charge((lines[number % COUNT],))
    return (time.process_time() - before) * 1e6 / count


def _with_key(line: Any, key_id: int) -> list[Any]:
    return [key_id if name == "key_id" else getattr(line, name) for name in line.__struct_fields__]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    options = parser.parse_args()
    cores = Cores.pick()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        load = InTurn(cores.load, scratch, 16, options.seconds)
        run = Run("Small JSON answers, 16 connections", load)
        targets: list[Claracore] = []
        for name in (MANY, ONE):
            place = scratch / name.replace(" ", "-")
            place.mkdir()
            target = stack.enter_context(claracore(cores, place))
            targets.append(dataclasses.replace(target, name=name))
        make_keys(targets[0])
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for target in targets if number % 2 else reversed(targets):
                run.once(target)
                # Its worker goes on taking over the usage, on the processor that both share.
                wait_until(target.has_drained, "the usage of what was measured")
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    for name in (MANY, ONE):
        per_second, cpu = run.median(name, "per_second"), run.median(name, "cpu_us")
        print(f"{name:12} {per_second:10,.0f} requests/s {cpu:8.1f} us of processor a request")
    ratio = run.ratio(MANY, ONE, "per_second")
    print(f"requests/s with 10,000 keys and limits / one key without: {ratio:.3f} (asked: {LEAST})")
    print(f"key, limits, headers and tokens by themselves: {own_us():.1f} us a request")
    return 0 if ratio >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
