from __future__ import annotations

import pytest
from django.test import Client

from models_app.models import ServedModel
from tests.integration.admin.pages import page_of, text_of

pytestmark = pytest.mark.django_db


def test_a_model_shows_what_people_choose_it_by(admin_client: Client, fox: ServedModel) -> None:
    file = fox.file
    assert file is not None
    file.facts |= {
        "tools": True,
        "reasoning": True,
        "licence": "apache-2.0",
        "base_models": ["Fox 1B"],
        "rope_scaling": "yarn",
        "rope_scaling_factor": 4.0,
        "rope_original_context": 32768,
    }
    file.save()

    page = text_of(admin_client.get(page_of(fox)))

    for text in ("tools, reasoning", "apache-2.0", "Fox 1B", "yarn, 4 times, from 32,768 tokens"):
        assert text in page
