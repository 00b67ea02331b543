"""Long trials of the whole server; `make chaos` runs them."""

from __future__ import annotations
