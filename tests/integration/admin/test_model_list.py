"""The list of models: what it shows, how it is narrowed, and what can be done to many at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app.admin import live
from models_app.admin.live import LiveModel
from models_app.models import (
    GgufFile,
    ModelFolder,
    ModelGroup,
    ScanRun,
    ServedModel,
    ServerSettings,
)
from tests.integration.admin.pages import act, list_of, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def running() -> Iterator[dict[str, LiveModel]]:
    """What the serving part tells of models, in place of one that serves."""
    models: dict[str, LiveModel] = {}
    before = live.SERVING._source
    live.SERVING.register(lambda: models, live.SERVING.actions)
    yield models
    live.SERVING.register(before, live.SERVING.actions)


def shown(client: Client, **filters: Any) -> list[str]:
    response = client.get(list_of(ServedModel), filters)
    return [model.model_id for model in response.context["cl"].result_list]


def test_a_row_shows_what_the_model_does_and_how_it_is_planned(
    admin_client: Client, fox: ServedModel, running: dict[str, LiveModel]
) -> None:
    running["fox-1b"] = LiveModel("ready", "Ready", "good", last_used=timezone.now())
    ServedModel.objects.filter(model_id="big").update(
        last_used_at=timezone.now() - timedelta(hours=3)
    )

    page = text_of(admin_client.get(list_of(ServedModel), {"q": "fox-1b"}))
    assert 'data-tone="good" data-live="fox-1b" title="">Ready</span>' in page
    assert ">vision<" in page and ">4,096<" in page and "just now" in page
    assert "MiB RAM" in page

    page = text_of(admin_client.get(list_of(ServedModel), {"q": "big"}))
    assert ">Stopped</span>" in page and "3\xa0hours ago" in page


def test_without_engines_models_have_no_state(admin_client: Client, fox: ServedModel) -> None:
    assert "No engine" in text_of(admin_client.get(list_of(ServedModel)))


def test_a_model_that_cannot_be_served_says_so_in_its_state(
    admin_client: Client, fox: ServedModel, running: dict[str, LiveModel]
) -> None:
    ServedModel.objects.filter(pk=fox.pk).update(enabled=False)

    assert "Not served" in text_of(admin_client.get(list_of(ServedModel), {"q": "fox"}))


def test_a_plan_that_does_not_fit_is_marked(admin_client: Client, fox: ServedModel) -> None:
    settings = ServerSettings.current()
    settings.ram_gb = 0.0001
    settings.save()

    assert "does not fit" in text_of(admin_client.get(list_of(ServedModel)))


def test_models_are_narrowed_by_state_kind_and_tuning(
    admin_client: Client, fox: ServedModel, running: dict[str, LiveModel]
) -> None:
    running["fox-1b"] = LiveModel("ready", "Ready", "good")
    running["big"] = LiveModel("stopped", "Stopped")
    ServedModel.objects.filter(model_id="big").update(context=512)

    assert shown(admin_client, state="ready") == ["fox-1b"]
    assert shown(admin_client, kind="vision") == ["fox-1b"]
    assert shown(admin_client, architecture="llama") == ["big", "fox-1b"]
    assert shown(admin_client, quantization="F32") == ["big", "fox-1b"]
    assert shown(admin_client, tuning="by-hand") == ["big"]
    assert shown(admin_client, tuning="automatic") == ["fox-1b"]


def test_models_move_to_a_group_and_out_of_it(admin_client: Client, fox: ServedModel) -> None:
    group = ModelGroup.objects.get()

    assert "Move to group" in act(admin_client, "move_to_group", fox)
    assert ServedModel.objects.get(pk=fox.pk).group is None
    page = act(admin_client, "move_to_group", fox, group=group.pk)
    assert "Moved 1 model to small." in page
    assert ServedModel.objects.get(pk=fox.pk).group == group
    act(admin_client, "move_to_group", fox, group="")
    assert ServedModel.objects.get(pk=fox.pk).group is None


def test_single_settings_go_back_to_automatic(admin_client: Client, fox: ServedModel) -> None:
    ServedModel.objects.filter(pk=fox.pk).update(context=512, slots=2, rung={"context": 256})

    assert "slots" in act(admin_client, "back_to_automatic", fox)
    assert ServedModel.objects.get(pk=fox.pk).slots == 2
    act(admin_client, "back_to_automatic", fox, fields_to_empty=["slots"])

    fox.refresh_from_db()
    assert (fox.context, fox.slots, fox.rung) == (512, None, {})


def test_planning_again_forgets_what_was_given_up(admin_client: Client, fox: ServedModel) -> None:
    ServedModel.objects.filter(pk=fox.pk).update(context=512, rung={"context": 256})

    assert "Planned 1 model again" in act(admin_client, "regenerate", fox)

    fox.refresh_from_db()
    assert (fox.context, fox.rung) == (512, {})


def test_the_folders_of_chosen_models_are_scanned(admin_client: Client, fox: ServedModel) -> None:
    page = act(admin_client, "rescan", fox)

    assert "Asked for" in page
    assert list(ScanRun.objects.latest("pk").folders.all()) == [fox.file and fox.file.folder]


def test_who_may_only_look_is_offered_no_act(client: Client, fox: ServedModel) -> None:
    user = User.objects.create(username="guest")
    user.user_permissions.add(Permission.objects.get(codename="view_servedmodel"))
    client.force_login(user)

    assert 'name="action"' not in text_of(client.get(list_of(ServedModel)))
    client.post(list_of(ServedModel), {"action": "disable", "_selected_action": [fox.pk]})
    assert ServedModel.objects.get(pk=fox.pk).enabled


def test_two_thousand_models_take_one_query_more_than_twenty(
    admin_client: Client, registry: ModelFolder, running: dict[str, LiveModel]
) -> None:
    pattern = GgufFile.objects.get(relative_path="fox-1b-q4_k_m.gguf")

    def fill(first: int, last: int) -> None:
        files = [
            GgufFile(
                folder=registry,
                path=f"{registry.path}/m{number}.gguf",
                relative_path=f"m{number}.gguf",
                size=pattern.size,
                mtime_ns=1,
                kind=pattern.kind,
                architecture=pattern.architecture,
                quantization=pattern.quantization,
                facts=pattern.facts,
                projector=pattern.projector,
                last_seen_at=timezone.now(),
            )
            for number in range(first, last)
        ]
        GgufFile.objects.bulk_create(files)
        ServedModel.objects.bulk_create(
            ServedModel(model_id=f"m{number:04d}", file=file)
            for number, file in zip(range(first, last), files, strict=True)
        )

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            text_of(admin_client.get(list_of(ServedModel)))
        return len(captured)

    fill(0, 20)
    few = queries()
    fill(20, 2000)

    assert queries() == few + 1  # The one that counts what is on other pages.
