"""Checks what a person enters for a model, and says what to do about what cannot be."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django import forms

from models_app import acting, engine_build, engine_installs, gpu_choice, macro_use
from models_app.admin.typed import BaseInlineFormSet
from models_app.config_yaml import ConfigError, expand
from models_app.document import (
    DEFAULT_CHECK_ENDPOINT,
    DEFAULT_PROXY,
    TIMEOUTS,
    ConfigDocument,
    ModelEntry,
)
from models_app.drafts import may_draft
from models_app.facts import FileFacts
from models_app.models import ModelAlias, ServedModel, ServerSettings
from models_app.plans import gpus_to_choose
from models_app.rights import Scope
from models_app.typed_forms import ModelForm

# What the server itself puts on every command line.
_OURS: Final = frozenset({"-m", "--model", "--host", "--port"})


def check_id(text: str) -> str:
    """`text` as an id or alias that clients and addresses can carry."""
    if text != text.strip() or not text.isprintable():
        raise forms.ValidationError("Remove blanks at the ends and characters that do not print.")
    if text.startswith("/") or text.endswith("/") or "//" in text:
        raise forms.ValidationError("A slash may only stand between two parts, as in owner/name.")
    return text


class AliasForm(ModelForm[ModelAlias]):
    class Meta:
        model = ModelAlias
        fields = ("alias",)

    def clean_alias(self) -> str:
        alias = check_id(self.cleaned_data["alias"])
        if ServedModel.everywhere.filter(model_id=alias).exists():
            raise forms.ValidationError(f"A model has the id “{alias}”. Choose another alias.")
        return alias


class AliasFormSet(BaseInlineFormSet[ModelAlias, ServedModel, ModelForm[ModelAlias]]):
    def clean(self) -> None:
        """An alias that is the id entered beside it would name the model twice."""
        super().clean()
        for form in self.forms:
            alias = form.cleaned_data.get("alias") if form.is_valid() else None
            if alias and alias == self.instance.model_id and not form.cleaned_data.get("DELETE"):
                form.add_error("alias", "This is the model's own id. Remove the alias.")


class ServedModelForm(ModelForm[ServedModel]):
    class Meta:
        model = ServedModel
        exclude = ("kept_keys",)
        labels = {  # noqa: RUF012
            "gpu_layers": "GPU layers",
            "strip_params": "Fields to drop",
            "ttl": "Unload after",
            "use_model_name": "Name for the engine",
        }
        widgets = {  # noqa: RUF012
            "description": forms.Textarea(attrs={"rows": 2, "cols": 80}),
            "cmd": forms.Textarea(attrs={"rows": 6, "cols": 80, "spellcheck": "false"}),
            "cmd_stop": forms.Textarea(attrs={"rows": 2, "cols": 80, "spellcheck": "false"}),
            "extra_arguments": forms.Textarea(attrs={"rows": 2, "cols": 80, "spellcheck": "false"}),
            "env": forms.Textarea(attrs={"rows": 2, "cols": 80, "spellcheck": "false"}),
            "macros": forms.Textarea(attrs={"rows": 2, "cols": 80, "spellcheck": "false"}),
            "set_params": forms.Textarea(attrs={"rows": 2, "cols": 80, "spellcheck": "false"}),
            "set_params_by_id": forms.Textarea(
                attrs={"rows": 4, "cols": 80, "spellcheck": "false"}
            ),
            "timeouts": forms.Textarea(attrs={"rows": 2, "cols": 80, "spellcheck": "false"}),
            "metadata": forms.Textarea(attrs={"rows": 4, "cols": 80, "spellcheck": "false"}),
        }

    def clean_model_id(self) -> str:
        model_id = check_id(self.cleaned_data["model_id"])
        taken = ModelAlias.objects.filter(alias=model_id).exclude(model=self.instance.pk).first()
        if taken:
            raise forms.ValidationError(
                f"This is an alias of {taken.model}. Choose another id, or remove that alias."
            )
        if model_id != self.instance.model_id and not acting.rights().may(Scope.ADMIN):
            self._check_is_in_no_command()
        return model_id

    def _check_is_in_no_command(self) -> None:
        """The id is a word of a command that holds ${MODEL_ID}, and perhaps of a shell's script."""
        if macro_use.commands_hold_id(self.instance, ServerSettings.current().macros.values()):
            raise forms.ValidationError(
                "The command of this model holds its id. Ask an administrator to change it."
            )

    def clean_env(self) -> list[str]:
        given = self.cleaned_data["env"]
        if not isinstance(given, list) or not all(_is_variable(item) for item in given):
            raise forms.ValidationError('Enter a list such as ["KEY=value", "OTHER=value"].')
        return given

    def clean_metadata(self) -> dict[str, Any]:
        return _names_with_values(self.cleaned_data["metadata"])

    def clean_macros(self) -> dict[str, str]:
        macros = _names_with_values(self.cleaned_data["macros"])
        return {name: str(text) for name, text in macros.items()}

    def clean_set_params(self) -> dict[str, Any]:
        return self._without_macros("set_params", _names_with_values)

    def clean_set_params_by_id(self) -> dict[str, Any]:
        return self._without_macros("set_params_by_id", _names_with_fields)

    def _without_macros(
        self, name: str, checked: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        """A field's value; macros and variables, which may hold secrets, are administrators'."""
        given = checked(self.cleaned_data[name])
        if given == getattr(self.instance, name) or acting.rights().may(Scope.ADMIN):
            return given
        used = macro_use.macros_in(given) | macro_use.macros_in(getattr(self.instance, name))
        if used:
            raise forms.ValidationError(
                f"Macros and variables such as {min(used)} may hold secrets: only an "
                "administrator may write them here, or change what holds one."
            )
        return given

    def clean_timeouts(self) -> dict[str, int]:
        given = _names_with_values(self.cleaned_data["timeouts"])
        for name, seconds in given.items():
            if name not in TIMEOUTS:
                raise forms.ValidationError(f"Enter {', '.join(TIMEOUTS)}, not {name}.")
            if type(seconds) is not int or seconds < 0:
                raise forms.ValidationError(f"Enter whole seconds for {name}; 0: without end.")
        return given

    def clean_chat_template(self) -> str:
        given: str = self.cleaned_data["chat_template"].strip()
        if "/" in given:
            if not Path(given).is_file():
                raise forms.ValidationError(f"There is no file {given}.")
            return given
        # The engine would take a name it does not know for the text of a template.
        names = _chat_templates() if given else ()
        if names and given not in names:
            raise forms.ValidationError(
                f"The engine has no template {given}. Enter a file's path, or one of: "
                f"{', '.join(names)}."
            )
        return given

    def clean_extra_arguments(self) -> str:
        text: str = self.cleaned_data["extra_arguments"]
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise forms.ValidationError("A quotation mark is left open. Close it.") from error
        for word in words:
            if word.partition("=")[0] in _OURS:
                raise forms.ValidationError(
                    f"{word} is given by the server. Leave it out, or write a whole command."
                )
        return text

    def clean_proxy(self) -> str:
        proxy: str = self.cleaned_data["proxy"]
        if proxy and not proxy.startswith(("http://", "https://")):
            raise forms.ValidationError("Enter an address such as http://127.0.0.1:${PORT}.")
        return proxy

    def clean_check_endpoint(self) -> str:
        path: str = self.cleaned_data["check_endpoint"]
        if path and path != "none" and not path.startswith("/"):
            raise forms.ValidationError("Enter a path such as /health, or none.")
        return path

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if not self.instance.pk and not values.get("file") and not values.get("cmd"):
            self.add_error("file", "Choose a file, or write a command below.")
        self._check_context(values)
        self._check_gpus(values)
        self._check_draft(values)
        if values.get("cmd") and not self.errors:
            self._check_command(values)
        return values

    def _check_context(self, values: dict[str, Any]) -> None:
        file, context = values.get("file"), values.get("context")
        trained = file.context_length if file else None
        if context and trained and context > trained:
            self.add_error(
                "context",
                f"The model was trained on {trained:,} tokens. Enter at most that, or nothing.",
            )

    def _check_gpus(self, values: dict[str, Any]) -> None:
        if "gpus" not in self.changed_data or not (words := gpu_choice.words_of(values["gpus"])):
            return  # What was chosen before a card was taken out may stay.
        try:
            gpu_choice.find(words, gpus_to_choose(values.get("engine")))
        except gpu_choice.NoSuchGpu as error:
            self.add_error("gpus", str(error))

    def _check_draft(self, values: dict[str, Any]) -> None:
        file, draft = values.get("file"), values.get("draft")
        if file is None or draft is None:
            return
        if not may_draft(FileFacts.from_json(draft.facts), FileFacts.from_json(file.facts)):
            self.add_error(
                "draft",
                "The engine takes guesses only from a model with exactly the same vocabulary, and "
                "only where neither keeps a recurrent state. Choose another, or nothing.",
            )

    def _check_command(self, values: dict[str, Any]) -> None:
        entry = ModelEntry(
            model_id=values["model_id"],
            cmd=values["cmd"].replace("\r\n", "\n"),
            cmd_stop=values["cmd_stop"].replace("\r\n", "\n"),
            proxy=values["proxy"] or DEFAULT_PROXY,
            check_endpoint=values["check_endpoint"] or DEFAULT_CHECK_ENDPOINT,
            macros={name: str(text) for name, text in values["macros"].items()},
            set_params=values["set_params"],
            set_params_by_id=values["set_params_by_id"],
        )
        settings = ServerSettings.current()
        document = ConfigDocument(
            macros={name: str(value) for name, value in settings.macros.items()}
        )
        try:
            expand(entry, document, settings.start_port)
        except ConfigError as error:
            self.add_error("cmd", str(error))


def _names_with_values(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise forms.ValidationError('Enter names with values, such as {"team": "lab"}.')
    return given


def _names_with_fields(given: Any) -> dict[str, Any]:
    return {name: _names_with_values(fields) for name, fields in _names_with_values(given).items()}


def _is_variable(item: Any) -> bool:
    return isinstance(item, str) and not item.startswith("=") and "=" in item


def _chat_templates() -> tuple[str, ...]:
    """What the engine has built in; nothing while there is no engine to ask."""
    try:
        located = engine_installs.locate()
        return engine_build.chat_templates(located) if located else ()
    except engine_build.EngineProblem:
        return ()
