"""What answers about requests and usage look like, for the description of the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


def _count(about: str) -> serializers.IntegerField:
    return serializers.IntegerField(allow_null=True, help_text=f"{about} null is unknown.")


def _figure(about: str) -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, help_text=f"{about} null is unknown.")


class _Timeline(serializers.Serializer[Any]):
    """Where the time went, in milliseconds."""

    queueMs = serializers.FloatField(help_text="It waited for its turn.")
    loadMs = serializers.FloatField(help_text="It waited for its model to load.")
    promptMs = _figure("The prompt was worked on.")
    generationMs = _figure("The answer was generated.")
    firstTokenMs = _figure("From the request to the answer's first piece.")
    totalMs = serializers.FloatField()


class _Who(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    at = serializers.DateTimeField(help_text="When it had come.")
    model = serializers.CharField()
    path = serializers.CharField()
    key = serializers.IntegerField(allow_null=True, help_text="The API key's number.")
    keyName = serializers.CharField()
    streamed = serializers.BooleanField()


class EndedRequest(_Who):
    """One request that ended."""

    status = serializers.IntegerField(help_text="HTTP status; 499 when the client left.")
    error = serializers.CharField(help_text="Its code, also of a stream that broke off.")
    tokensIn = _count("Tokens of the prompt, cached ones included.")
    tokensCached = _count("Of these, those from the prompt cache.")
    tokensOut = _count("Tokens generated.")
    promptPerSecond = _figure("Tokens of the prompt a second.")
    tokensPerSecond = _figure("Tokens generated a second.")
    timeline = _Timeline()
    engineSeconds = serializers.FloatField(help_text="Its share of its engine's time.")
    gpuSeconds = serializers.FloatField(help_text="The same, times the GPUs it used.")
    requestId = serializers.CharField(
        help_text="What the answer's `X-Request-ID` said; empty for requests of earlier versions."
    )


class LiveRequest(_Who):
    """One request under way."""

    askedFor = serializers.CharField(help_text="The model's name as the client wrote it.")
    client = serializers.CharField(help_text="The client's address.")
    phase = serializers.ChoiceField(("waiting", "working", "answering", "ended"))
    status = serializers.IntegerField(allow_null=True)
    seconds = serializers.FloatField(help_text="Since it came.")
    queueSeconds = serializers.FloatField()
    loadSeconds = serializers.FloatField()
    firstTokenSeconds = _figure("Until the answer's first piece.")
    pieces = serializers.IntegerField(help_text="Pieces of the answer so far.")
    bytes = serializers.IntegerField(help_text="Bytes of the answer so far.")


class _Sums(serializers.Serializer[Any]):
    requests = serializers.IntegerField()
    errors = serializers.IntegerField(help_text="Failed, without those stopped.")  # type: ignore[assignment]
    stopped = serializers.IntegerField(help_text="Whose client left before the end.")
    tokensIn = serializers.IntegerField()
    tokensCached = serializers.IntegerField()
    tokensOut = serializers.IntegerField()
    totalMs = serializers.FloatField()
    engineSeconds = serializers.FloatField()
    gpuSeconds = serializers.FloatField()


class UsageSumRow(_Sums):
    """One model, key and person in one hour or day; what is not told apart is null."""

    start = serializers.DateTimeField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    key = serializers.IntegerField(allow_null=True)
    keyName = serializers.CharField()
    person = serializers.IntegerField(allow_null=True)
    personName = serializers.CharField()


class UsageAnswer(serializers.Serializer[Any]):
    """Sums, the newest first."""

    by = serializers.ChoiceField(("hour", "day", "model", "key", "person"))
    since = serializers.DateTimeField()
    rows = UsageSumRow(many=True)
    total = _Sums()
    truncated = serializers.BooleanField(help_text="There are more rows; ask for a shorter time.")


class ModelMetrics(serializers.Serializer[Any]):
    """One model's figures."""

    modelId = serializers.CharField()
    requestCount = serializers.IntegerField()
    avgResponseTime = serializers.FloatField(help_text="Milliseconds.")
    tokensPerSecond = serializers.FloatField(help_text="Of its newest requests.")
    lastActivity = serializers.DateTimeField(allow_null=True)
    memoryUsage = serializers.IntegerField(help_text="Bytes it holds; 0 when it is not loaded.")
