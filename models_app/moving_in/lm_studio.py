"""LM Studio's folder of models: GGUF files in folders of publishers, tracked where they lie."""

from __future__ import annotations

from pathlib import Path

from models_app.moving_in.report import CannotMoveIn, Report
from models_app.moving_in.tracking import Show, track


def places() -> list[Path]:
    """Where LM Studio keeps models, newest habit first."""
    home = Path.home()
    return [home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"]


def take(folder: Path, show: Show) -> Report:
    """Track the folder. Raises CannotMoveIn when it holds no GGUF file."""
    if next(folder.rglob("*.gguf"), None) is None:
        raise CannotMoveIn(f"{folder} holds no GGUF file.")
    report = Report()
    track({str(folder): True}, report, show)
    report.notes.append(
        "Settings of single models in LM Studio were not taken; here they are chosen for this "
        "machine."
    )
    return report
