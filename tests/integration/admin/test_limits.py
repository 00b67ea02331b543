"""A person's limits in the admin: models are ticked, as on the pages."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from models_app.models import ModelFolder, PersonLimits
from tests.integration.admin.pages import text_of

pytestmark = pytest.mark.django_db


def test_the_models_somebody_may_use_are_boxes_to_tick(
    admin_client: Client, registry: ModelFolder
) -> None:
    user = User.objects.create_user("ulla")
    PersonLimits.objects.create(person=user, allowed_models=["fox"])
    text = text_of(admin_client.get(reverse("admin:auth_user_change", args=[user.pk])))
    assert '<input type="checkbox" name="limits-0-allowed_models" value="fox" checked' in text
    assert "<select multiple" not in text
