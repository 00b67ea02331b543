"""The page of what is there twice."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from models_app import duplicates
from models_app.admin import display
from models_app.duplicates import DuplicateSet, Why

HEADINGS: Final = {
    Why.FILE: "Several models of one file",
    Why.CONTENT: "Copies of a file",
    Why.NAME: "One model in several forms",
}
EXPLANATIONS: Final = {
    Why.FILE: "They differ only in their settings. Keep both when you want them started in two "
    "ways; otherwise delete one.",
    Why.CONTENT: "These files have the same size and the same contents wherever they were looked "
    "into. Delete a copy from the disk, then scan; or disable its model.",
    Why.NAME: "Mostly the same model in other quantizations. Nothing is wrong with that; disable "
    "what you do not use.",
}


def page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Every set of duplicates, with acts for the models in it."""
    found = duplicates.find()
    sections = [
        {
            "heading": HEADINGS[why],
            "explanation": EXPLANATIONS[why],
            "sets": [_shown(one) for one in found if one.why is why],
        }
        for why in Why
    ]
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Duplicates",
        "opts": model_admin.opts,
        "sections": [section for section in sections if section["sets"]],
        "may_act": model_admin.has_act_permission(request),
        "may_delete": model_admin.has_delete_permission(request),
    }
    return TemplateResponse(request, "admin/models_app/duplicates.html", context)


def _shown(one: DuplicateSet) -> dict[str, Any]:
    return {
        "what": one.what,
        "wasted": display.size(one.wasted) if one.wasted else "",
        "models": [
            {
                "pk": model.pk,
                "link": display.link(model),
                "file": display.link(model.file, model.file.path) if model.file else "",
                "quantization": model.file.quantization if model.file else "",
                "size": display.size(model.file.size if model.file else None),
                "enabled": model.enabled,
                "last_use": display.ago(model.last_used_at) if model.last_used_at else "",
            }
            for model in one.models
        ],
    }
