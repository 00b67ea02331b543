"""Finding a model on the hub: search, what of it fits this machine, and taking it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from downloads_app import orders, places, shelf, starter, suggestions
from downloads_app.models import Download
from downloads_app.sources import browsing, huggingface
from downloads_app.sources.browsing import Browsed, Why
from downloads_app.sources.fit import Fit
from downloads_app.sources.picking import NothingFits, order_for
from downloads_app.sources.variants import Variant
from downloads_app.trouble import AWAY, Trouble
from models_app.access import needs
from models_app.models import ModelAlias, ServedModel
from models_app.rights import Scope
from ui_app.pages.downloads import folder_choices
from ui_app.posting import acts

LONGEST_WORDS: Final = 200

REASONS: Final[Mapping[Why, str | Promise]] = {
    Why.USUAL: gettext_lazy("the best size for its quality, and it fits this machine"),
    Why.FITS: gettext_lazy("the best that fits this machine with a good context"),
    Why.SMALLEST: gettext_lazy("none fits this machine; this is the smallest"),
    Why.UNKNOWN: gettext_lazy("what most people take"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One quantization as the page shows it."""

    variant: Variant
    fit: Fit | None
    is_recommended: bool
    on_disk: str
    """Where all its content seems to be on this machine already; "" when it does not."""


# ---- Search ------------------------------------------------------------------------------------


@needs(Scope.MANAGE)
@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Repositories with GGUF files that the words find, the most downloaded first."""
    words = request.GET.get("q", "").strip()[:LONGEST_WORDS]
    if huggingface.is_repository(words):
        return redirect("ui-hub-model", repository=words)
    found: list[dict[str, Any]] = []
    problem = ""
    if words:
        try:
            found = [_result(entry) for entry in huggingface.search(words)]
        except Trouble as trouble:
            problem = trouble.message
    context = {
        "words": words,
        "results": found,
        "problem": problem,
        "starter": starter,
        "suggestions": () if found else suggestions.for_machine(),
    }
    return render(request, "ui/downloads/search.html", context)


def _result(entry: Mapping[str, Any]) -> dict[str, Any]:
    name = str(entry.get("id") or entry.get("modelId") or "")
    owner, _slash, title = name.partition("/")
    return {
        "repository": name,
        "owner": owner,
        "title": title,
        "downloads": entry.get("downloads") or 0,
        "likes": entry.get("likes") or 0,
        "gated": bool(entry.get("gated", False)),
        "changed": str(entry.get("lastModified") or "")[:10],
    }


@needs(Scope.MANAGE)
@require_safe
def fit_of(request: HttpRequest, repository: str) -> HttpResponse:
    """A mark for a result of the search: what of the repository fits. Asked for by the page."""
    try:
        found = browsing.browse(repository)
        problem = found.problem
    except (Trouble, NothingFits) as error:
        return render(request, "ui/downloads/_fit.html", {"problem": str(error)})
    fit = found.fits.get(found.recommended.name) if found.recommended else None
    context = {"fit": fit, "variant": found.recommended, "problem": problem, "why": found.why}
    return render(request, "ui/downloads/_fit.html", context)


# ---- A repository ------------------------------------------------------------------------------


@needs(Scope.MANAGE)
@require_safe
def model(request: HttpRequest, repository: str) -> HttpResponse:
    """What a repository offers, what fits, and the form that takes it."""
    if not huggingface.is_repository(repository):
        raise Http404(repository)
    found: Browsed | None = None
    problem, is_away = "", False
    try:
        found = browsing.browse(repository)
    except (Trouble, NothingFits) as error:
        problem = str(error)
        is_away = isinstance(error, Trouble) and error.kind in AWAY
    choices = _choices(found) if found else []
    context = {
        "repository": repository,
        "hub_page": f"{settings.CLARACORE_HF_ENDPOINT}/{repository}",
        "problem": problem or (found.problem if found else ""),
        "is_away": is_away,
        "starter": starter,
        "found": found,
        "gated": bool(found and found.repository.info.get("gated")),
        "licence": _licence(found),
        "choices": choices,
        "any_on_disk": any(choice.on_disk for choice in choices),
        "reason": REASONS[found.why] if found else "",
        "projector": found.projectors[0] if found and found.projectors else None,
        "folders": folder_choices(),
    }
    return render(request, "ui/downloads/model.html", context)


def _choices(found: Browsed) -> list[Choice]:
    known, folder = shelf.shelf(), places.default()
    return [
        Choice(
            variant,
            found.fits.get(variant.name),
            variant is found.recommended,
            _on_disk(variant, known, folder),
        )
        for variant in found.variants
    ]


def _on_disk(variant: Variant, known: shelf.Shelf, folder: Any) -> str:
    """Where the first file is, when all of them are somewhere here."""
    found = [
        known.find(file.sha256, file.size, folder / file.path.rpartition("/")[2])
        for file in variant.files
        if file.sha256
    ]
    whole = len(found) == len(variant.files) and all(found) and not variant.missing
    return str(found[0]) if whole else ""


def _licence(found: Browsed | None) -> str:
    tags = found.repository.info.get("tags") or [] if found else []
    named = [tag for tag in tags if isinstance(tag, str) and tag.startswith("license:")]
    return named[0].partition(":")[2] if named else ""


@needs(Scope.MANAGE)
@acts("ui-downloads")
def start(request: HttpRequest) -> HttpResponse:
    """Fetch a quantization of a repository."""
    repository = request.POST.get("repository", "").strip()
    if not huggingface.is_repository(repository):
        messages.error(request, _("That is not a repository such as owner/name."))
        return redirect("ui-downloads")
    try:
        download = _placed(request, repository)
    except (NothingFits, orders.BadOrder, Trouble) as error:
        messages.error(request, str(error))
        return redirect("ui-hub-model", repository=repository)
    messages.success(request, _("%(name)s is on its way.") % {"name": repository})
    return redirect(f"{reverse('ui-downloads')}#{download.key}")


def _placed(request: HttpRequest, repository: str) -> Download:
    token = request.POST.get("token", "").strip()
    wanted = order_for(
        repository,
        request.POST.get("quantization", "").strip(),
        token=token,
        projector=bool(request.POST.get("projector")),
    )
    return orders.place(
        wanted.order(
            repository,
            model_id="" if _is_taken(repository) else repository,
            folder=request.POST.get("folder", ""),
            token=token,
            reuse=bool(request.POST.get("reuse")),
        )
    )


def _is_taken(name: str) -> bool:
    """Whether another model answers to it, such as the same one in another quantization."""
    return (
        ModelAlias.objects.filter(alias=name).exists()
        or ServedModel.everywhere.filter(model_id=name).exists()
    )
