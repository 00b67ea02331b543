from __future__ import annotations

from proxy_app.models.usage import SpoolMark, UsageDay, UsageHour, UsageRow

__all__ = ["SpoolMark", "UsageDay", "UsageHour", "UsageRow"]
