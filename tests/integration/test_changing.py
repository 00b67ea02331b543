"""Changes in the process that serves: what it has read already is not read again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models_app import catalog, changes, changing, live
from models_app.document import ConfigDocument
from models_app.models import Revision, ServedModel, ServerSettings

pytestmark = pytest.mark.django_db


class Serving:
    """Serves what the database said when it caught up last."""

    def __init__(self) -> None:
        self.caught_up = 0
        self._served: tuple[int, ConfigDocument] | None = None

    def loaded_models(self) -> frozenset[str]:
        return frozenset({"a"})

    def catch_up(self) -> None:
        self.caught_up += 1
        self._served = (changes.current_version(), catalog.build())

    def served(self) -> tuple[int, ConfigDocument] | None:
        return self._served


@pytest.fixture
def serving() -> Iterator[Serving]:
    ServerSettings.current()
    ServedModel.objects.create(model_id="a", cmd="sleep ${wait} ${PORT}")
    one = Serving()
    live.register(one)
    yield one
    live.register(None)


def test_it_begins_with_the_configuration_that_is_served(serving: Serving) -> None:
    serving.catch_up()
    served = serving.served()
    assert served is not None
    assert changing.begin().document is served[1]
    assert not Revision.objects.exists()  # whoever serves it has kept it


def test_it_builds_one_when_what_is_served_is_older(serving: Serving) -> None:
    serving.catch_up()
    ServedModel.objects.create(model_id="b", cmd="sleep 1 ${PORT}")
    before = changing.begin()
    assert before.document.models.keys() == {"a", "b"}
    assert before.backup is not None


def test_it_returns_once_the_change_is_served(serving: Serving) -> None:
    serving.catch_up()
    changed = changing.change(lambda: ServerSettings.objects.update(macros={"wait": "9"}), "")
    assert changed.effect.restarts == ("a",)
    served = serving.served()
    assert served is not None
    assert served[1].macros == {"wait": "9"}


def test_what_changed_nothing_is_not_waited_for(serving: Serving) -> None:
    serving.catch_up()
    changed = changing.change(lambda: None, "")
    assert (changed.effect.changed, changed.effect.stays, serving.caught_up) == ((), ("a",), 1)
