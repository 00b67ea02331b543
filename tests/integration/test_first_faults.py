"""Weak points of the first implementation that no other test names, tried as they stood there."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from downloads_app.engines.archive import BadArchive, unpack
from downloads_app.models import Download, DownloadFile
from downloads_app.places import default
from models_app.config_yaml import parse, render
from models_app.document import ConfigDocument, ModelEntry
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
    ask(client, url=HUB, modelId="some/model", filename=name)
    for file in DownloadFile.objects.all():
        target = Path(file.download.folder) / file.name
        assert target.resolve().parent == default().resolve()


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
