"""The downloads page: what is on its way, what came of it, and steering it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from downloads_app import (
    control,
    info,
    orders,
    places,
    queue,
    starter,
    starter_download,
    suggestions,
)
from downloads_app.models import MOST_AT_ONCE, Download, DownloadSettings
from downloads_app.trouble import AWAY
from models_app import hf_token
from models_app.access import needs
from models_app.rights import Rights, Scope
from proxy_app import ui_events
from ui_app import download_cards
from ui_app.posting import acts

Status = Download.Status

SHOWN: Final = 20
"""Downloads that are over and still shown; the API lists more."""
MB: Final = 10**6


class LimitsForm(forms.Form):
    """How downloads share the line."""

    at_once = forms.IntegerField(
        label=gettext_lazy("At once"),
        validators=[MinValueValidator(1), MaxValueValidator(MOST_AT_ONCE)],
    )
    connections = forms.IntegerField(
        label=gettext_lazy("Connections a file begins with"),
        validators=[MinValueValidator(1), MaxValueValidator(16)],
    )
    rate = forms.IntegerField(
        label=gettext_lazy("Most MB/s together"),
        required=False,
        validators=[MinValueValidator(0)],
        help_text=gettext_lazy("Empty or 0: as fast as it goes."),
    )

    @classmethod
    def of(cls, row: DownloadSettings) -> LimitsForm:
        """As it is now."""
        values = {"at_once": row.at_once, "connections": row.connections}
        return cls(initial={**values, "rate": row.rate_limit // MB or None})

    def save(self) -> None:
        """It counts at once, also for what is under way."""
        row = DownloadSettings.current()
        row.at_once = self.cleaned_data["at_once"]
        row.connections = self.cleaned_data["connections"]
        row.rate_limit = (self.cleaned_data["rate"] or 0) * MB
        row.save(update_fields=["at_once", "connections", "rate_limit"])
        queue.hint()


class AddressForm(forms.Form):
    """Asks for a file of any allowed host."""

    url = forms.CharField(
        label=gettext_lazy("Address of a GGUF file"),
        max_length=orders.LONGEST_URL,
        widget=forms.URLInput(
            attrs={
                "placeholder": "https://huggingface.co/owner/name/resolve/main/model-q4_k_m.gguf",
                "autocomplete": "off",
                "autocapitalize": "off",
                "spellcheck": "false",
            }
        ),
    )
    folder = forms.ChoiceField(label=gettext_lazy("Folder"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["folder"].choices = folder_choices()  # type: ignore[attr-defined]


def folder_choices() -> list[tuple[str, str]]:
    """The folders that downloads may go to, the usual one first."""
    return [(place.path, place.path) for place in places.places()]


# ---- The page ----------------------------------------------------------------------------------


@needs(Scope.MANAGE)
@require_safe
def downloads(request: HttpRequest) -> HttpResponse:
    """What is under way, what failed, what is here, and where to find more."""
    return _page(request)


def _shown() -> list[download_cards.Card]:
    """What is not over and what failed, in their order; then the last that are over, newest first.

    Read in one go: one that ends between two looks would be shown twice, or not at all.
    """
    ended = Download.objects.filter(status__in=download_cards.OVER).order_by("-finished_at", "-pk")
    open_or_last = ~Q(status__in=download_cards.OVER) | Q(pk__in=ended.values("pk")[:SHOWN])
    rows = list(info.rows().filter(open_or_last))
    still = [row for row in rows if row.status not in download_cards.OVER]
    over = [row for row in rows if row.status in download_cards.OVER]
    over.sort(key=lambda row: (row.finished_at is not None, row.finished_at, row.pk), reverse=True)
    return download_cards.cards([*still, *over])


def _page(
    request: HttpRequest,
    limits: LimitsForm | None = None,
    address: AddressForm | None = None,
    status: int = 200,
) -> HttpResponse:
    shown = _shown()
    under_way = [card for card in shown if not (card.is_over or card.has_failed)]
    failed = [card for card in shown if card.has_failed]
    over = [card for card in shown if card.is_over]
    nothing_yet = not (under_way or failed or over)
    no_way = Download.objects.filter(status=Status.FAILED, error_kind__in=AWAY)
    context = {
        "under_way": under_way,
        "failed": failed,
        "over": over,
        "is_busy": any(card.is_under_way for card in under_way),
        "suggestions": suggestions.for_machine() if nothing_yet else (),
        "starter": starter if nothing_yet or no_way.exists() else None,
        "limits_form": limits or LimitsForm.of(DownloadSettings.current()),
        "address_form": address or AddressForm(),
        "may_keep_token": _may_keep(request),
    }
    response = render(request, "ui/downloads/page.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


# ---- Its forms ---------------------------------------------------------------------------------


@needs(Scope.MANAGE)
@acts("ui-downloads")
def act(request: HttpRequest) -> HttpResponse:
    """Do what the pressed button says with the download it names."""
    for verb, do in _VERBS.items():
        if key := request.POST.get(verb):
            download = Download.objects.filter(key=key).first()
            if download is None:
                messages.error(request, _("That download is no longer in the list."))
                return redirect("ui-downloads")
            try:
                do(download)
            except control.NotResumable as error:
                messages.error(request, str(error))
            return _to(download)
    return redirect("ui-downloads")


def _forget(download: Download) -> None:
    control.cancel(download)
    download.delete()
    _tell_gone([download.key])


def _tell_gone(keys: Iterable[str]) -> None:
    """Have other browsers take them off their lists; nobody else tells of a row that is gone."""
    ui_events.tell("downloads", dict.fromkeys(keys))


def _sooner(download: Download) -> None:
    _move(download, -1)


def _later(download: Download) -> None:
    _move(download, 1)


def _move(download: Download, by: int) -> None:
    waiting = list(Download.objects.filter(status=Status.PENDING).values_list("key", flat=True))
    if download.key not in waiting:
        return
    at = waiting.index(download.key)
    waiting.insert(min(max(0, at + by), len(waiting) - 1), waiting.pop(at))
    queue.reorder(waiting)


_VERBS: Final[Mapping[str, Callable[[Download], object]]] = {
    "pause": control.pause,
    "resume": control.resume,
    "cancel": control.cancel,
    "sooner": _sooner,
    "later": _later,
    "reuse": control.agree_to_reuse,
    "forget": _forget,
}


@needs(Scope.MANAGE)
@acts("ui-downloads")
def clear(request: HttpRequest) -> HttpResponse:
    """Take what is over off the list; files stay."""
    ended = Download.objects.filter(status__in=(Status.COMPLETED, Status.CANCELLED))
    keys = list(ended.values_list("key", flat=True))
    ended.filter(key__in=keys).delete()
    _tell_gone(keys)
    return redirect("ui-downloads")


@needs(Scope.MANAGE)
@acts("ui-downloads")
def give_token(request: HttpRequest) -> HttpResponse:
    """Let a refused download go on with a token, which may be kept for all others."""
    download = Download.objects.filter(key=request.POST.get("key", "")).first()
    token = request.POST.get("token", "").strip()
    if download is None or not token:
        messages.error(request, _("Paste a token first; huggingface.co has it under Settings."))
        return redirect("ui-downloads")
    try:
        hf_token.check(token)
        if request.POST.get("keep") and _may_keep(request):
            hf_token.save(token)
        else:
            control.use_token(download, token)
        control.resume(download)
    except (hf_token.BadToken, control.NotResumable) as error:
        messages.error(request, str(error))
    return _to(download)


@needs(Scope.MANAGE)
@acts("ui-downloads")
def set_limits(request: HttpRequest) -> HttpResponse:
    """Change how downloads share the line."""
    form = LimitsForm(request.POST)
    if not form.is_valid():
        return _page(request, limits=form, status=422)
    form.save()
    messages.success(request, _("The limits count from now on."))
    return redirect(f"{reverse('ui-downloads')}#limits")


@needs(Scope.MANAGE)
@acts("ui-downloads")
def start_address(request: HttpRequest) -> HttpResponse:
    """Fetch a file of any allowed host."""
    form = AddressForm(request.POST)
    if form.is_valid():
        url = form.cleaned_data["url"].strip()
        item = orders.Item(url, orders.name_of(url))
        try:
            download = orders.place(orders.Order([item], folder=form.cleaned_data["folder"]))
        except orders.BadOrder as error:
            form.add_error("url", str(error))
        else:
            return _to(download)
    return _page(request, address=form, status=422)


@needs(Scope.MANAGE)
@acts("ui-downloads")
def start_starter(request: HttpRequest) -> HttpResponse:
    """Fetch the starter model, which needs no hub."""
    try:
        return _to(starter_download.place())
    except orders.BadOrder as error:
        messages.error(request, str(error))
        return redirect("ui-downloads")


def _may_keep(request: HttpRequest) -> bool:
    """Whether a token may be kept for everybody: it is a setting of the server."""
    rights: Rights = request.rights  # type: ignore[attr-defined]
    return rights.may(Scope.ADMIN)


def _to(download: Download) -> HttpResponse:
    return redirect(f"{reverse('ui-downloads')}#{download.key}")
