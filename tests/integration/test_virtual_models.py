from __future__ import annotations

import pytest
from django.test import Client

from models_app import catalog, changes, differences, importing, merging
from models_app.config_yaml import ConfigError, parse, render
from models_app.document import ConfigDocument, ModelEntry
from models_app.models import ServedModel, VirtualModel
from proxy_app import listing
from proxy_app.lineup import line_up

pytestmark = pytest.mark.django_db

DOCUMENT = ConfigDocument(
    models={name: ModelEntry(name, cmd="engine", aliases=(f"{name}-q4",)) for name in ("a", "b")}
)


def test_members_keep_their_order_and_those_not_served_are_left_out() -> None:
    given = {"best": ["b-q4", "gone", "a", "b"], "none": ["gone"], "a": ["b"]}
    lineup = line_up(DOCUMENT, virtual=given)
    assert lineup.virtual == {"best": ("b", "a")}


def test_a_virtual_model_is_listed_and_found() -> None:
    lineup = line_up(DOCUMENT, virtual={"best": ["b", "a"]})
    assert [item["id"] for item in listing.models(lineup, 0)["data"]] == ["a", "b", "best"]
    assert "b, a" in listing.find(lineup, "best", 0)["description"]


def test_a_new_one_counts_as_a_change_of_the_configuration() -> None:
    before = changes.current_version()
    VirtualModel.objects.create(name="best", members=["a"])
    assert changes.current_version() > before
    assert VirtualModel.all_members() == {"best": ["a"]}


def test_the_admin_takes_only_names_that_are_free_and_members_that_exist(
    admin_client: Client,
) -> None:
    ServedModel.objects.create(model_id="a", cmd="x")
    url = "/admin/models_app/virtualmodel/add/"
    page = admin_client.post(url, {"name": "a", "members": '["b"]'}).content.decode()
    assert "answers to this id already" in page
    assert "There is no model" in page
    assert (
        "Enter a list"
        in admin_client.post(url, {"name": "v", "members": '{"a": 1}'}).content.decode()
    )
    admin_client.post(url, {"name": "v", "members": '["a"]'})
    assert VirtualModel.all_members() == {"v": ["a"]}


def test_config_yaml_makes_changes_and_removes_them() -> None:
    text = (
        'models: {a: {cmd: "x ${PORT}"}, b: {cmd: "x ${PORT}"}}\nvirtual: {v: {members: [b, a]}}\n'
    )
    importing.apply(parse(text))
    assert VirtualModel.all_members() == {"v": ["b", "a"]}
    assert parse(render(catalog.build())).document.virtual == {"v": ("b", "a")}
    importing.apply(parse(text.replace("[b, a]", "[a]")))
    assert VirtualModel.all_members() == {"v": ["a"]}
    importing.apply(parse('models: {a: {cmd: "x ${PORT}"}}'))
    assert VirtualModel.all_members() == {"v": ["a"]}
    importing.apply(parse('models: {a: {cmd: "x ${PORT}"}}'), replace=True)
    assert VirtualModel.all_members() == {}


def test_one_without_members_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match="names no `members`") as caught:
        parse('models: {a: {cmd: "x ${PORT}"}}\nvirtual:\n  v: {}\n')
    assert caught.value.line == 3


def test_hand_edits_and_changes_elsewhere_come_together() -> None:
    base = ConfigDocument(virtual={"v": ("a",)})
    edit = ConfigDocument(virtual={"v": ("a",), "new": ("b",)})
    now = ConfigDocument(virtual={"v": ("b", "a")})
    merged = merging.merge(base, edit, now)
    assert merged.document.virtual == {"v": ("b", "a"), "new": ("b",)}
    assert differences.words(base, now) == ["setting virtual model v ('a',) -> ('b', 'a')"]
