from __future__ import annotations

import shlex

from models_app.command import LaunchOptions, build_argv, command_line
from models_app.config_yaml import expand
from models_app.document import ConfigDocument, ModelEntry
from models_app.engine_help import (
    EngineFlags,
    parse_chat_templates,
    parse_devices,
    parse_help,
    parse_version,
)

ANY_BUILD = EngineFlags(known=False)

HELP = """\
----- common params -----

-h,    --help, --usage                  print usage and exit
-c,    --ctx-size N                     size of the prompt context (default: 0, 0 = loaded from model)
                                        (env: LLAMA_ARG_CTX_SIZE)
-fa,   --flash-attn [on|off|auto]       set Flash Attention use ('on', 'off', or 'auto')
--spec-type none,draft-simple,ngram-cache
                                        comma-separated list of types of speculative decoding
--fit-target MiB0,MiB1                  target margin
--draft, --draft-n, --draft-max N       the argument has been removed. use --spec-draft-n-max
-cram, --cache-ram N                    set the maximum cache size in MiB (default: 8192, -1 - no limit)
--kv-unified, -kvu                      use single unified KV buffer
"""  # noqa: E501


def test_it_reads_names_and_values_from_the_help() -> None:
    flags = parse_help(HELP)
    assert flags.values["--ctx-size"] == flags.values["-c"] == "N"
    assert flags.values["--flash-attn"] == "[on|off|auto]"
    assert flags.values["--spec-type"] == "none,draft-simple,ngram-cache"
    assert flags.values["--kv-unified"] == ""
    assert "--usage" in flags


def test_it_does_not_count_options_that_were_removed() -> None:
    assert "--draft-max" not in parse_help(HELP)


def test_flags_survive_the_database() -> None:
    flags = parse_help(HELP)
    assert EngineFlags.from_list(flags.as_list()) == flags


def test_a_build_that_was_never_asked_understands_everything() -> None:
    assert "--anything" in EngineFlags.from_list([])


def test_it_reads_devices_and_the_version() -> None:
    vulkan, cuda = parse_devices(
        "Available devices:\n"
        "  Vulkan0: AMD Radeon RX 7900 XTX (RADV NAVI31) (24560 MiB, 23890 MiB free)\n"
        "  CUDA1: NVIDIA GeForce RTX 4070 (12282 MiB, 11500 MiB free)\n"
    )
    assert vulkan.description == "AMD Radeon RX 7900 XTX (RADV NAVI31)"
    assert vulkan.free == 23890 * 1024**2
    assert (cuda.name, cuda.backend) == ("CUDA1", "cuda")
    assert parse_devices("Available devices:\n  (none)\n") == ()
    assert parse_version("version: 0.1.0-dev (build 1)\nbuilt with") == "0.1.0-dev (build 1)"


def test_a_processor_that_poses_as_a_gpu_is_told_apart() -> None:
    (device,) = parse_devices("  Vulkan0: llvmpipe (LLVM 15) (24105 MiB, 24105 MiB free)\n")
    assert device.is_software


def test_the_command_begins_with_address_port_and_model() -> None:
    argv = build_argv("/opt/llama-server", LaunchOptions(model="/m/a.gguf"), ANY_BUILD)
    assert argv == [
        *("/opt/llama-server", "--host", "127.0.0.1", "--port", "${PORT}"),
        *("--model", "/m/a.gguf"),
    ]


def test_it_leaves_out_what_the_build_does_not_list() -> None:
    options = LaunchOptions(model="m", context=4096, gpu_layers=7, fit=False, metrics=True)
    assert build_argv("b", options, parse_help(HELP))[5:] == ["--ctx-size", "4096"]


def test_flash_attention_is_a_switch_for_builds_where_it_takes_no_word() -> None:
    old = EngineFlags(values={"--flash-attn": ""})
    assert build_argv("b", LaunchOptions("m", flash_attention="on"), old)[5:] == ["--flash-attn"]
    assert build_argv("b", LaunchOptions("m", flash_attention="auto"), old)[5:] == []
    new = parse_help(HELP)
    argv = build_argv("b", LaunchOptions("m", flash_attention="off"), new)
    assert argv[5:] == ["--flash-attn", "off"]


def test_a_draft_model_uses_the_names_of_the_build() -> None:
    options = LaunchOptions(
        "m", draft_model="d", draft_tokens=8, draft_gpu_layers=99, draft_device="CUDA0"
    )
    new = EngineFlags(
        values={
            "--spec-draft-model": "FNAME",
            "--model-draft": "FNAME",
            "--spec-type": "none,draft-simple",
            "--spec-draft-n-max": "N",
            "--spec-draft-ngl": "N",
            "--spec-draft-device": "<dev1,dev2,..>",
        }
    )
    assert build_argv("b", options, new)[5:] == [
        *("--spec-draft-model", "d", "--spec-type", "draft-simple", "--spec-draft-n-max", "8"),
        *("--spec-draft-ngl", "99", "--spec-draft-device", "CUDA0"),
    ]
    old = EngineFlags(
        values={"--model-draft": "FNAME", "--draft-max": "N", "--spec-type": "[none|ngram-cache]"}
    )
    assert build_argv("b", options, old)[5:] == ["--model-draft", "d", "--draft-max", "8"]


def test_jinja_is_switched_off_in_words() -> None:
    assert "--no-jinja" in build_argv("b", LaunchOptions("m", jinja=False), ANY_BUILD)
    assert "--jinja" in build_argv("b", LaunchOptions("m", jinja=True), ANY_BUILD)
    assert not {"--jinja", "--no-jinja"} & set(build_argv("b", LaunchOptions("m"), ANY_BUILD))


def test_a_template_is_a_name_or_a_file() -> None:
    named = build_argv("b", LaunchOptions("m", chat_template="chatml"), ANY_BUILD)
    assert named[-2:] == ["--chat-template", "chatml"]
    filed = build_argv("b", LaunchOptions("m", chat_template="/t/mine.jinja"), ANY_BUILD)
    assert filed[-2:] == ["--chat-template-file", "/t/mine.jinja"]


def test_it_reads_the_built_in_templates() -> None:
    help_text = """\
                                        list of built-in templates:
                                        chatml, llama3,
                                        mistral-v3-tekken, zephyr
                                        (env: LLAMA_ARG_CHAT_TEMPLATE)
"""
    assert parse_chat_templates(help_text) == ("chatml", "llama3", "mistral-v3-tekken", "zephyr")
    assert parse_chat_templates("nothing") == ()


def test_builds_without_load_modes_get_their_switches() -> None:
    old = EngineFlags({"--mlock": "", "--no-mmap": "", "--direct-io": ""})
    for mode, switches in (
        ("mlock", ["--no-mmap", "--mlock"]),
        ("mmap+mlock", ["--mlock"]),
        ("none", ["--no-mmap"]),
        ("dio", ["--direct-io"]),
        ("mmap", []),
    ):
        assert build_argv("b", LaunchOptions("m", load_mode=mode), old)[5:] == switches
    new = build_argv("b", LaunchOptions("m", load_mode="mlock"), ANY_BUILD)
    assert new[-2:] == ["--load-mode", "mlock"]


def test_further_arguments_come_last_so_that_they_win() -> None:
    options = LaunchOptions("m", context=4096, extra=("--ctx-size", "8192"))
    assert build_argv("b", options, ANY_BUILD)[-2:] == ["--ctx-size", "8192"]


def test_the_text_keeps_the_port_readable_and_survives_shlex() -> None:
    path = '/models/it\'s a "big" $one.gguf'
    argv = build_argv("/opt/my tools/llama-server", LaunchOptions(path, alias="a/b"), ANY_BUILD)
    text = command_line(argv)
    assert "--port ${PORT}" in text
    assert shlex.split(text) == argv
    assert text.splitlines()[0] == "'/opt/my tools/llama-server'"
    assert text.splitlines()[-1] == "--alias a/b"


def test_a_path_that_begins_with_a_hash_is_no_comment() -> None:
    text = command_line(build_argv("b", LaunchOptions("#1.gguf"), ANY_BUILD))
    assert not any(line.startswith("#") for line in text.splitlines())


def test_a_file_whose_name_looks_like_a_macro_stays_a_file() -> None:
    words = ["llama-server", "--port", "${PORT}", "--model", "/models/${HOME}/it's ${PORT}.gguf"]
    line = command_line(words)
    entry = ModelEntry("m", cmd=line)
    expanded = expand(entry, ConfigDocument(models={"m": entry}), 8100)
    assert list(expanded.argv) == [*words[:2], "8100", *words[3:]]
