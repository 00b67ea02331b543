"""A table's list, with no more queries than it takes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.helpers import ActionForm
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import InvalidPage
from django.forms.utils import flatatt
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


class RowList(ChangeList):
    """Django's counts every table twice. Here a list that one page holds is counted by reading it,
    and all rows are counted only when some are left out.

    Not for a table with `list_editable`: its forms want a queryset.
    """

    def get_results(self, request: HttpRequest) -> None:
        size = self.list_per_page
        is_first = self.page_num == 1 and not self.show_all
        # One row more than a page holds tells that there are more pages.
        rows = list(self.queryset[: size + 1]) if is_first else None
        paginator = self.model_admin.get_paginator(request, self.queryset, size)
        if rows is not None and len(rows) <= size:
            paginator.count = len(rows)
        self.paginator, self.result_count = paginator, paginator.count
        self.can_show_all = self.result_count <= self.list_max_show_all
        self.multi_page = self.result_count > size
        self.show_full_result_count = self.model_admin.show_full_result_count
        self.full_result_count = self._full_count() if self.show_full_result_count else None
        self.show_admin_actions = not self.show_full_result_count or bool(self.full_result_count)
        self.result_list = self._page() if rows is None else rows[:size]

    def _full_count(self) -> int:
        """How many rows there are, whatever was asked for."""
        shown, every = self.queryset.query, self.root_queryset.query
        if shown.where == every.where and not shown.distinct:
            return int(self.result_count)
        return int(self.root_queryset.count())

    def _page(self) -> Any:
        """The rows of a page that is not the first, or all."""
        if not self.multi_page or (self.show_all and self.can_show_all):
            return self.queryset.all()
        try:
            return self.paginator.page(self.page_num).object_list
        except InvalidPage as error:
            raise IncorrectLookupParameters from error


class PlainSelect(forms.Select):
    """Django's renders three templates for every option."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        context = self.get_context(name, value, attrs)["widget"]
        options = (option for _, group, _ in context["optgroups"] for option in group)
        return format_html(
            '<select name="{}"{}>{}</select>',
            context["name"],
            flatatt(context["attrs"]),
            format_html_join(
                "",
                '<option value="{}"{}>{}</option>',
                ((one["value"], flatatt(one["attrs"]), one["label"]) for one in options),
            ),
        )


class RowListActions(ActionForm):
    """What can be done to the chosen rows."""

    action = forms.ChoiceField(label=ActionForm.base_fields["action"].label, widget=PlainSelect)
