"""config.yaml in the admin: taking a file in, after a look at what it would change, and out."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from models_app import catalog, causes, hand_edits, importing
from models_app.admin import display
from models_app.config_yaml import ConfigError, parse, render
from models_app.config_yaml.reading import decoded

PAGE: Final = "admin:models_app_revision_config"

MOST_BYTES: Final = 2_000_000
"""What a form may send, with room for its other fields. Larger files go in by manage.py."""


class ConfigForm(forms.Form):
    """A file, or the text of one that was looked at already."""

    _read: str | None = None

    file = forms.FileField(label="File", required=False, widget=forms.FileInput)
    text = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)
    replace = forms.BooleanField(
        label="It is all there is",
        required=False,
        help_text="Models and groups that the file does not name go; models with a file on disk "
        "are only disabled. Otherwise what the file does not name stays as it is.",
    )

    def content(self) -> str:
        """The file's text, read once. Raises ConfigError."""
        if self._read is None:
            self._read = self._content()
        return self._read

    def _content(self) -> str:
        upload: UploadedFile[Any] | None = self.cleaned_data["file"]
        if upload is None:
            text: str = self.cleaned_data["text"]
            if not text:
                raise ConfigError("Choose a file.")
            return text.replace("\r\n", "\n")
        if (upload.size or 0) > MOST_BYTES:
            raise ConfigError(
                f"The file is larger than {MOST_BYTES // 1_000_000} MB. "
                "Take it in with: manage.py config import FILE"
            )
        return decoded(upload.read())


def page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The form; then what the file would change; then its outcome."""
    if request.method != "POST":
        return _answer(model_admin, request, ConfigForm())
    if not model_admin.has_act_permission(request):
        raise PermissionDenied
    form = ConfigForm(request.POST, request.FILES)
    if not form.is_valid():
        return _answer(model_admin, request, form, status=422)
    replace = form.cleaned_data["replace"]
    try:
        if "apply" in request.POST:
            with causes.told("config.yaml imported in the admin", str(request.user)):
                report = importing.apply(parse(form.content()), replace=replace)
            model_admin.message_user(request, f"Imported.\n{report}", messages.SUCCESS)
            return redirect("admin:models_app_revision_changelist")
        preview = importing.preview(form.content(), replace=replace)
    except ConfigError as error:
        form.add_error("file", f"The file cannot be used: {error}")
        return _answer(model_admin, request, form, status=422)
    confirm = ConfigForm(initial={"text": form.content(), "replace": replace})
    return _answer(model_admin, request, confirm, preview)


def download(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The configuration as it is now, with its secrets: it is what the server works from."""
    if not model_admin.has_act_permission(request):
        raise PermissionDenied
    return HttpResponse(
        render(catalog.build()),
        content_type="application/yaml; charset=utf-8",
        headers={
            "Content-Disposition": 'attachment; filename="config.yaml"',
            "Cache-Control": "no-store",
        },
    )


def _answer(
    model_admin: Any,
    request: HttpRequest,
    form: ConfigForm,
    preview: importing.Preview | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "What the file would change" if preview else "Import and export",
        "opts": model_admin.opts,
        "form": form,
        "preview": preview,
        "difference": display.difference(preview.difference) if preview else "",
        "problems": hand_edits.problems(),
        "waiting": [display.link(edit) for edit in hand_edits.waiting()],
        "may_act": model_admin.has_act_permission(request),
    }
    return TemplateResponse(request, "admin/models_app/config.html", context, status=status)
