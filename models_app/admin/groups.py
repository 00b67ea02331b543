from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from models_app.admin import display
from models_app.admin.base import RegistryAdmin
from models_app.document import DEFAULT_GROUP
from models_app.models import ModelGroup, ServedModel
from models_app.typed_forms import ModelForm

SHOWN_MEMBERS = 5


class GroupForm(ModelForm[ModelGroup]):
    members = forms.ModelMultipleChoiceField(
        ServedModel.objects.all(),
        required=False,
        widget=FilteredSelectMultiple("models", is_stacked=False),
        help_text="A model is in one group at most; choosing it here takes it out of another.",
    )

    class Meta:
        model = ModelGroup
        fields = ("name", "swap", "exclusive", "persistent", "start_port")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["members"] = list(self.instance.members.values_list("pk", flat=True))

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].strip()
        if name == DEFAULT_GROUP:
            raise forms.ValidationError(
                f"{DEFAULT_GROUP} holds the models in no other group. Choose another name."
            )
        return name


class GroupAdmin(RegistryAdmin[ModelGroup]):
    form = GroupForm
    list_display = ("name", "member_names", "swap", "exclusive", "persistent", "start_port")
    search_fields = ("name", "members__model_id")
    search_help_text = "A group's name or the id of a member"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelGroup]:
        ids = ServedModel.objects.only("model_id", "group")
        return super().get_queryset(request).prefetch_related(Prefetch("members", ids))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if "members" in form.changed_data:
            chosen = form.cleaned_data["members"]
            form.instance.members.exclude(pk__in=chosen).update(group=None)
            ServedModel.objects.filter(pk__in=chosen).update(group=form.instance)

    @admin.display(description="members")
    def member_names(self, group: ModelGroup) -> SafeString | str:
        members = list(group.members.all())
        names = ", ".join(member.model_id for member in members[:SHOWN_MEMBERS])
        more = len(members) - SHOWN_MEMBERS
        if more > 0:
            return display.list_link(
                ServedModel, f"{names} and {more} more", group__id__exact=group.pk
            )
        return names or display.NOTHING


admin.site.register(ModelGroup, GroupAdmin)
