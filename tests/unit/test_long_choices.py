"""Long lists of choices say the same as Django's own widgets."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from django import forms

from models_app.long_choices import LongCheckboxes, LongSelect

CHOICES = [("", "All"), ("fox<b>", "A & B"), (3, "three")]
ATTRIBUTES = {"id": "id_model", "aria-describedby": "id_model_help"}


class Said(HTMLParser):
    """Tags with their attributes in any order, and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.all: list[Any] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.all.append(data.strip())


@pytest.mark.parametrize("chosen", ["", "fox<b>", "3", None])
def test_it_renders_a_select_as_django_does(chosen: str | None) -> None:
    ours = LongSelect(choices=CHOICES).render("model", chosen, ATTRIBUTES)
    djangos = forms.Select(choices=CHOICES).render("model", chosen, ATTRIBUTES)
    assert Said(ours).all == Said(djangos).all


@pytest.mark.parametrize("chosen", [[], ["fox<b>", "3"], None])
def test_it_renders_check_boxes_as_django_does(chosen: list[str] | None) -> None:
    ours = LongCheckboxes(choices=CHOICES).render("models", chosen, ATTRIBUTES)
    djangos = forms.CheckboxSelectMultiple(choices=CHOICES).render("models", chosen, ATTRIBUTES)
    assert Said(ours).all == Said(djangos).all
