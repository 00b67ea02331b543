"""Launch options -> the command line of one llama-server, in the words its build understands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from models_app.engine_help import EngineFlags

PORT = "${PORT}"
ALL_LAYERS = 999
"""More layers than any model has; every build takes it to mean all."""


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """What an engine is started with. None and "" leave a choice to the engine.

    `context` counts tokens over all slots, as the engine's own option does.
    """

    model: str
    alias: str = ""
    projector: str = ""
    draft_model: str = ""
    draft_tokens: int | None = None
    draft_gpu_layers: int | None = None
    draft_device: str = ""
    """The build's name of the device that takes the draft model's layers."""

    context: int | None = None
    slots: int | None = None
    kv_unified: bool | None = None
    cache_type_k: str = ""
    cache_type_v: str = ""
    flash_attention: str = ""
    """"on", "off" or "auto"."""
    batch: int | None = None
    ubatch: int | None = None

    gpu_layers: int | None = None
    devices: tuple[str, ...] = ()
    """The build's names of the devices to use; empty leaves all of them in."""
    split_mode: str = ""
    tensor_split: tuple[int, ...] = ()
    main_gpu: int | None = None
    cpu_expert_layers: int | None = None
    """Layers, from the first on, whose experts stay on the CPU."""
    threads: int | None = None
    threads_batch: int | None = None

    embedding: bool = False
    reranking: bool = False
    pooling: str = ""
    jinja: bool | None = None
    chat_template: str = ""
    """A built-in one's name, or a file's path."""

    fit: bool | None = None
    repack: bool | None = None
    load_mode: str = ""
    cache_ram_mib: int | None = None
    metrics: bool = False
    extra: tuple[str, ...] = ()
    """Further arguments, last and as they are, so that they win over ours."""


def build_argv(binary: str, options: LaunchOptions, flags: EngineFlags) -> list[str]:
    """The argument list, with the text `${PORT}` where the port goes.

    Options that the build does not list are left out.
    """
    line = _Line(flags)
    _add_files(line, options)
    _add_memory(line, options)
    _add_placement(line, options)
    _add_behaviour(line, options)
    return [binary, "--host", "127.0.0.1", "--port", PORT, *line.words, *options.extra]


class _Line:
    """Words of a command line, restricted to what a build knows."""

    def __init__(self, flags: EngineFlags) -> None:
        self._flags = flags
        self.words: list[str] = []

    def knows(self, name: str) -> bool:
        """Whether the build lists the option."""
        return name in self._flags

    def value(self, value: str | int | None, *names: str) -> None:
        """The first of `names` that is known, followed by `value`; nothing for None and ""."""
        if value is None or value == "":
            return
        for name in names:
            if name in self._flags:
                self.words += [name, str(value)]
                return

    def choice(self, value: str, name: str) -> None:
        """`name value`, where the build's help lists that value."""
        if value in self._flags.values.get(name, value if not self._flags.known else ""):
            self.words += [name, value]

    def switch(self, wanted: bool | None, yes: str, no: str = "") -> None:
        """`yes` when wanted, `no` when explicitly not wanted."""
        name = yes if wanted else no
        if wanted is not None and name and name in self._flags:
            self.words.append(name)

    def word_or_switch(self, word: str, name: str) -> None:
        """`name word`, or for older builds `name` alone when the word is "on"."""
        if not word or name not in self._flags:
            return
        if self._flags.wants_word(name):
            self.words += [name, word]
        elif word == "on":
            self.words.append(name)


def _add_files(line: _Line, options: LaunchOptions) -> None:
    line.value(options.model, "--model")
    line.value(options.alias.replace(",", "_"), "--alias")  # a comma would make it two names
    line.value(options.projector, "--mmproj")
    if options.draft_model:
        line.value(options.draft_model, "--spec-draft-model", "--model-draft")
        line.choice("draft-simple", "--spec-type")
        line.value(options.draft_tokens, "--spec-draft-n-max", "--draft-max")
        line.value(
            options.draft_gpu_layers,
            "--spec-draft-ngl",
            "--gpu-layers-draft",
            "--n-gpu-layers-draft",
        )
        line.value(options.draft_device, "--spec-draft-device", "--device-draft")


def _add_memory(line: _Line, options: LaunchOptions) -> None:
    line.value(options.context, "--ctx-size")
    line.value(options.slots, "--parallel")
    line.switch(options.kv_unified, "--kv-unified", "--no-kv-unified")
    line.value(options.cache_type_k, "--cache-type-k")
    line.value(options.cache_type_v, "--cache-type-v")
    line.word_or_switch(options.flash_attention, "--flash-attn")
    line.value(options.batch, "--batch-size")
    line.value(options.ubatch, "--ubatch-size")
    line.value(options.cache_ram_mib, "--cache-ram")


def _add_placement(line: _Line, options: LaunchOptions) -> None:
    line.value(options.gpu_layers, "--n-gpu-layers", "--gpu-layers")
    line.value(",".join(options.devices), "--device")
    line.value(options.split_mode, "--split-mode")
    line.value(",".join(map(str, options.tensor_split)), "--tensor-split")
    line.value(options.main_gpu, "--main-gpu")
    line.value(options.cpu_expert_layers, "--n-cpu-moe")
    line.value(options.threads, "--threads")
    line.value(options.threads_batch, "--threads-batch")
    _add_load_mode(line, options.load_mode)
    line.switch(options.repack, "--repack", "--no-repack")
    if options.fit is not None:
        line.word_or_switch("on" if options.fit else "off", "--fit")


# Before --load-mode there was a switch for each.
_LOAD_SWITCHES = {
    "mlock": ("--no-mmap", "--mlock"),
    "mmap+mlock": ("--mlock",),
    "none": ("--no-mmap",),
    "dio": ("--direct-io",),
}


def _add_load_mode(line: _Line, mode: str) -> None:
    if not mode:
        return
    if line.knows("--load-mode"):
        line.value(mode, "--load-mode")
        return
    for switch in _LOAD_SWITCHES.get(mode, ()):
        line.switch(True, switch)


def _add_behaviour(line: _Line, options: LaunchOptions) -> None:
    line.switch(options.embedding or None, "--embedding")
    line.switch(options.reranking or None, "--reranking")
    line.value(options.pooling, "--pooling")
    line.switch(options.jinja, "--jinja", "--no-jinja")
    # A name that the build does not have would be taken for the template's own text.
    at = "--chat-template-file" if "/" in options.chat_template else "--chat-template"
    line.value(options.chat_template, at)
    line.switch(options.metrics or None, "--metrics")


_OPTION = re.compile(r"--?[A-Za-z]")


def _quoted(word: str) -> str:
    """As a shell's word. A "${" of a file's name is broken up, or it would be read as a macro."""
    return shlex.quote(word).replace("${", "$''{")


def command_line(argv: Sequence[str]) -> str:
    """The arguments as text, an option a line; `shlex.split` gives them back.

    `${PORT}` stays readable and unquoted: no shell ever sees the text.
    """
    lines: list[str] = []
    for word in argv:
        quoted = word if word == PORT else _quoted(word)
        if lines and not _OPTION.match(word):
            lines[-1] += f" {quoted}"
        else:
            lines.append(quoted)
    return "\n".join(lines)
