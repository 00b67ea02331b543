"""A change of the configuration from first to last: said, done or only tried, and served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import transaction

from models_app import catalog, causes, live, revisions
from models_app.changes import current_version
from models_app.document import ConfigDocument
from models_app.effects import Effect, effect
from models_app.models import Revision

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Before:
    """The configuration before a change, and what was loaded then."""

    version: int
    document: ConfigDocument
    loaded: frozenset[str]
    backup: Revision | None
    """The revision to go back to; None for what is only tried."""

    def effect(self, after: ConfigDocument) -> Effect:
        """What the change means for models."""
        return effect(self.document, after, self.loaded)


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """What a change gave, what it means for models, and where to go back to."""

    result: T
    effect: Effect
    backup: Revision | None
    dry_run: bool

    def told(self) -> dict[str, Any]:
        """The keys that the answer to every change has."""
        return {**self.effect.to_json(), "dryRun": self.dry_run}


def begin(*, dry_run: bool = False) -> Before:
    """Note the configuration as it is, and keep it as a revision unless it is only a trial."""
    version = current_version()
    document = live.document_at(version)
    if document is None:
        document = catalog.build()
        if not dry_run:
            revisions.note(document, version)
    backup = None if dry_run else revisions.newest()
    return Before(version, document, live.loaded_models(), backup)


def end(before: Before) -> Effect:
    """Return once what was committed since `before` is served, and what that means."""
    if current_version() == before.version:
        return before.effect(before.document)
    live.catch_up()
    return before.effect(live.document_at(current_version()) or catalog.build())


def untouched(*, dry_run: bool) -> dict[str, Any]:
    """What is told after something that is no business of any model."""
    before = begin(dry_run=True)
    return {**before.effect(before.document).to_json(), "dryRun": dry_run}


def change(act: Callable[[], T], cause: str, *, dry_run: bool = False) -> Changed[T]:
    """Do `act` in a transaction, and return once its outcome is served.

    `cause` is what its revision tells. With `dry_run` everything is taken back, and what it
    would mean is told. What `act` raises takes everything back too.
    """
    before = begin(dry_run=dry_run)
    if not dry_run:
        with causes.told(cause), transaction.atomic():
            result = act()
        return Changed(result, end(before), before.backup, dry_run)
    with transaction.atomic():
        result = act()
        after = catalog.build()
        transaction.set_rollback(True)
    return Changed(result, before.effect(after), None, dry_run)
