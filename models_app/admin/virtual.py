from __future__ import annotations

from django import forms
from django.contrib import admin
from django.db.models import Q

from models_app.admin.base import RegistryAdmin
from models_app.models import ServedModel, VirtualModel
from models_app.typed_forms import ModelForm


class VirtualModelForm(ModelForm[VirtualModel]):
    class Meta:
        model = VirtualModel
        fields = ("name", "members")

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if _is_served(name):
            raise forms.ValidationError("A model answers to this id already. Choose another.")
        return name

    def clean_members(self) -> list[str]:
        members: list[str] = self.cleaned_data["members"]
        for name in members if isinstance(members, list) else ():
            if not _is_served(name):
                raise forms.ValidationError(f"There is no model “{name}”. Correct or remove it.")
        return members


def _is_served(name: str) -> bool:
    found = ServedModel.objects.filter(Q(model_id=name) | Q(aliases__alias=name))
    return found.exists()


class VirtualModelAdmin(RegistryAdmin[VirtualModel]):
    form = VirtualModelForm
    list_display = ("name", "in_order")
    search_fields = ("name",)

    @admin.display(description="members")
    def in_order(self, row: VirtualModel) -> str:
        return ", ".join(map(str, row.members))


admin.site.register(VirtualModel, VirtualModelAdmin)
