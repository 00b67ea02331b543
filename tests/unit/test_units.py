from __future__ import annotations

import pytest

from models_app.units import binary_size, short_count


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (265_289_728, "253.0 MiB"),
        (1024**3 - 1, "1.0 GiB"),
        (17 * 1024**3, "17.0 GiB"),
        (5000 * 1024**5, "5000.0 PiB"),
    ],
)
def test_sizes_are_told_in_binary_units(count: int, text: str) -> None:
    assert binary_size(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1K"),
        (268_098_176, "268M"),
        (999_700_000, "1B"),
        (3_212_749_888, "3.2B"),
        (8_030_261_312, "8B"),
        (30_532_122_624, "30.5B"),
        (671_026_419_200, "671B"),
    ],
)
def test_counts_are_told_as_model_names_have_them(count: int, text: str) -> None:
    assert short_count(count) == text
