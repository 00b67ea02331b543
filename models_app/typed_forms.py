"""Django's model forms with their type parameter, which they lack at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.forms import ModelForm as ModelForm
else:
    from django import forms

    class ModelForm(forms.ModelForm):
        def __class_getitem__(cls, parameters: Any) -> type:
            return cls
