"""Long trials; `make chaos` and `make campaigns` run them."""

from __future__ import annotations
