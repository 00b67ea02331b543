"""What answers about models and queues look like, for the description of the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


def _seconds(about: str) -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, help_text=f"{about} null is unknown.")


def _sizes(about: str) -> serializers.DictField:
    return serializers.DictField(
        child=serializers.IntegerField(),
        allow_null=True,
        help_text=f"{about} Bytes on each device; null is unknown.",
    )


class _Memory(serializers.Serializer[Any]):
    planned = _sizes("What it is expected to take.")
    measured = _sizes("What it took when it was loaded like this.")


class _Device(serializers.Serializer[Any]):
    device = serializers.CharField(help_text="The engine's name for it; RAM is CPU.")
    budget = serializers.IntegerField(help_text="Bytes for all models together.")
    held = serializers.IntegerField(help_text="Bytes of it that loaded models hold.")


class _Load(serializers.Serializer[Any]):
    """What a model has to do, whoever asks."""

    state = serializers.CharField(help_text="stopped, starting, ready or stopping.")
    inFlight = serializers.IntegerField(help_text="Requests being served.")
    concurrency = serializers.IntegerField(help_text="Requests served at once.")
    queued = serializers.IntegerField(help_text="Requests waiting.")
    queueLength = serializers.IntegerField(help_text="Requests that may wait.")
    priority = serializers.IntegerField(help_text="Models with a higher number go first.")
    loadSeconds = _seconds("How long loading takes.")
    readyInSeconds = _seconds("Until it could serve, if it were asked for now.")
    expectedWaitSeconds = _seconds("How long a request that came now would wait.")


class ModelRow(_Load):
    """One served model."""

    id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())
    unlisted = serializers.BooleanField()
    problem = serializers.CharField(help_text="Why it cannot be, or was not, loaded.")
    pinned = serializers.BooleanField()
    group = serializers.CharField()
    ttl = serializers.FloatField(help_text="Idle seconds until it is unloaded; 0: never.")
    ttlLeftSeconds = serializers.FloatField(
        allow_null=True, help_text="Until it is unloaded; null while nothing counts down."
    )
    memory = _Memory()


class _Place(serializers.Serializer[Any]):
    position = serializers.IntegerField(help_text="From 1.")
    caller = serializers.CharField(help_text="Callers take turns.")
    priority = serializers.IntegerField(allow_null=True, help_text="null: the model's.")
    waitedSeconds = serializers.FloatField()
    expectedWaitSeconds = _seconds("Until it is served.")


class _QueueRow(_Load):
    model = serializers.CharField()
    answerSeconds = _seconds("How long answers take.")
    requests = _Place(many=True)


class QueueAnswer(serializers.Serializer[Any]):
    """Models that are loaded or waited for, with everybody who waits."""

    waiting = serializers.IntegerField()
    models = _QueueRow(many=True)
    memory = _Device(many=True)
    maxWaitSeconds = serializers.FloatField()
    minResidencySeconds = serializers.FloatField()


class LoadPlanAnswer(serializers.Serializer[Any]):
    """What loading a model now would do."""

    model = serializers.CharField()
    loaded = serializers.BooleanField(help_text="It is loaded, or being loaded, already.")
    fits = serializers.BooleanField(
        help_text="There is memory for it; otherwise it is tried alone, and smaller if need be."
    )
    evicts = serializers.ListField(
        child=serializers.CharField(), help_text="Models that would be unloaded for it."
    )
    waitsFor = serializers.ListField(
        child=serializers.CharField(), help_text="Models whose requests are finished first."
    )
    behind = serializers.ListField(
        child=serializers.CharField(), help_text="Models that are loaded before it."
    )
    loadSeconds = _seconds("How long loading takes.")
    readyInSeconds = _seconds("Until it is ready.")
    need = _sizes("What it takes.")
    memory = _Device(many=True)
