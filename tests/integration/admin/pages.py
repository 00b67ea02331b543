"""Reads the admin's pages and sends its forms, as a browser does."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse


def list_of(table: type[Any]) -> str:
    return reverse(f"admin:{table._meta.app_label}_{table._meta.model_name}_changelist")


def page_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def text_of(response: Any) -> str:
    assert response.status_code == 200, response
    return str(response.content.decode())


def act(client: Client, action: str, *rows: Any, **answers: Any) -> str:
    """Do an action on rows as the list's form does, and give back the page that follows.

    `answers` are what a page that asks first is told.
    """
    data = {"action": action, "_selected_action": [row.pk for row in rows], **answers}
    if answers:
        data["confirmed"] = "yes"
    return text_of(client.post(list_of(type(rows[0])), data, follow=True))


def form_of(client: Client, address: str) -> dict[str, Any]:
    """What the form at `address` would send when nothing is changed."""
    context = client.get(address).context
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    data: dict[str, Any] = {}
    for form in forms:
        for field in form:
            value = field.value()
            if value is True:
                data[field.html_name] = "on"
            elif value is not None and value is not False:
                data[field.html_name] = value
    return data


def errors_of(client: Client, address: str, **changes: Any) -> dict[str, list[str]]:
    """The complaints about a form after `changes`; none when it was saved."""
    response = client.post(address, {**form_of(client, address), **changes})
    if response.status_code == 302:
        return {}
    form = response.context["adminform"].form
    return {name: [str(e) for e in errors] for name, errors in form.errors.items()}
