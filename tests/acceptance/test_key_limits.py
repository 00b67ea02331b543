"""What keys may do on a real server: their models, limits, quotas and whose usage they are."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from tests.acceptance.conftest import FOX, SEA
from tests.ggufs import write_reciter
from tests.management import in_home
from tests.server import RunningServer, new_home, running_server, wait_until

pytestmark = pytest.mark.in_order  # The last one stops the server.

MAKE = """
import json
from django.contrib.auth.models import User
from models_app import api_keys, people
from models_app.rights import Role
if not people.administrator_exists():
    people.create("root", "correct horse 9", Role.ADMINISTRATOR)
    people.create("ann", "correct horse 9", Role.USER)
ann = User.objects.get(username="ann")
print(json.dumps({{name: api_keys.create(name, **{{"person": ann, **choices}})[1]
                   for name, choices in {wanted!r}.items()}}))
"""

WANTED: dict[str, dict[str, Any]] = {
    "free": {},
    "slow": {"requests_per_minute": 1},
    "daily": {"tokens_per_day": 10},
    "monthly": {"tokens_per_month": 10},
    "terse": {"tokens_per_minute": 1},
    "counted": {"tokens_per_day": 10**9},
    "one at a time": {"parallel_requests": 1},
    "sea only": {"allowed_models": ["sea"]},
    "nobody's": {"person": None},
    "twice": {"person": None, "queue_share": 2},
    "urgent": {"person": None, "priority": 5},
    "manager": {"person": None, "scopes": ["manage"]},
    "admin": {"person": None, "scopes": ["admin"]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    write_reciter(place / "fox-f32.gguf", FOX)
    write_reciter(place / "sea-f32.gguf", SEA)
    write_reciter(place / "endless-f32.gguf", FOX, endless=True, context_length=65536)
    return place


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_home(tmp_path_factory.mktemp("key-limits") / "home")


@pytest.fixture(scope="module")
def server(folder: Path, home: Path) -> Iterator[RunningServer]:
    with running_server(folder, home=home) as running:
        running.wait_for_models("fox", "sea", "endless")
        yield running


@pytest.fixture(scope="module")
def keys(server: RunningServer) -> dict[str, str]:
    made: dict[str, str] = json.loads(in_home(server.home, MAKE.format(wanted=WANTED)))
    wait_until(lambda: get(server, made["sea only"], "/v1/models").ok, "the keys")
    return made


def get(server: RunningServer, key: str, path: str) -> requests.Response:
    return requests.get(server.url + path, headers={"X-API-Key": key}, timeout=60)


def ask(server: RunningServer, key: str, model: str = "fox", **more: Any) -> requests.Response:
    return requests.post(
        f"{server.url}/v1/completions",
        headers={"Authorization": f"Bearer {key}"},
        json={"model": model, "prompt": "", "max_tokens": 20, **more},
        timeout=120,
        stream=bool(more.get("stream")),
    )


def test_requests_a_minute_are_counted_and_told(
    server: RunningServer, keys: dict[str, str]
) -> None:
    assert ask(server, keys["free"]).status_code == 200  # The model is loaded now.
    first = ask(server, keys["slow"])
    assert first.status_code == 200
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    refused = ask(server, keys["slow"])
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
    assert ask(server, keys["free"]).status_code == 200
    assert "x-ratelimit-limit-requests" not in ask(server, keys["free"]).headers


def test_tokens_a_minute_are_counted_and_told(server: RunningServer, keys: dict[str, str]) -> None:
    """What one answer took of more than a minute's tokens is waited for, a minute for each."""
    first = ask(server, keys["terse"])
    assert first.status_code == 200 and first.headers["x-ratelimit-limit-tokens"] == "1"
    used = first.json()["usage"]["total_tokens"]
    answers = []

    def refused() -> bool:
        answers.append(ask(server, keys["terse"], max_tokens=1))
        return answers[-1].status_code == 429 and "is reached" in answers[-1].text

    wait_until(refused, "the end of the minute's tokens")
    assert "tokens a minute" in answers[-1].json()["error"]["message"]
    assert answers[-1].headers["x-ratelimit-remaining-tokens"] == "0"
    assert 60 < int(answers[-1].headers["retry-after"]) <= (used + len(answers)) * 60
    assert ask(server, keys["free"]).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"response_fields": ["content"]},
        {"prompt": ["x" * 50, "a", "b"]},
        {"n": 2},
        {"prompt": ["x" * 50, "a", "b"], "stream": True},
    ],
)
@pytest.mark.parametrize("place", ["/completion", "/upstream/fox/completion", "/v1/completions"])
def test_no_tokens_are_used_that_are_not_counted(
    server: RunningServer, keys: dict[str, str], place: str, fields: dict[str, Any]
) -> None:
    """llama-server counts the last of several answers, and leaves out what it is told to."""
    headers = {"X-API-Key": keys["counted"]}
    body = {"model": "fox", "prompt": "x" * 50, "max_tokens": 20, **fields}
    before = used_by(server, keys["counted"])
    answer = requests.post(server.url + place, headers=headers, json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    sentences = max(1, answer.text.count(" dog"))
    # FOX has ten tokens, and the prompts have some fifty letters, of which each is a token.
    least = 10 * sentences + len(json.dumps(body)) // 4 - 9
    wait_until(lambda: used_by(server, keys["counted"]) - before >= least, "usage")


@pytest.mark.parametrize("around", [(b"\xef\xbb\xbf", b""), (b"", b"\0}")])
def test_nor_by_a_body_that_only_the_engine_reads(
    server: RunningServer, keys: dict[str, str], around: tuple[bytes, bytes]
) -> None:
    headers = {"X-API-Key": keys["counted"], "Content-Type": "application/json"}
    body = json.dumps({"prompt": list("abcdefgh"), "max_tokens": 20}).encode()
    before = used_by(server, keys["counted"])
    address, sent = f"{server.url}/upstream/fox/v1/completions", around[0] + body + around[1]
    answer = requests.post(address, headers=headers, data=sent, timeout=120)
    assert (answer.status_code, answer.text.count(" dog")) == (200, 8), answer.text
    wait_until(lambda: used_by(server, keys["counted"]) - before >= 80, "usage")


def test_a_form_is_only_what_an_engine_takes_for_one(
    server: RunningServer, keys: dict[str, str]
) -> None:
    """It would read this one as JSON, up to the NUL."""
    asked = {"messages": [{"role": "user", "content": "Go on"}], "max_tokens": 20}
    body = json.dumps(asked).encode() + b"\0\r\n--x--\r\n"
    headers = {"X-API-Key": keys["counted"], "Content-Type": "Multipart/form-data; boundary=x"}
    address = f"{server.url}/v1/chat/completions?model=fox"
    answer = requests.post(address, headers=headers, data=body, timeout=120)
    assert answer.status_code == 400 and "small letters" in answer.text, answer.text


def test_no_form_takes_the_place_of_json(server: RunningServer, keys: dict[str, str]) -> None:
    """llama-server makes JSON of it, several prompts of a field that comes again."""
    fields = [("model", "fox"), *(("prompt", letter) for letter in "abc")]
    form = [(name, (None, value)) for name, value in fields]
    headers = {"X-API-Key": keys["counted"]}
    for path in ("/completion", "/v1/completions", "/upstream/fox/completion"):
        answer = requests.post(server.url + path, headers=headers, files=form, timeout=120)
        assert answer.status_code == 400 and "Send JSON" in answer.text, answer.text
    headers |= {
        "Content-Type": "multipart/form-data; boundary=x",
        "Connection": "content-type, close",
    }
    body = b'{"prompt":["a","b"]}\0\r\n--x--\r\n'
    address = f"{server.url}/v1/images/edits?model=fox"
    answer = requests.post(address, headers=headers, data=body, timeout=120)
    assert answer.status_code == 400 and "Content-Type" in answer.text, answer.text


@pytest.mark.parametrize(
    ("path", "fields", "least"),
    [
        ("/completion", {"prompt": "", "n_predict": 20, "n_probs": 45}, 10),
        ("/completion", {"prompt": "", "n_predict": 20, "n_probs": 45, "stop": ["a" * 40_000]}, 10),
        ("/v1/completions", {"prompt": "", "max_tokens": 20, "n": 2.0}, 20),
    ],
)
def test_nor_are_tokens_hidden_in_a_long_answer(
    server: RunningServer, keys: dict[str, str], path: str, fields: dict[str, Any], least: int
) -> None:
    before = used_by(server, keys["counted"])
    headers = {"X-API-Key": keys["counted"]}
    body = {"model": "fox", **fields}
    answer = requests.post(server.url + path, headers=headers, json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    wait_until(lambda: used_by(server, keys["counted"]) - before >= least, "usage")


def test_who_leaves_is_charged_and_nothing_goes_on(
    server: RunningServer, keys: dict[str, str]
) -> None:
    """Nor does anybody read or end what another asked for, by the name that it was given."""
    before = used_by(server, keys["counted"])
    headers = {"X-API-Key": keys["counted"], "X-Conversation-Id": "abc1"}
    body = {"model": "endless", "prompt": "x" * 1000, "stream": True, "max_tokens": -1}
    address = f"{server.url}/v1/completions"
    with requests.post(address, headers=headers, json=body, stream=True, timeout=60) as answer:
        pieces = answer.iter_content(None)
        assert next(pieces)
        for path in ("v1/stream/abc1", "v1/streams/lookup"):
            asked = get(server, keys["counted"], f"/upstream/endless/{path}")
            assert asked.status_code == 403, asked.text
    wait_until(lambda: used_by(server, keys["counted"]) - before >= 250, "usage")

    def is_idle() -> bool:
        slots = get(server, keys["free"], "/upstream/endless/slots").json()
        return not any(slot["is_processing"] for slot in slots)

    wait_until(is_idle, "the end of the work")


def used_by(server: RunningServer, key: str) -> int:
    rows = get(server, key, "/api/usage?by=key").json()["rows"]
    return sum(row["tokensIn"] + row["tokensOut"] for row in rows)


def test_one_request_at_a_time_means_one(server: RunningServer, keys: dict[str, str]) -> None:
    key, enough, messages = keys["one at a time"], threading.Event(), []

    def stream() -> None:
        while not enough.is_set():
            with ask(server, key, "endless", max_tokens=-1, stream=True) as answer:
                for _ in answer.iter_content(None):
                    if enough.is_set():
                        break

    def refused() -> bool:
        answer = ask(server, key, "endless", max_tokens=1)
        if answer.status_code == 429:
            messages.append(answer.json()["error"]["message"])
        return bool(messages)

    work = threading.Thread(target=stream)
    work.start()
    try:
        wait_until(refused, "a refusal while a stream runs")
    finally:
        enough.set()
        work.join(timeout=60)
    assert "1 requests at a time" in messages[0]
    wait_until(lambda: ask(server, key, max_tokens=1).ok, "the place that was given back")


IN_LINE: Final = ("twice", "twice", "twice", "twice", "nobody's", "nobody's", "urgent")


def test_keys_wait_in_the_order_of_their_priority_and_share(
    server: RunningServer, keys: dict[str, str]
) -> None:
    """The model serves one request at a time, and that one goes on; the others queue up."""
    with ThreadPoolExecutor(len(IN_LINE)) as pool, holding_endless(server, keys):
        answers = []
        for place, name in enumerate(IN_LINE, start=1):
            answers.append(pool.submit(ask, server, keys[name], "endless", max_tokens=1))
            wait_until(lambda place=place: len(waiting(server, keys)) == place, "a request more")
        line = waiting(server, keys)
    found = [(one["caller"].partition("/")[0], one["priority"] or 0) for one in line]
    assert all(answer.result().ok for answer in answers)
    urgent, twice, once = found[0][0], found[1][0], found[3][0]
    assert len({urgent, twice, once}) == 3
    assert found == [
        *((urgent, 5), (twice, 0), (twice, 0), (once, 0)),
        *((twice, 0), (twice, 0), (once, 0)),
    ]


@contextmanager
def holding_endless(server: RunningServer, keys: dict[str, str]) -> Iterator[None]:
    """A request that does not end has all of a model's places, for so long."""
    one = "from models_app.models import ServedModel as m; m.objects.filter(model_id='endless')"
    in_home(server.home, f"{one}.update(concurrency_limit=1)")
    headers = {"X-API-Key": keys["manager"]}
    assert requests.post(f"{server.url}/api/models/endless/load", headers=headers, timeout=120).ok
    wait_until(lambda: queue_of(server, keys, "endless")["concurrency"] == 1, "the limit")
    try:
        with ask(server, keys["free"], "endless", max_tokens=-1, stream=True) as answer:
            pieces = answer.iter_content(None)  # Kept, for the connection ends with it.
            assert next(pieces)
            yield
    finally:
        in_home(server.home, f"{one}.update(concurrency_limit=None)")


def queue_of(server: RunningServer, keys: dict[str, str], model: str) -> dict[str, Any]:
    listed = get(server, keys["manager"], "/api/queue").json()["models"]
    return next((one for one in listed if one["model"] == model), {"concurrency": 0})


def waiting(server: RunningServer, keys: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = queue_of(server, keys, "endless").get("requests", [])
    return found


def test_nobody_sees_or_ends_what_others_ask(server: RunningServer, keys: dict[str, str]) -> None:
    def under_way(key: str) -> list[int]:
        reply = get(server, key, "/api/requests/live")
        return [request["id"] for request in reply.json()["requests"]]

    other = {"X-API-Key": keys["nobody's"]}
    with ask(server, keys["free"], "endless", max_tokens=-1, stream=True) as answer:
        pieces = answer.iter_content(None)
        assert next(pieces)
        (number,) = under_way(keys["free"])
        assert under_way(keys["nobody's"]) == []
        place = f"{server.url}/api/requests"
        refused = requests.delete(f"{place}/live/{number}", headers=other, timeout=60)
        assert (refused.status_code, refused.json()["code"]) == (404, "REQUEST_NOT_FOUND")
        refused = requests.post(f"{place}/{number}/cancel", headers=other, timeout=60)
        assert refused.status_code == 404
        assert under_way(keys["free"]) == [number] and next(pieces)
        own = {"X-API-Key": keys["free"]}
        assert requests.delete(f"{place}/live/{number}", headers=own, timeout=60).ok
        assert b"request_cancelled" in b"".join(pieces)


@pytest.mark.parametrize("place", ["", "/upstream/fox"])
@pytest.mark.parametrize("padding", [0, 600_000])
def test_no_engine_fetches_a_picture_for_a_key_that_may_only_use_models(
    server: RunningServer, keys: dict[str, str], place: str, padding: int
) -> None:
    """llama-server would ask any address, those of the local network as well."""
    picture = {"type": "image_url", "image_url": {"url": f"{server.url}/api/me"}}
    fields = {"model": "fox", "messages": [{"role": "user", "content": [picture]}]}
    fields["type"] = "tool_use"
    body = b" " * padding + json.dumps(fields).encode()
    address, headers = f"{server.url}{place}/v1/chat/completions", {"X-API-Key": keys["free"]}
    headers["Content-Type"] = "application/json"
    refused = requests.post(address, headers=headers, data=body, timeout=120)
    assert refused.status_code == 400
    assert "data: URL" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    ["tools", "%74ools", "/tools", "./tools", "cors-proxy?url=http://127.0.0.1/", "x/tools/y"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_an_administrators_key_reaches_an_engines_tools(
    server: RunningServer, keys: dict[str, str], method: str, path: str
) -> None:
    """`llama-server --agent` runs programs and fetches addresses for whoever asks."""
    place = server.url.removeprefix("http://")
    with closing(http.client.HTTPConnection(place, timeout=60)) as connection:
        connection.request(method, f"/upstream/fox/{path}", headers={"X-API-Key": keys["free"]})
        answer = connection.getresponse()
        assert (answer.status, json.load(answer)["error"]["code"]) == (403, "not_allowed")


@pytest.mark.parametrize(
    "path", ["%u0074ools", "%u0070rops", "x/%u0073lots/0", "%u006cora-adapters"]
)
def test_no_spelling_that_only_the_engine_reads_gets_past_the_rights(
    server: RunningServer, keys: dict[str, str], path: str
) -> None:
    """llama-server takes `%u0074` for a `t`."""
    place = server.url.removeprefix("http://")
    with closing(http.client.HTTPConnection(place, timeout=60)) as connection:
        connection.request("POST", f"/upstream/fox/{path}", headers={"X-API-Key": keys["free"]})
        answer = connection.getresponse()
        assert answer.status == 400 and b"%u" in answer.read()


def test_a_key_for_one_model_sees_and_uses_only_that(
    server: RunningServer, keys: dict[str, str]
) -> None:
    key = keys["sea only"]
    listed = get(server, key, "/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["sea"]
    assert get(server, key, "/v1/models/fox").status_code == 404
    refused = ask(server, key, "fox")
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "model_not_allowed"
    assert get(server, key, "/upstream/fox/health").status_code == 403
    assert ask(server, key, "sea").status_code == 200
    running = get(server, key, "/running").json()["running"]
    assert {model["model"] for model in running} <= {"sea"}
    assert [model["model"] for model in get(server, key, "/info").json()["models"]] == ["sea"]
    assert [model["id"] for model in get(server, key, "/api/models").json()["models"]] == ["sea"]
    for unknown in (ask(server, key, "foxx"), get(server, key, "/upstream/foxx/health")):
        assert unknown.status_code == 404 and "fox " not in unknown.text.replace("foxx", "")
    assert "Did you mean sea" in ask(server, key, "seaa").text
    assert "Did you mean fox" in ask(server, keys["free"], "foxx").text


def test_events_name_no_model_that_a_key_may_not_use(
    server: RunningServer, keys: dict[str, str]
) -> None:
    headers = {"X-API-Key": keys["sea only"]}
    with requests.get(
        f"{server.url}/api/events", headers=headers, timeout=60, stream=True
    ) as stream:
        events = stream.iter_lines()
        assert statuses(events) == ["sea"]
        manager = {"X-API-Key": keys["manager"]}
        for verb in ("load", "unload"):
            changed = requests.post(
                f"{server.url}/api/models/fox/{verb}", headers=manager, timeout=120
            )
            assert changed.ok, changed.text
        assert statuses(events) == ["sea"]


def statuses(events: Iterator[bytes]) -> list[str]:
    """The models of the next `modelStatus`."""
    for line in events:
        if line.startswith(b"data:"):
            event = json.loads(line[5:])
            if event["type"] == "modelStatus":
                return [model["id"] for model in json.loads(event["data"])]
    raise AssertionError("The stream ended.")


def test_a_person_is_limited_with_whatever_key_they_make(
    server: RunningServer, keys: dict[str, str]
) -> None:
    """A limit on one key would limit nobody who may make another."""
    headers, person = {"X-API-Key": keys["admin"]}, f"{server.url}/api/people"
    ann = next(one for one in requests.get(person, headers=headers, timeout=60).json()["people"]
               if one["name"] == "ann")  # fmt: skip
    limits = {"models": ["sea"], "requestsPerMinute": 2}
    changed = requests.patch(f"{person}/{ann['id']}", headers=headers, json=limits, timeout=60)
    assert changed.ok and changed.json()["models"] == ["sea"]
    try:
        wait_until(lambda: ask(server, keys["free"], "fox").status_code == 403, "the limits")
        answers = [ask(server, keys[name], "sea") for name in ("free", "sea only", "free")]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
        assert ask(server, keys["nobody's"], "fox").ok
        me = get(server, keys["free"], "/api/me").json()
        assert me["limits"]["requestsPerMinute"] == 2
    finally:
        none: dict[str, Any] = {"models": [], "requestsPerMinute": None}
        assert requests.patch(f"{person}/{ann['id']}", headers=headers, json=none, timeout=60).ok
        wait_until(lambda: ask(server, keys["free"], "fox").ok, "the end of the limits")


def test_strangers_are_told_only_whether_the_server_is_ready(
    server: RunningServer, keys: dict[str, str]
) -> None:
    def told(**headers: str) -> set[str]:
        return set(requests.get(f"{server.url}/health/ready", headers=headers, timeout=60).json())

    assert told() == told(**{"X-API-Key": keys["free"]}) == {"status", "database", "broker"}
    # As if it came through a proxy on this machine.
    assert told(**{"X-Forwarded-For": "203.0.113.9"}) == {"status"}


def test_somebody_who_signed_in_uses_models_without_a_key(
    server: RunningServer, keys: dict[str, str]
) -> None:
    with requests.Session() as browser:
        page = browser.get(f"{server.url}/ui/sign-in/", timeout=60)
        token = page.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        form = {"name": "ann", "password": "correct horse 9", "csrfmiddlewaretoken": token}
        origin = {"Origin": server.url, "Referer": server.url}
        signed_in = browser.post(
            f"{server.url}/ui/sign-in/", form, headers=origin, timeout=60, allow_redirects=False
        )
        assert signed_in.status_code == 302, signed_in.text
        body = {"model": "fox", "prompt": "", "max_tokens": 3}
        answer = browser.post(
            f"{server.url}/v1/completions", json=body, headers=origin, timeout=120
        )
        assert answer.status_code == 200
        assert browser.get(f"{server.url}/unload", timeout=60).status_code == 403
    assert requests.get(f"{server.url}/v1/models", timeout=60).status_code == 401


def test_no_key_is_kept_or_told_anywhere(server: RunningServer, keys: dict[str, str]) -> None:
    """Not in logs, events, answers, config.yaml, the journal or the database."""
    key, admin = keys["manager"], keys["admin"]
    assert ask(server, keys["free"]).ok
    address = f"{server.url}/api/events?api_key={keys['free']}"
    with requests.get(address, timeout=60, stream=True) as stream:
        assert stream.ok, stream.text
        events = stream.iter_content(None)
        told = [next(events).decode()]
        for path in ("/v1/nothing", "/upstream/fox/nothing", "/api/nothing"):
            requests.get(f"{server.url}{path}?api_key={key}", headers={"X-API-Key": key})
        told.append(next(events).decode())
    paths = ("/logs", "/api/keys", "/api/config", "/api/settings/system", "/api/audit", "/metrics")
    told += [get(server, name, path).text for name in (key, admin) for path in paths]
    assert all(len(text) > 20 for text in told)
    files = [file for file in server.home.rglob("*") if file.is_file()]
    assert {"claracore.sqlite3", "config.yaml"} <= {file.name for file in files}
    for secret in keys.values():
        assert not any(secret in text for text in told) and secret not in server.said()
        assert not [file for file in files if secret.encode() in file.read_bytes()]


def test_a_days_tokens_stay_used_up_after_a_restart(
    server: RunningServer, keys: dict[str, str], folder: Path
) -> None:
    first = ask(server, keys["daily"])
    assert first.status_code == 200 and first.headers["x-ratelimit-limit-tokens"] == "10"

    def used_up() -> bool:
        return ask(server, keys["daily"], max_tokens=1).status_code == 429

    wait_until(used_up, "the end of the day's tokens")
    assert ask(server, keys["monthly"]).headers["x-ratelimit-limit-tokens"] == "10"
    rows = get(server, keys["daily"], "/api/usage?by=person").json()["rows"]
    assert [row["personName"] for row in rows] == ["ann"]
    server.stop()
    with running_server(folder, home=server.home) as again:
        refused = ask(again, keys["daily"])
        assert refused.status_code == 429
        assert "tokens a day" in refused.json()["error"]["message"]
        refused = ask(again, keys["monthly"])
        assert refused.status_code == 429
        assert "tokens a month" in refused.json()["error"]["message"]
        assert ask(again, keys["free"]).status_code == 200
