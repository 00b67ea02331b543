"""Every text of the web UI can be translated: it is marked, found, and reaches the scripts."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import translation

from tests.server import ROOT
from ui_app.texts import TEXTS

TEMPLATES = ROOT / "templates" / "ui"
FOR_DEVELOPERS = {"components.html"}
NAMES = (
    "ClaraCore",
    "config.yaml",
    "curl",
    "CPU",
    "UTC",
    "hf_…",
    "/srv/llama-b9000-bin-ubuntu-x64.tar.gz",
)
"""What is the same in every language."""

_COMMENTS = re.compile(r"{%\s*comment.*?endcomment\s*%}|{#.*?#}", re.DOTALL)
_ARGUMENTS = re.compile(
    r"{%\s*block (page_class|body_attributes)\s*%}.*?{%\s*endblock\s*%}", re.DOTALL
)
_MARKED = re.compile(r"{%\s*blocktranslate\b.*?endblocktranslate\s*%}", re.DOTALL)
_TAGS = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
_SPOKEN = re.compile(r"\b(?:aria-label|title|placeholder|alt|data-confirm[a-z-]*)=\"([^\"]*)\"")
_WORD = re.compile(r"[A-Za-z]{3}")


def words_of(template: str) -> Iterator[str]:
    """The texts of a template that no mark stands around."""
    for noise in (_COMMENTS, _ARGUMENTS, _MARKED, _TAGS):
        template = noise.sub("", template)
    texts = [*_SPOKEN.findall(template), *re.sub(r"<[^>]*>", "\n", template).split("\n")]
    for text in texts:
        for name in NAMES:
            text = text.replace(name, "")
        if _WORD.search(text):
            yield text.strip()


def test_no_text_of_a_page_is_without_its_mark() -> None:
    found = {
        path.relative_to(TEMPLATES).as_posix(): list(words_of(path.read_text()))
        for path in TEMPLATES.rglob("*.html")
        if path.name not in FOR_DEVELOPERS
    }
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_all_marks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("ui_app", "templates", "static/ui"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("django.conf.settings.LOCALE_PATHS", [tmp_path / "locale"])
    for domain in ("django", "djangojs"):
        call_command("makemessages", locale=["de"], domain=domain, verbosity=0)
    found = "".join(path.read_text() for path in (tmp_path / "locale").rglob("*.po"))
    for text in (
        "Ask something",  # of a template
        "Chat, with images",  # of Python
        "The server gave no answer. Once it is back, try again.",  # of a script
    ):
        assert f'msgid "{text}"' in found


def test_a_translation_reaches_the_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = tmp_path / "de" / "LC_MESSAGES"
    messages.mkdir(parents=True)
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    (messages / "djangojs.po").write_text(header + 'msgid "Live"\nmsgstr "Verbunden"\n')
    subprocess.run(["msgfmt", "djangojs.po", "-o", "djangojs.mo"], cwd=messages, check=True)
    monkeypatch.setattr("django.conf.settings.LOCALE_PATHS", [tmp_path])
    monkeypatch.setattr("django.conf.settings.USE_I18N", True)
    # As in a process with another `LANGUAGE_CODE`: how texts are looked up is decided once.
    monkeypatch.setattr(translation, "_trans", type(vars(translation)["_trans"])())
    with translation.override("de"):
        reply = TEXTS(RequestFactory().get("/ui/texts.js"))
    assert isinstance(reply, HttpResponse)
    assert '"Live": "Verbunden"' in reply.content.decode()
