"""What the routes of downloads and of the hub take and answer."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from models_app.api.fields import Flag, Text, Texts, Whole

MOST_BYTES = 2**53
LONGEST_TEXT = 4096


class StartDownload(serializers.Serializer[Any]):
    """One address; or a repository with `files`; or a repository with a `quantization` alone."""

    url = Text(required=False, allow_blank=True, max_length=LONGEST_TEXT)
    modelId = Text(
        required=False,
        allow_blank=True,
        max_length=LONGEST_TEXT,
        help_text="The model also answers to it; with files, the repository.",
    )
    filename = Text(required=False, allow_blank=True, max_length=LONGEST_TEXT)
    hfApiKey = Text(
        required=False, allow_blank=True, max_length=255, help_text="For this download only."
    )
    destinationPath = Text(
        required=False,
        allow_blank=True,
        max_length=LONGEST_TEXT,
        help_text="The download folder, a tracked folder, or one below either.",
    )
    files = Texts(required=False, max_length=1000, help_text="Paths in the repository.")
    isMultiPart = Flag(required=False)
    quantization = Text(required=False, allow_blank=True, max_length=64)
    repository = Text(required=False, allow_blank=True, max_length=255)
    includeProjector = Flag(
        required=False, help_text="With a quantization alone: the projector as well."
    )
    reuse = Flag(required=False, help_text="Take the same content from elsewhere on this machine.")
    rateLimit = Whole(required=False, max_value=MOST_BYTES, help_text="Bytes per second; 0: none.")


class Started(serializers.Serializer[Any]):
    """The download that was made, or that was at it already."""

    downloadId = serializers.CharField()
    status = serializers.CharField()
    modelId = serializers.CharField()
    filename = serializers.CharField(required=False)
    downloadIds = serializers.ListField(child=serializers.CharField(), required=False)
    quantization = serializers.CharField(required=False)
    partCount = serializers.IntegerField(required=False)


class NamesDownload(serializers.Serializer[Any]):
    downloadId = Text(max_length=255)
    modelId = Text(required=False, allow_blank=True)
    filename = Text(required=False, allow_blank=True)


class Done(serializers.Serializer[Any]):
    status = serializers.CharField()
    downloadId = serializers.CharField()


class FileOfDownload(serializers.Serializer[Any]):
    filename = serializers.CharField()
    size = serializers.IntegerField(allow_null=True)
    done = serializers.BooleanField()
    verified = serializers.BooleanField()


class DownloadInfo(serializers.Serializer[Any]):
    """A download. `status` is pending, downloading, paused, completed, failed or cancelled."""

    id = serializers.CharField()
    modelId = serializers.CharField()
    filename = serializers.CharField()
    url = serializers.CharField()
    status = serializers.CharField()
    phase = serializers.CharField()
    progress = serializers.FloatField(help_text="Percent; -1 while the size is not known.")
    downloadedBytes = serializers.IntegerField()
    bytesDownloaded = serializers.IntegerField()
    totalBytes = serializers.IntegerField()
    speed = serializers.CharField(help_text="In words, such as 15.2 MB/s.")
    eta = serializers.CharField(help_text="In words, such as 2m 15s.")
    speedBytesPerSecond = serializers.IntegerField()
    etaSeconds = serializers.IntegerField()
    estimatedTimeRemaining = serializers.IntegerField(help_text="Seconds.")
    startTime = serializers.DateTimeField()
    filePath = serializers.CharField()
    retryCount = serializers.IntegerField()
    error = serializers.CharField(help_text="In plain words; empty without one.")
    errorCode = serializers.CharField()
    note = serializers.CharField()
    connections = serializers.IntegerField()
    rateLimit = serializers.IntegerField()
    position = serializers.IntegerField()
    repository = serializers.CharField()
    quantization = serializers.CharField()
    reusePath = serializers.CharField(help_text="Where the same content seems to be already.")
    files = FileOfDownload(many=True)


class Order(serializers.Serializer[Any]):
    downloadIds = Texts(max_length=1000)


class SetLimits(serializers.Serializer[Any]):
    """Only the fields that are there change. With a `downloadId`, rateLimit is that one's."""

    downloadId = Text(required=False, max_length=255)
    rateLimit = Whole(required=False, max_value=MOST_BYTES, help_text="Bytes per second; 0: none.")
    atOnce = Whole(required=False)
    connections = Whole(required=False)


class Limits(serializers.Serializer[Any]):
    rateLimit = serializers.IntegerField()
    atOnce = serializers.IntegerField()
    connections = serializers.IntegerField()


class Destination(serializers.Serializer[Any]):
    path = serializers.CharField()
    name = serializers.CharField()
    type = serializers.CharField()
    enabled = serializers.BooleanField()
    modelCount = serializers.IntegerField()
    description = serializers.CharField()
    lastScanned = serializers.DateTimeField(required=False)


class Destinations(serializers.Serializer[Any]):
    destinations = Destination(many=True)
    count = serializers.IntegerField()


class HubFile(serializers.Serializer[Any]):
    path = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()


class HubQuantization(serializers.Serializer[Any]):
    """A model in one quantization, and how this machine would run it."""

    quantization = serializers.CharField()
    size = serializers.IntegerField()
    parts = serializers.IntegerField()
    missingParts = serializers.IntegerField()
    files = HubFile(many=True)
    fits = serializers.BooleanField(allow_null=True)
    context = serializers.IntegerField(  # type: ignore[assignment]
        allow_null=True, help_text="Tokens that one request gets."
    )
    memoryBytes = serializers.IntegerField(allow_null=True)
    estimated = serializers.BooleanField(
        allow_null=True, help_text="From another quantization's header."
    )


class HubModel(serializers.Serializer[Any]):
    id = serializers.CharField()
    author = serializers.CharField()
    downloads = serializers.IntegerField()
    likes = serializers.IntegerField()
    lastModified = serializers.CharField()
    gated = serializers.BooleanField()
    private = serializers.BooleanField()
    tags = serializers.ListField(child=serializers.CharField())


class HubFound(serializers.Serializer[Any]):
    query = serializers.CharField()
    models = HubModel(many=True)


class HubRepository(HubModel):
    revision = serializers.CharField()
    architecture = serializers.CharField()
    kind = serializers.CharField()
    trainedContext = serializers.IntegerField(allow_null=True)
    problem = serializers.CharField(help_text="Why no header could be read; empty otherwise.")
    recommended = serializers.CharField(
        help_text="The quantization to take on this machine; empty without a whole one."
    )
    quantizations = HubQuantization(many=True)
    projectors = HubFile(many=True)
