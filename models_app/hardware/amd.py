"""AMD GPUs through the kernel's own files, with names from rocm-smi where it is installed.

The memory files are described in the kernel's documentation, "Misc AMDGPU driver information".
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from models_app.hardware.run import output_of
from models_app.machine import Gpu

CARDS = Path("/sys/class/drm")

_VENDOR = "0x1002"
# Processors with graphics set aside this much RAM at most, unless told otherwise in the firmware.
_LARGEST_CARVE_OUT = 4 * 1024**3
_CARD = re.compile(r"card\d+")


def read() -> tuple[Gpu, ...]:
    """Every AMD GPU that Linux drives; none on other systems."""
    gpus = read_cards(CARDS)
    if not gpus:
        return ()
    text = output_of("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--json")
    return with_names(gpus, parse_rocm_smi(text))


def read_cards(folder: Path) -> tuple[Gpu, ...]:
    """The AMD cards below /sys/class/drm, in their order."""
    cards = [card for card in folder.glob("card*") if _CARD.fullmatch(card.name)]
    found = (_describe(card / "device") for card in sorted(cards, key=_number))
    return tuple(gpu for gpu in found if gpu)


def _number(card: Path) -> int:
    return int(card.name.removeprefix("card"))


def _describe(device: Path) -> Gpu | None:
    total = _bytes(device / "mem_info_vram_total")
    if _text(device / "vendor") != _VENDOR or not total:
        return None
    used = _bytes(device / "mem_info_vram_used") or 0
    shared = _bytes(device / "mem_info_gtt_total") or 0
    name = _text(device / "product_name") or f"AMD GPU {_text(device / 'device')}".rstrip()
    return Gpu(
        name=name,
        vendor="amd",
        total=total,
        free=max(0, total - used),
        integrated=total <= _LARGEST_CARVE_OUT and shared > total,
    )


def parse_rocm_smi(text: str) -> dict[int, str]:
    """Sizes of memory and the names of the cards that have it, from `--json` output."""
    try:
        cards = json.loads(text)
    except ValueError:
        return {}
    names = {}
    for card in cards.values() if isinstance(cards, dict) else ():
        if not isinstance(card, dict):
            continue
        # The key's spelling changed between releases.
        values = {key.lower(): str(value) for key, value in card.items()}
        total, name = values.get("vram total memory (b)", ""), values.get("card series", "")
        if total.isdigit() and name and name != "N/A":
            names[int(total)] = name
    return names


def with_names(gpus: tuple[Gpu, ...], names: dict[int, str]) -> tuple[Gpu, ...]:
    """The GPUs under their market names, told apart by their memory's size.

    The two lists number cards differently, so the order says nothing.
    """
    return tuple(replace(gpu, name=names.get(gpu.total, gpu.name)) for gpu in gpus)


def _bytes(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isdigit() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
