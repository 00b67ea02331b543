"""Weak points of the first implementation that no other test names, tried as they stood there."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from django.test import Client

from claracore_site.asgi import application
from downloads_app.engines.archive import BadArchive, unpack
from downloads_app.models import Download, DownloadFile
from downloads_app.places import default
from models_app import api_keys, folders
from models_app.api_keys import digest_of
from models_app.config_yaml import parse, render
from models_app.document import ConfigDocument, ModelEntry
from models_app.models import ApiKey, GgufFile, ServedModel, ServerSettings
from models_app.rights import EVERYTHING, Rights
from proxy_app.keys import STRANGER, Caller, Key, KeyRing, Keys
from proxy_app.presented_key import without_key
from proxy_app.serving import SERVING
from tests.ggufs import write_reciter
from tests.routes import routes
from tests.server import ROOT

HUB = "https://huggingface.co/some/model/resolve/main/model.gguf"


def ask(client: Client, **body: Any) -> int:
    path = "/api/models/download"
    status: int = client.post(path, json.dumps(body), content_type="application/json").status_code
    return status


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    ["../../../etc/cron.d/owned.gguf", "/etc/owned.gguf", "..\\..\\owned.gguf", "a/../b.gguf"],
)
def test_a_file_name_leads_nowhere(client: Client, name: str) -> None:
    """S8: a name keeps its `../` there, and the file is written outside of the folder."""
    assert ask(client, url=HUB, modelId="some/model", filename=name) == 200
    file = DownloadFile.objects.get()
    assert not set(file.name) & set("/\\")
    target = Path(file.download.folder) / file.name
    assert target.resolve().parent == default().resolve()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["..", "../..", "a/", "\\", "\0"])
def test_a_folder_is_no_file_name(client: Client, name: str) -> None:
    assert ask(client, url=HUB, modelId="some/model", filename=name) == 400
    assert not DownloadFile.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("folder", ["/etc", "/", "../..", "~", "/tmp"])
def test_a_download_stays_in_the_named_folders(client: Client, folder: str) -> None:
    """S8: any path may be the destination there."""
    status = ask(client, url=HUB, modelId="some/model", filename="m.gguf", destinationPath=folder)
    assert status == 400
    assert not Download.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:6379/model.gguf",
        "http://[::1]/model.gguf",
        "https://huggingface.co.evil.example/model.gguf",
        "https://huggingface.co@evil.example/model.gguf",
        "file:///etc/passwd",
    ],
)
def test_no_other_host_is_asked(client: Client, url: str) -> None:
    """S8: any host may be asked there, with the token sent along."""
    assert ask(client, url=url, modelId="some/model", filename="m.gguf", hfApiKey="hf_x") == 400
    assert not Download.objects.exists()


@pytest.mark.parametrize(
    "name", ["../owned", "/tmp/owned", "a/../../owned", "C:/owned", "..\\owned"]
)
def test_no_archive_writes_outside(tmp_path: Path, name: str) -> None:
    """S10: archives are unpacked there without a look at their names."""
    archive = tmp_path / "build.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(name, "owned")
    with pytest.raises(BadArchive):
        unpack(archive, tmp_path / "deep" / "down" / "there")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != archive]


@pytest.mark.parametrize(
    "text",
    [
        'a" cmd: "touch /tmp/owned',
        "line\nmodels:\n  owned:\n    cmd: touch /tmp/owned",
        "${PORT} ${HOME}",
        "it's \\ # & * ! | > % @ `",
        "!!python/object/apply:os.system ['touch /tmp/owned']",
    ],
)
def test_no_name_changes_the_configuration(text: str) -> None:
    """S12: the file is put together from strings there, so that a name can say anything."""
    model = ModelEntry("m", cmd="llama-server --port ${PORT}", name=text, description=text)
    read = parse(render(ConfigDocument(models={"m": model}))).document
    assert list(read.models) == ["m"]
    assert (read.models["m"].name, read.models["m"].description) == (text, text)
    assert read.models["m"].cmd.strip() == model.cmd


LENGTHS = (2**31, 2**40, 2**63 - 1, 2**64 - 1)
"""What a crafted file says of its own lengths."""


@pytest.mark.django_db
def test_lengths_that_a_model_file_claims_are_not_believed(tmp_path: Path) -> None:
    """S11: memory is taken there for whatever length a file names, and the server dies of it."""
    whole = write_reciter(tmp_path / "good.gguf", "Hello there.").read_bytes()
    metadata = struct.pack("<Q", len("general.architecture")) + b"general.architecture"
    at = whole.index(metadata)
    value = at + len(metadata) + 4
    for place, name in ((8, "tensors"), (16, "pairs"), (at, "key"), (value, "text")):
        for length in LENGTHS:
            crafted = whole[:place] + struct.pack("<Q", length) + whole[place + 8 :]
            (tmp_path / f"{name}-{length}.gguf").write_bytes(crafted)
    folders.add(str(tmp_path))
    call_command("scan", stdout=io.StringIO(), stderr=io.StringIO())
    problems = dict(GgufFile.objects.values_list("relative_path", "problem"))
    assert len(problems) == 1 + 4 * len(LENGTHS)
    assert [name for name, problem in problems.items() if not problem] == ["good.gguf"]
    assert list(ServedModel.objects.values_list("model_id", flat=True)) == ["good"]


async def asked(path: str, *headers: tuple[bytes, bytes], query: bytes = b"") -> int:
    """What the whole application answers to a GET at this machine."""
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"localhost"), *headers],
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.django_db
@pytest.mark.parametrize("table", [ServerSettings, ApiKey, User])
@pytest.mark.parametrize("path", ["/v1/models", "/running", "/api/settings/system"])
def test_settings_that_cannot_be_read_let_nobody_in(table: type[Model], path: str) -> None:
    """S5: a settings file that cannot be read turns protection off there."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table._meta.db_table} RENAME TO lost")
    with pytest.raises(DatabaseError), transaction.atomic():
        async_to_sync(asked)(path)


@pytest.mark.parametrize("path", ["/unload", "/running", "/info", "/logs", "/logs/stream"])
async def test_nothing_of_the_server_is_told_without_a_key(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S6: these ask for no key there, and /unload unloads everything for anybody."""
    monkeypatch.setattr(SERVING.keys, "ring", KeyRing(required=True))
    assert await asked(path) == 401
    assert await asked(path, (b"authorization", b"Bearer wrong")) == 401


@pytest.mark.parametrize("path", ["/v1/models", "/running", "/unload"])
async def test_no_key_is_taken_from_an_address(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S7: a key in the query is taken there everywhere, and sent on to the engine."""
    key = Key(bytes.fromhex(digest_of("sk-one")), Caller("Ann", 1, Rights(1, "Ann", EVERYTHING)))
    monkeypatch.setattr(SERVING.keys, "ring", KeyRing.of(True, [key]))
    assert await asked(path, query=b"api_key=sk-one") == 401
    assert without_key(b"a=1&api_key=sk-one&apikey=sk-one&b=2") == b"a=1&b=2"


def test_the_last_word_on_a_key_has_a_comparison_that_takes_always_as_long() -> None:
    """S7: keys are compared there as texts are, letter by letter until the first that differs."""
    found, kept = bytes.fromhex(digest_of("sk-one")), bytes.fromhex(digest_of("sk-two"))
    ring = KeyRing(required=True, keys={found: Key(kept, Caller("Ann", 1))})
    scope = {"headers": [(b"authorization", b"Bearer sk-one")], "query_string": b""}
    assert Keys().caller_of(scope, ring) is STRANGER


@pytest.mark.django_db
def test_no_usable_key_lies_in_the_database() -> None:
    """S7: the key lies as it is in a file there. A backup holds these rows at most."""
    _, made = api_keys.create("laptop")
    api_keys.set_shared("sesame-opens")
    tables = [model for model in apps.get_models() if model._meta.managed]
    everything = str([list(model._base_manager.values()) for model in tables])
    assert "laptop" in everything
    assert made not in everything and "sesame-opens" not in everything


@pytest.mark.django_db
def test_pages_link_to_the_host_they_were_asked_from(settings: Any) -> None:
    """S14: links lead to http://127.0.0.1:<port> there, which is the visitor's own machine."""
    settings.ALLOWED_HOSTS = ["llm.lan"]
    client = Client(SERVER_NAME="llm.lan", SERVER_PORT="5800")
    client.force_login(User.objects.create_superuser("boss", password="word"))
    ServedModel.objects.create(model_id="own", cmd="llama-server --port ${PORT}")
    pages = [route.path for route in routes() if route.method == "GET"]
    read = 0
    for path in pages:
        if path.startswith("/ui/") and not path.startswith("/ui/events"):
            text = client.get(path).content.decode(errors="replace")
            read += "</html>" in text
            links = re.findall(r"""(?:href|src|action)=["'](https?:[^"']*)""", text)
            assert not [link for link in links if "127.0.0.1" in link or "localhost" in link], path
    assert read > 10
    for script in (ROOT / "static").rglob("*.js"):
        if "vendor" not in script.parts:
            assert not re.search(r"127\.0\.0\.1|//localhost", script.read_text()), script


def test_no_script_keeps_a_key() -> None:
    """S14: pages keep the key in the browser's storage and in addresses there."""
    scripts = [
        *(ROOT / "static").rglob("*.js"),
        *(ROOT / "templates").rglob("*.html"),
    ]
    assert len(scripts) > 10
    for script in scripts:
        text = script.read_text()
        assert not re.search(r"(local|session)Storage\.setItem\([^)]*key", text, re.I), script
        assert "api_key=" not in text, script


def test_the_security_page_names_tests_that_there_are() -> None:
    named = re.findall(
        r"`((?:tests/[\w/]+|test_\w+\.py)(?:\.py|/)?)`", (ROOT / "SECURITY.md").read_text()
    )
    assert len(named) > 15
    known = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    for name in named:
        assert (ROOT / name).exists() or name in known, name
