"""A configuration file into the database: one transaction, and a report of what it did."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from models_app import catalog, differences, import_models
from models_app.config_yaml import FIELDS, ParsedConfig, parse, render
from models_app.document import ConfigDocument, GroupEntry
from models_app.models import ModelGroup, ServerSettings, VirtualModel
from models_app.plans import PlanContext

_COLUMN_OF_SETTING: Final = {
    name: "default_ttl" if name == "global_ttl" else name
    for name in FIELDS - {"models", "groups", "virtual"}
}


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did: ids of models, names of groups and settings, the file's warnings."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        """For example: 2 models created, 1 changed, 5 unchanged; 1 warning."""
        counts = {
            "created": len(self.created),
            "changed": len(self.changed),
            "removed": len(self.removed),
            "unchanged": len(self.unchanged),
        }
        models = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        lines = [f"models: {models or 'none'}"]
        return "\n  ".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def apply(parsed: ParsedConfig, *, replace: bool = False) -> ImportReport:
    """Bring the database to what a file says.

    A model of the file is taken over whole; settings and groups only where the file has them,
    and whatever the file does not name stays. With `replace` the file is all there is: other
    groups go, and so do other models, except that one with a file on disk is only disabled.

    A model whose command is the one that would be made for it anyway stays automatic. Raises
    ConfigError, and changes nothing, when an alias belongs to a model outside the file.
    """
    if replace:
        return _apply(parsed, FIELDS, whole=True, retired=None)
    return _apply(parsed, parsed.given, whole=False, retired=())


def apply_edit(edited: ParsedConfig, before: ConfigDocument) -> ImportReport:
    """Bring the database from the document it gave to an edited one.

    Only what differs between the two is touched: what the document leaves out, such as disabled
    models, stays. Raises ConfigError, and changes nothing, as `apply` does.
    """
    document = edited.document
    given = {name for name in FIELDS if getattr(before, name) != getattr(document, name)}
    retired = before.models.keys() - document.models.keys()
    return _apply(edited, given, whole=True, retired=retired)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import would do: its report, what would differ in words, and line by line."""

    report: ImportReport
    summary: tuple[str, ...]
    difference: str
    before: ConfigDocument
    after: ConfigDocument


def preview(text: str, *, replace: bool = False) -> Preview:
    """What importing a text would do, without doing it. Raises ConfigError as `apply` does."""
    parsed = parse(text)
    before = catalog.build()
    with transaction.atomic():
        report = apply(parsed, replace=replace)
        after = catalog.build()
        transaction.set_rollback(True)
    return Preview(
        report=report,
        summary=tuple(differences.words(before, after)),
        difference=differences.lines(render(before), render(after), "config.yaml"),
        before=before,
        after=after,
    )


def _apply(
    parsed: ParsedConfig, given: Collection[str], *, whole: bool, retired: Collection[str] | None
) -> ImportReport:
    """With `whole`, what is given is all there is; `retired` are the models to go, None all."""
    document = parsed.document
    context = PlanContext.load()
    with transaction.atomic():
        # The lock of scans, too: they give out ids and aliases as well.
        settings = ServerSettings.objects.select_for_update().get(pk=ServerSettings.current().pk)
        saved = _save_settings(settings, document, given, whole)
        groups, changed_groups = _save_groups(document, whole)
        models = import_models.ModelImport(document, context, takes_all=whole, retired=retired)
        if "groups" in given:
            models.place(groups)
        models.save()
        if "virtual" in given:
            _save_virtual(document.virtual, whole)
    return ImportReport(
        created=tuple(sorted(models.created)),
        changed=tuple(sorted(models.changed)),
        unchanged=tuple(sorted(document.models.keys() - models.created - models.changed)),
        removed=tuple(sorted(models.removed)),
        groups=tuple(sorted(changed_groups)),
        settings=tuple(saved),
        warnings=parsed.warnings,
    )


def _save_settings(
    settings: ServerSettings, document: ConfigDocument, given: Collection[str], replace: bool
) -> list[str]:
    changed = []
    for name in sorted(_COLUMN_OF_SETTING.keys() & given):
        column = _COLUMN_OF_SETTING[name]
        old, new = getattr(settings, column), getattr(document, name)
        if isinstance(new, Mapping):
            new = dict(new) if replace else _merged(old, new)
        elif isinstance(new, tuple):
            new = list(new)
        if old != new:
            setattr(settings, column, new)
            changed.append(column)
    settings.save(update_fields=changed)
    return changed


def _merged(old: Any, new: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings in one, and the mappings within them; what is new wins."""
    merged = dict(old) if isinstance(old, Mapping) else {}
    for key, value in new.items():
        merged[key] = _merged(merged.get(key), value) if isinstance(value, Mapping) else value
    return merged


def _save_groups(document: ConfigDocument, replace: bool) -> tuple[dict[str, ModelGroup], set[str]]:
    """All groups by name, and the names of those that were made, changed or removed."""
    known = {group.name: group for group in ModelGroup.objects.all()}
    changed = set()
    for name, entry in document.groups.items():
        group = known.setdefault(name, ModelGroup(name=name))
        if group.pk is None or _switches(group) != _switches(entry):
            group.swap, group.exclusive, group.persistent, group.start_port = _switches(entry)
            group.save()
            changed.add(name)
    if replace:
        for name in known.keys() - document.groups.keys():
            known.pop(name).delete()
            changed.add(name)
    return known, changed


def _save_virtual(virtual: Mapping[str, tuple[str, ...]], replace: bool) -> None:
    for name, members in virtual.items():
        row = VirtualModel.objects.filter(name=name).first() or VirtualModel(name=name)
        if row.members != list(members):
            row.members = list(members)
            row.save()
    if replace:
        VirtualModel.objects.exclude(name__in=virtual).delete()


def _switches(group: ModelGroup | GroupEntry) -> tuple[bool, bool, bool, int | None]:
    return group.swap, group.exclusive, group.persistent, group.start_port
