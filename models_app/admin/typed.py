"""Django's admin classes with their type parameters, which they lack at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as ModelAdmin
    from django.contrib.admin import StackedInline as StackedInline
    from django.contrib.admin import TabularInline as TabularInline
    from django.forms import BaseInlineFormSet as BaseInlineFormSet
else:
    from django import forms

    class _Subscriptable:
        def __class_getitem__(cls, parameters: Any) -> type:
            return cls

    class ModelAdmin(_Subscriptable, admin.ModelAdmin):
        pass

    class StackedInline(_Subscriptable, admin.StackedInline):
        pass

    class TabularInline(_Subscriptable, admin.TabularInline):
        pass

    class BaseInlineFormSet(_Subscriptable, forms.BaseInlineFormSet):
        pass
