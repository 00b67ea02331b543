"""config.yaml edited on a page: what it would change, and bringing it together with the rest.

Whoever edits began with a text that may be old by the time it is sent. What changed since then and
what the edit changed are both kept; where they contradict each other, the edit wins, and is told to
before anything is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app import catalog, changing, differences, importing, merging, revisions
from models_app.config_yaml import ConfigError, ParsedConfig, parse, render
from models_app.document import ConfigDocument
from models_app.effects import Effect
from models_app.models import Revision

CAUSE: Final = "config.yaml edited on its page"

AROUND: Final = 2
"""Lines shown before and after a bad one."""

MOST_BYTES: Final = 2_000_000
"""What a form may send. Longer files go in by manage.py."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a text can be used, or why not and where."""

    reason: str = ""
    line: int | None = None
    models: int = 0
    groups: int = 0
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Outlook:
    """What taking a text in would do, or did."""

    effect: Effect
    difference: str
    warnings: Sequence[str]
    conflicts: Sequence[str]


class EditForm(forms.Form):
    """The text, and which text it was made from."""

    base = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)
    text = forms.CharField(
        label=gettext_lazy("config.yaml"),
        strip=False,
        required=False,
        widget=forms.Textarea(
            attrs={
                "class": "editor-text",
                "wrap": "off",
                "spellcheck": "false",
                "autocapitalize": "off",
                "autocomplete": "off",
            }
        ),
    )

    def clean_text(self) -> str:
        """As it is in a file: browsers send other ends of lines."""
        text: str = self.cleaned_data["text"].replace("\r\n", "\n")
        if not text.strip():
            raise forms.ValidationError(_("It is empty. Write at least `models: {}`."))
        if len(text.encode()) > MOST_BYTES:
            raise forms.ValidationError(
                _("It is too long for a page. Take it in with: manage.py config import FILE")
            )
        return text


def verdict(text: str) -> Verdict:
    """Whether a text can be read, without looking at anything else."""
    try:
        parsed = parse(text)
    except ConfigError as error:
        return Verdict(error.message, error.line)
    found = parsed.document
    return Verdict(models=len(found.models), groups=len(found.groups), warnings=parsed.warnings)


def take_in(text: str, base: str, *, dry_run: bool) -> Outlook:
    """Bring the configuration to what a text says that was made from the one with digest `base`.

    With `dry_run` nothing stays done. Raises ConfigError.
    """
    parsed = parse(text)
    before = catalog.build()
    merged = merging.merge(_begun_with(base, before), parsed.document, before)
    wanted = ParsedConfig(merged.document, parsed.warnings)

    def act() -> tuple[importing.ImportReport, ConfigDocument]:
        report = importing.apply_edit(wanted, before)
        return report, catalog.build()

    done = changing.change(act, CAUSE, dry_run=dry_run)
    report, after = done.result
    return Outlook(
        effect=done.effect,
        difference=differences.lines(render(before), render(after), "config.yaml"),
        warnings=report.warnings,
        conflicts=merged.conflicts,
    )


def _begun_with(digest: str, now: ConfigDocument) -> ConfigDocument:
    """The configuration whose text has that digest; the present one when nobody knows it."""
    if digest == revisions.digest_of(render(now).encode()):
        return now
    kept = Revision.objects.filter(kind=Revision.Kind.CHANGE, digest=digest).first()
    try:
        return revisions.document_of(kept) if kept else now
    except ConfigError:
        return now


def excerpt(text: str, line: int | None) -> list[tuple[int, str, bool]]:
    """The lines around a bad one: number, text, whether it is the bad one."""
    if line is None:
        return []
    lines = text.splitlines()
    first, last = max(1, line - AROUND), min(len(lines), line + AROUND)
    return [(number, lines[number - 1], number == line) for number in range(first, last + 1)]


def numbers(text: str, bad: int | None) -> dict[str, Any]:
    """The column of line numbers beside a text, in three parts, so that one may be marked."""
    count = text.count("\n") + 1
    # What is missing at the end is missed one line below it.
    bad = min(bad, count) if bad else None
    before = range(1, bad or count + 1)
    after = range(bad + 1, count + 1) if bad else ()
    return {
        "count": count,
        "before": "\n".join(map(str, before)),
        "bad": bad,
        "after": "\n".join(map(str, after)),
    }
