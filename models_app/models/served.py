from __future__ import annotations

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from models_app.kinds import Kind, with_projector, without_projector
from models_app.models.engine_build import EngineBuild
from models_app.models.files import GgufFile
from models_app.models.groups import ModelGroup
from models_app.models.nodes import OnNode
from models_app.nodes import this_node

LOAD_MODES = ("mmap", "mlock", "mmap+mlock", "none", "dio")
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")

LARGEST_PRIORITY = 100


class ServedModel(OnNode):
    """A model that clients can ask for by its id.

    Its id is one for all nodes, and the node it belongs to runs it. Facts live on the file; here
    stand the choices. An empty choice means automatic: it is worked out from the file and the
    machine each time the configuration is built, so a scan never overwrites what a person set.
    """

    model_id = models.CharField("id", max_length=255, unique=True)
    name = models.CharField(max_length=255, blank=True)
    description = models.TextField(blank=True)
    file = models.ForeignKey(
        GgufFile, null=True, blank=True, on_delete=models.SET_NULL, related_name="served_as"
    )
    projector = models.ForeignKey(
        GgufFile,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="projects_for",
        help_text="Empty: the one that fits, when there is one.",
    )
    use_projector = models.BooleanField(
        default=True, help_text="Off: text only, even when a projector fits."
    )
    draft = models.ForeignKey(
        GgufFile,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="guesses_for",
        verbose_name="draft model",
        help_text="Empty: the one that fits, when there is one.",
    )
    use_draft = models.BooleanField(
        "use a draft model",
        default=False,
        help_text="On: a small model guesses ahead. The text stays the same; it takes memory.",
    )
    group = models.ForeignKey(
        ModelGroup, null=True, blank=True, on_delete=models.SET_NULL, related_name="members"
    )
    enabled = models.BooleanField(default=True)
    unlisted = models.BooleanField(default=False, help_text="Served, but left out of /v1/models.")

    # How its engine is started
    cmd = models.TextField(
        "command", blank=True, help_text="Empty: llama-server with settings chosen automatically."
    )
    cmd_stop = models.TextField("stop command", blank=True)
    proxy = models.CharField(
        max_length=512, blank=True, help_text="Empty: http://127.0.0.1:${PORT}."
    )
    check_endpoint = models.CharField(
        max_length=255, blank=True, help_text="Empty: /health. `none` skips the check."
    )
    env = models.JSONField(
        "environment", default=list, blank=True, help_text='A list such as ["KEY=value"].'
    )

    macros = models.JSONField(
        default=dict, blank=True, help_text="Texts its command may use as ${name}."
    )
    unload_timeout = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(3600)],
        help_text="Seconds its engine may take to stop before it is killed; empty: the server's.",
    )

    # How requests reach it
    use_model_name = models.CharField(
        max_length=255, blank=True, help_text="The name the engine is told; empty: as requested."
    )
    strip_params = models.CharField(
        max_length=1024, blank=True, help_text="Request fields to drop, separated by commas."
    )
    set_params = models.JSONField(
        "fields to set",
        default=dict,
        blank=True,
        help_text='Fields every request is given, such as {"temperature": 0.2}.',
    )
    set_params_by_id = models.JSONField(
        "fields to set by id",
        default=dict,
        blank=True,
        help_text=(
            "Further ids it answers to, each with the fields requests under it are given, such as "
            '{"${MODEL_ID}:warm": {"temperature": 1.2}}.'
        ),
    )
    timeouts = models.JSONField(
        default=dict,
        blank=True,
        help_text='Seconds to wait for its engine, such as {"connect": 5, "responseHeader": 60}.',
    )
    ttl = models.PositiveIntegerField(
        null=True, blank=True, help_text="Seconds without a request until it is unloaded; 0: never."
    )
    concurrency_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests served at once; more of them wait."
    )
    queue_length = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Requests that may wait for it; empty: the server's setting.",
    )
    priority = models.SmallIntegerField(
        default=0,
        validators=[MinValueValidator(-LARGEST_PRIORITY), MaxValueValidator(LARGEST_PRIORITY)],
        help_text="Waiting requests for models with a higher number go first.",
    )
    pinned = models.BooleanField(
        default=False,
        help_text="Loaded at start and kept loaded, beside any other model while memory allows.",
    )

    # Tuning: empty means automatic
    context = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(256)], help_text="Tokens."
    )
    gpus = models.CharField(
        "GPUs",
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="The only ones it may use, by the engine's names or by number, separated by "
        "commas, such as CUDA1 or 0, 1. Empty: as few of all as hold it.",
    )
    gpu_layers = models.PositiveIntegerField(null=True, blank=True)
    cache_type = models.CharField(
        "KV cache type",
        max_length=8,
        blank=True,
        choices=[(name, name) for name in CACHE_TYPES],
    )
    batch_size = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(65536)]
    )
    slots = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(256)],
        help_text="Requests the engine works on at once.",
    )
    chat_template = models.CharField(
        max_length=4096,
        blank=True,
        help_text="A built-in one's name, such as chatml, or a template file's path. "
        "Empty: the model's own.",
    )
    load_mode = models.CharField(
        max_length=16,
        blank=True,
        choices=[(name, name) for name in LOAD_MODES],
        help_text="How the weights come into memory: mapped from the file, locked in RAM, or read "
        "past the cache. Empty: the engine's choice.",
    )
    extra_arguments = models.TextField(
        blank=True, help_text="Further llama-server arguments, added as they are."
    )

    engine = models.ForeignKey(
        EngineBuild,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="pinned_by",
        help_text="The build of llama-server that runs it; empty: the active one.",
    )

    rung = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        help_text="The smaller memory it keeps to since its engine ran out of it; empty: none.",
    )

    metadata = models.JSONField(default=dict, blank=True)
    kept_keys = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        help_text="Keys of an imported config.yaml that are kept but do not act.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When a request for it last ended."
    )

    class Meta:
        ordering = ("model_id",)
        verbose_name = "model"

    def __str__(self) -> str:
        return self.model_id

    def clean(self) -> None:
        """Forms look for the same id among the models of this node only."""
        if node := elsewhere([self.model_id]).get(self.model_id):
            raise ValidationError({"model_id": f"A model of the node {node} has this id already."})

    def draft_file(self) -> GgufFile | None:
        """The draft model its engine is given: the chosen one, else the one that fits the file.

        None without one, while drafting is off, and while the draft model cannot be read.
        """
        found = self.draft or (self.file.draft if self.file else None)
        usable = self.use_draft and found and found.state == GgufFile.State.OK
        return found if usable else None

    def projector_file(self) -> GgufFile | None:
        """The projector its engine is given: the chosen one, else the one that fits the file.

        None without one, when it is switched off, and while the projector cannot be read.
        """
        found = self.projector or (self.file.projector if self.file else None)
        usable = self.use_projector and found and found.state == GgufFile.State.OK
        return found if usable else None

    def kind(self) -> str:
        """What it is for as it is loaded, a `Kind`: a chat model may see or hear. "" unknown."""
        if self.file is None or not self.file.kind:
            return ""
        found = self.projector_file()
        alone = without_projector(Kind(self.file.kind))
        if found is None:
            return alone
        if found == self.file.projector and self.file.kind != alone:
            return self.file.kind  # a scan told it, without the projector's facts at hand
        facts = found.facts
        return with_projector(alone, sees=facts.get("sees", True), hears=facts.get("hears", False))


def elsewhere(model_ids: Iterable[str]) -> dict[str, str]:
    """Those of `model_ids` that models of other nodes have, each with the node."""
    others = ServedModel.everywhere.exclude(node=this_node())
    return dict(others.filter(model_id__in=model_ids).values_list("model_id", "node"))


class ModelAlias(models.Model):
    """A further id under which a model is served; unique over all models."""

    alias = models.CharField(max_length=255, unique=True)
    model = models.ForeignKey(ServedModel, on_delete=models.CASCADE, related_name="aliases")
    automatic = models.BooleanField(
        default=False,
        editable=False,
        help_text="Made by a scan: the long id of a model that also has a short one.",
    )

    class Meta:
        ordering = ("alias",)
        verbose_name_plural = "model aliases"

    def __str__(self) -> str:
        return self.alias
