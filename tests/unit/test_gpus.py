from __future__ import annotations

from pathlib import Path

from models_app.engine_help import EngineDevice, parse_devices
from models_app.hardware import GIB, Gpu, Ram, amd, apple, others

MIB = 1024**2

# Recorded by users; each is as it stands in the public thread, shortened to what matters here.
# https://github.com/marimo-team/marimo/issues/9237
ROCM_SMI = """{
  "card0": {
    "GPU use (%)": "0",
    "VRAM Total Memory (B)": "21458059264",
    "VRAM Total Used Memory (B)": "27856896",
    "Card Series": "Radeon RX 7900 XT",
    "Card Model": "0x744c",
    "Card Vendor": "Advanced Micro Devices, Inc. [AMD/ATI]",
    "GFX Version": "gfx1100"
  }
}"""
# https://github.com/timmo001/system-bridge/pull/3408
SYSTEM_PROFILER = """{
  "SPDisplaysDataType" : [
    {
      "_name" : "Apple M3 Pro",
      "spdisplays_mtlgpufamilysupport" : "spdisplays_metal3",
      "spdisplays_ndrvs" : [ { "_name" : "DELL U2722DE" } ]
    }
  ]
}"""
# https://github.com/ollama/ollama/issues/16508
TWO_CUDA_CARDS = """\
Available devices:
  CUDA0: NVIDIA GeForce RTX 3080 Ti (11909 MiB, 11650 MiB free)
  CUDA1: NVIDIA RTX PRO 4000 Blackwell SFF Edition (24026 MiB, 23795 MiB free)
ggml_cuda_init: found 2 CUDA devices (Total VRAM: 35936 MiB):
"""
# https://github.com/ggml-org/llama.cpp/issues/16659
VULKAN_CARD = """\
ggml_vulkan: Found 1 Vulkan devices:
ggml_vulkan: 0 = NVIDIA GeForce RTX 2060 (NVIDIA) | uma: 0 | fp16: 1 | bf16: 1 | warp size: 32
Available devices:
  Vulkan0: NVIDIA GeForce RTX 2060 (6144 MiB, 5136 MiB free)
"""
# https://github.com/ardanlabs/kronk/issues/10
METAL = """\
ggml_metal_device_init: GPU name:   Apple M4 Max
Available devices:
  Metal: Apple M4 Max (98304 MiB, 98303 MiB free)
  BLAS: Accelerate (0 MiB, 0 MiB free)
"""
# The first line is recorded (https://github.com/ikawrakow/ik_llama.cpp/issues/1289); the list below
# it is synthesised and was not seen on hardware.
INTEGRATED = """\
ggml_vulkan: 0 = Intel(R) Arc(TM) 140V GPU (16GB) (Intel Corporation) | uma: 1 | fp16: 1 | warp
Available devices:
  Vulkan0: Intel(R) Arc(TM) 140V GPU (16GB) (28672 MiB, 28104 MiB free)
"""


def make_card(folder: Path, name: str, **files: str | int) -> None:
    device = folder / name / "device"
    device.mkdir(parents=True)
    for file, text in files.items():
        (device / file).write_text(f"{text}\n")


def test_the_engine_names_each_cuda_card() -> None:
    first, second = parse_devices(TWO_CUDA_CARDS)
    assert (first.name, first.backend, first.total) == ("CUDA0", "cuda", 11909 * MIB)
    assert (second.description, second.free) == (
        *("NVIDIA RTX PRO 4000 Blackwell SFF Edition", 23795 * MIB),
    )


def test_a_card_with_memory_of_its_own_is_not_integrated() -> None:
    (card,) = parse_devices(VULKAN_CARD)
    assert not card.integrated


def test_unified_memory_is_told_from_the_backends_own_line() -> None:
    (card,) = parse_devices(INTEGRATED)
    assert card.integrated


def test_metal_is_integrated_and_its_math_library_is_no_device() -> None:
    (gpu,) = parse_devices(METAL)
    assert (gpu.backend, gpu.integrated) == ("metal", True)


def test_amd_cards_are_read_from_the_kernels_files(tmp_path: Path) -> None:
    # Layout as in the kernel's documentation; the numbers are synthesised.
    make_card(tmp_path, "card1", vendor="0x8086", mem_info_vram_total=GIB)
    make_card(
        tmp_path,
        "card10",
        vendor="0x1002",
        device="0x164e",
        mem_info_vram_total=512 * MIB,
        mem_info_vram_used=26 * MIB,
        mem_info_gtt_total=16 * GIB,
    )
    make_card(
        tmp_path,
        "card2",
        vendor="0x1002",
        product_name="Radeon PRO W7900",
        mem_info_vram_total=48 * GIB,
        mem_info_vram_used=GIB,
        mem_info_gtt_total=32 * GIB,
    )
    (tmp_path / "card2-DP-1").mkdir()
    big, small = amd.read_cards(tmp_path)
    assert big == Gpu("Radeon PRO W7900", "amd", 48 * GIB, 47 * GIB)
    assert (small.name, small.integrated) == ("AMD GPU 0x164e", True)


def test_a_machine_without_amd_cards_has_none(tmp_path: Path) -> None:
    assert amd.read_cards(tmp_path / "none") == ()


def test_rocm_smi_gives_amd_cards_their_names() -> None:
    names = amd.parse_rocm_smi(ROCM_SMI)
    unnamed = (Gpu("AMD GPU 0x744c", "amd", 21458059264), Gpu("AMD GPU 0x1", "amd", 5))
    assert [gpu.name for gpu in amd.with_names(unnamed, names)] == [
        *("Radeon RX 7900 XT", "AMD GPU 0x1")
    ]


def test_rocm_smi_that_prints_anything_else_is_ignored() -> None:
    for text in ("", "ERROR: no GPU", "[]", '{"card0": "N/A"}', '{"card0": {"Card series": "x"}}'):
        assert amd.parse_rocm_smi(text) == {}


def test_an_apple_gpu_may_use_most_of_the_memory() -> None:
    (gpu,) = apple.parse(SYSTEM_PROFILER, Ram(total=36 * GIB, available=20 * GIB))
    assert (gpu.name, gpu.vendor, gpu.integrated) == ("Apple M3 Pro", "apple", True)
    assert (gpu.total, gpu.free) == (27 * GIB, 20 * GIB)
    assert apple.working_set(16 * GIB) == 16 * GIB * 2 // 3


def test_other_output_names_no_apple_gpu() -> None:
    ram = Ram(16 * GIB, 8 * GIB)
    for text in ("", "{}", '{"SPDisplaysDataType": [{"_name": "AMD Radeon Pro 560X"}]}'):
        assert apple.parse(text, ram) == ()


def test_gpus_without_a_reader_come_from_the_engine() -> None:
    (gpu,) = others.read(parse_devices(INTEGRATED), ())
    assert (gpu.vendor, gpu.integrated) == ("intel", True)
    known = (Gpu("NVIDIA GeForce RTX 2060", "nvidia", 6144 * MIB),)
    assert others.read(parse_devices(VULKAN_CARD), known) == ()
    software = EngineDevice("Vulkan0", "llvmpipe (LLVM 15)", 1, 1)
    assert others.read((software,), ()) == ()
    assert others.vendor_of("Moore Threads MTT S80") == "unknown"
