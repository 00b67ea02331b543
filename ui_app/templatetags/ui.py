"""What templates of the web UI need beyond Django's own tags."""

from __future__ import annotations

from collections.abc import Sequence

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe

from models_app.models import ServedModel
from models_app.units import binary_size, short_count
from ui_app import drawings
from ui_app.activity import Segment

register = template.Library()

NOTHING = "\N{EN DASH}"

MOST_LINES = 2000
"""Of a difference; nobody reads more of it on a page."""

_KINDS_OF_LINES = {"+": "added", "-": "removed", "@": "place"}


@register.simple_tag
def icon(name: str, size: int = 16) -> SafeString:
    """`{% icon "models" %}`: a drawing of the folder icons/."""
    # Nothing of a person's is in it: the names are files of ours.
    return mark_safe(drawings.svg(name, size))


@register.simple_tag
def time_bar(segments: Sequence[Segment]) -> SafeString:
    """`{% time_bar one.segments %}`: where a request's time went, drawn as a bar.

    A list shows fifty: written here, they take a tenth of the time that a template takes.
    """
    parts = [(part, f"{part.label} {part.ms:.0f} ms") for part in segments]
    return format_html(
        '<svg class="time-bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>',
        ", ".join(said for _, said in parts),
        format_html_join(
            "",
            '<rect data-phase="{}" x="{}" width="{}" height="10"><title>{}</title></rect>',
            ((part.phase, f"{part.x:.1f}", f"{part.width:.1f}", said) for part, said in parts),
        ),
    )


@register.simple_tag
def try_address(model: ServedModel) -> str:
    """`{% try_address model %}`: where a model is tried."""
    try:
        return f"{reverse('ui-playground')}?{urlencode({'model': model.model_id})}"
    except NoReverseMatch:
        return f"{reverse('ui-models')}#model-{model.pk}"


@register.filter
def size(count: int | float | None) -> str:
    """Bytes as a person reads them: `1.5 GiB`; a dash for None."""
    return NOTHING if count is None else binary_size(int(count))


@register.filter
def short(count: int | None) -> str:
    """A count in short: `268M`; a dash for None."""
    return NOTHING if count is None else short_count(count)


@register.filter
def grouped(count: int | None) -> str:
    """A whole number with its thousands apart; a dash for None."""
    return NOTHING if count is None else number_format(count, force_grouping=True)


@register.filter
def share(part: int | float, whole: int | float) -> float:
    """A part in thousandths of a whole, between 0 and 1000, for drawings of that width."""
    return 0.0 if not whole else round(min(1000.0, max(0.0, 1000 * part / whole)), 1)


@register.filter
def unlocalized(number: float) -> str:
    """A number as drawings need it, with a point whatever the language."""
    return f"{number:g}"


@register.filter
def unlocalized_int(number: int) -> str:
    """A whole number without thousands apart, for `max` and `value`."""
    return str(int(number))


@register.filter
def difference_lines(text: str) -> list[dict[str, str]]:
    """The lines of a difference as `diff -u` shows it, each with what it says by its first sign."""
    lines = [line for line in text.splitlines() if not line.startswith(("--- ", "+++ "))]
    shown = [
        {"kind": _KINDS_OF_LINES.get(line[:1], ""), "text": line} for line in lines[:MOST_LINES]
    ]
    if len(lines) > MOST_LINES:
        shown.append({"kind": "place", "text": f"… {len(lines) - MOST_LINES}"})
    return shown
