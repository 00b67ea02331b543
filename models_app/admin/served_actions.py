"""What can be done to many models at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from models_app import choices
from models_app.admin.scans import ask_for_scan
from models_app.models import ModelFolder, ModelGroup, ServedModel

Models = QuerySet[ServedModel]


def plain(queryset: Models) -> Models:
    """The same rows, without the joins, order and search of the list they were chosen from."""
    return ServedModel.objects.filter(pk__in=list(queryset.values_list("pk", flat=True)))


def counted(count: int) -> str:
    """For example "1 model", "3 models"."""
    return f"{count} model" if count == 1 else f"{count} models"


@admin.action(description="Enable", permissions=["act"])
def enable(model_admin: Any, request: HttpRequest, queryset: Models) -> None:
    count = plain(queryset).update(enabled=True)
    model_admin.message_user(request, f"Enabled {counted(count)}.", messages.SUCCESS)


@admin.action(description="Disable", permissions=["act"])
def disable(model_admin: Any, request: HttpRequest, queryset: Models) -> None:
    count = plain(queryset).update(enabled=False)
    model_admin.message_user(request, f"Disabled {counted(count)}.", messages.SUCCESS)


@admin.action(description="Scan their folders again", permissions=["act"])
def rescan(model_admin: Any, request: HttpRequest, queryset: Models) -> None:
    folders = ModelFolder.objects.filter(files__served_as__in=plain(queryset)).distinct()
    found = list(folders)
    if not found:
        text = "None of these models has a file in a folder, so there is nothing to scan."
        model_admin.message_user(request, text, messages.WARNING)
        return
    ask_for_scan(model_admin, request, found)


@admin.action(description="Plan again, with all the memory there is", permissions=["act"])
def regenerate(model_admin: Any, request: HttpRequest, queryset: Models) -> None:
    """Commands are worked out anew with every change; what stands in their way is the rung."""
    count = choices.back_to_automatic(plain(queryset), fields=())
    model_admin.message_user(
        request,
        f"Planned {counted(count)} again. What was given up when memory ran out is tried anew; "
        "settings made by hand stay.",
        messages.SUCCESS,
    )


# ---- Acts that ask first -------------------------------------------------------------------------


class GroupChoice(forms.Form):
    group = forms.ModelChoiceField(
        ModelGroup.objects.all(), required=False, empty_label="no group", label="Group"
    )


class TuningChoice(forms.Form):
    fields_to_empty = forms.MultipleChoiceField(
        label="Settings",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one setting."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = choices.to_empty()
        field = self.fields["fields_to_empty"]
        field.choices = [(name, _label(name)) for name in names]  # type: ignore[attr-defined]
        field.initial = list(names)


@admin.action(description="Move to group…", permissions=["act"])
def move_to_group(model_admin: Any, request: HttpRequest, queryset: Models) -> HttpResponse | None:
    form = GroupChoice(request.POST if "confirmed" in request.POST else None)
    if not form.is_valid():
        text = "A model in no group swaps with the others that are in none."
        return _ask(model_admin, request, queryset, form, "Move to group", text)
    group = form.cleaned_data["group"]
    count = plain(queryset).update(group=group)
    where = (
        f"Moved {counted(count)} to {group}." if group else f"{counted(count)} left their group."
    )
    model_admin.message_user(request, where, messages.SUCCESS)
    return None


@admin.action(description="Back to automatic…", permissions=["act"])
def back_to_automatic(
    model_admin: Any, request: HttpRequest, queryset: Models
) -> HttpResponse | None:
    form = TuningChoice(request.POST if "confirmed" in request.POST else None)
    if not form.is_valid():
        text = "What is ticked is chosen by the server again; the rest stays as it is."
        return _ask(model_admin, request, queryset, form, "Back to automatic", text)
    names = form.cleaned_data["fields_to_empty"]
    count = choices.back_to_automatic(plain(queryset), names)
    what = (
        "Their tuning" if set(names) == set(choices.to_empty()) else ", ".join(map(_label, names))
    )
    model_admin.message_user(
        request,
        f"{counted(count)}: automatic again. {what} is the server's choice.",
        messages.SUCCESS,
    )
    return None


def _label(name: str) -> str:
    return str(ServedModel._meta.get_field(name).verbose_name)  # type: ignore[union-attr]


def _ask(
    model_admin: Any,
    request: HttpRequest,
    queryset: Models,
    form: forms.Form,
    title: str,
    text: str,
) -> HttpResponse:
    """A page that asks for what the act needs, and posts it back to the list."""
    names: Sequence[str] = list(queryset.values_list("model_id", flat=True)[:11])
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "explanation": text,
        "opts": model_admin.opts,
        "form": form,
        "count": queryset.count(),
        "names": names[:10],
        "action": request.POST["action"],
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "select_across": request.POST.get("select_across", "0"),
        "checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/models_app/ask.html", context)


ALL = (enable, disable, move_to_group, back_to_automatic, regenerate, rescan)
