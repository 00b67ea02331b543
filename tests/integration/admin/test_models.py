from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from models_app.models import (
    GgufFile,
    ModelAlias,
    ModelFolder,
    ModelGroup,
    ServedModel,
    ServerSettings,
)
from models_app.scan import scan
from tests.integration.admin.pages import act, errors_of, form_of, list_of, page_of, text_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("word", ["fox-1b", "Fox-1B-Q4_K_M", "fox-1b-q4-k-m", "models/fox-1b"])
def test_a_model_is_found_by_id_name_alias_and_file(
    admin_client: Client, fox: ServedModel, word: str
) -> None:
    response = admin_client.get(list_of(ServedModel), {"q": word})

    assert [model.pk for model in response.context["cl"].result_list] == [fox.pk]


def test_the_size_of_a_split_model_is_that_of_all_its_parts(
    admin_client: Client, registry: ModelFolder
) -> None:
    parts = GgufFile.objects.filter(relative_path__startswith="big-")
    total = sum(part.size for part in parts)
    assert len(parts) == 2

    page = text_of(admin_client.get(page_of(ServedModel.objects.get(model_id="big"))))

    assert f"{total / 1024:.1f} KiB" in page


def test_models_are_enabled_disabled_and_set_back_to_automatic(
    admin_client: Client, fox: ServedModel
) -> None:
    ServedModel.objects.filter(pk=fox.pk).update(context=512, use_projector=False, ttl=7)

    act(admin_client, "disable", fox)
    assert not ServedModel.objects.get(pk=fox.pk).enabled
    act(admin_client, "enable", fox)
    assert "By hand: context, use projector" in text_of(admin_client.get(list_of(ServedModel)))
    act(admin_client, "back_to_automatic", fox, fields_to_empty=["context", "use_projector"])

    fox.refresh_from_db()
    assert (fox.enabled, fox.context, fox.use_projector, fox.ttl) == (True, None, True, 7)


def test_the_page_of_a_model_says_how_it_is_started_and_why(
    admin_client: Client, fox: ServedModel
) -> None:
    page = text_of(admin_client.get(page_of(fox)))

    assert "--model " in page and "${PORT}" in page
    assert "context: " in page


def test_saving_an_unchanged_form_changes_nothing(
    admin_client: Client, registry: ModelFolder
) -> None:
    tables = (ServedModel, ModelAlias, ModelGroup, ServerSettings)
    before = [list(table.objects.order_by("pk").values()) for table in tables]

    for row in [*ServedModel.objects.all(), ModelGroup.objects.get(), ServerSettings.current()]:
        assert errors_of(admin_client, page_of(row)) == {}

    assert [list(table.objects.order_by("pk").values()) for table in tables] == before


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("model_id", "big", "already exists"),
        ("model_id", "a//b", "A slash may only stand between two parts"),
        ("context", "100000", "trained on 4,096 tokens"),
        ("context", "-1", "greater than or equal to"),
        ("env", '"KEY=value"', "Enter a list such as"),
        ("env", "[", "valid JSON"),
        ("metadata", "[1]", "Enter names with values"),
        ("extra_arguments", "--temp 'x", "quotation mark is left open"),
        ("extra_arguments", "--port=1", "--port=1 is given by the server"),
        ("chat_template", "/no/such.jinja", "There is no file /no/such.jinja"),
        pytest.param(
            *("chat_template", "chattml", "no template chattml"), marks=pytest.mark.engine
        ),
        ("gpus", "CUDA77", "There is no GPU CUDA77"),
        ("load_mode", "fast", "not one of the available choices"),
        ("proxy", "127.0.0.1:80", "Enter an address such as"),
        ("check_endpoint", "health", "Enter a path such as"),
        ("cmd", "serve ${NOTHING}", "unknown macro"),
        ("cmd", "serve --port 1", "proxy uses ${PORT}"),
        ("cmd", "serve ${PORT} 'x", "quot"),
    ],
)
def test_a_model_that_cannot_be_says_what_to_do(
    admin_client: Client, fox: ServedModel, field: str, value: str, complaint: str
) -> None:
    errors = errors_of(admin_client, page_of(fox), **{field: value})

    assert list(errors) == [field]
    assert complaint in errors[field][0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_id", "owner/fox"),
        ("context", "2048"),
        ("env", '["A=b=c", "D="]'),
        ("metadata", '{"team": {"lab": 1}}'),
        ("extra_arguments", "--temp 0.5 --no-mmap"),
        ("chat_template", "chatml"),
        ("chat_template", __file__),
        ("load_mode", "mmap+mlock"),
        ("cmd", "serve --port ${PORT} # fast"),
        ("check_endpoint", "none"),
    ],
)
def test_a_model_takes_what_is_right(
    admin_client: Client, fox: ServedModel, field: str, value: str
) -> None:
    assert errors_of(admin_client, page_of(fox), **{field: value}) == {}


def test_ids_and_aliases_are_one_name_space(admin_client: Client, fox: ServedModel) -> None:
    other = ServedModel.objects.get(model_id="big")
    errors = errors_of(admin_client, page_of(other), model_id="fox-1b-q4-k-m")
    assert "This is an alias of fox-1b" in errors["model_id"][0]

    address = page_of(other)
    data = form_of(admin_client, address) | {"aliases-TOTAL_FORMS": 1, "aliases-0-alias": "fox-1b"}
    page = text_of(admin_client.post(address, data))
    assert "A model has the id “fox-1b”" in page

    page = text_of(admin_client.post(address, {**data, "aliases-0-alias": "big"}))
    assert "A model has the id" in page
    fresh = {**data, "model_id": "large", "aliases-0-alias": "large"}
    assert "own id" in text_of(admin_client.post(address, fresh))

    data["aliases-0-alias"] = "huge"
    assert admin_client.post(address, data).status_code == 302
    assert ModelAlias.objects.get(alias="huge").model == other


def test_a_model_needs_a_file_or_a_command(admin_client: Client, db: None) -> None:
    address = reverse("admin:models_app_servedmodel_add")

    assert "Choose a file" in errors_of(admin_client, address, model_id="new")["file"][0]
    assert errors_of(admin_client, address, model_id="new", cmd="serve ${PORT}") == {}


def test_a_model_whose_file_is_gone_says_so(
    admin_client: Client, registry: ModelFolder, models: Path
) -> None:
    (models / "fox-1b-q4_k_m.gguf").unlink()
    scan([registry])

    assert "The file is no longer there." in text_of(admin_client.get(list_of(ServedModel)))
