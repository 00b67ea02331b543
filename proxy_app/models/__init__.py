from __future__ import annotations

from proxy_app.models.usage import JournalMark, UsageCount, UsageDay, UsageHour, UsageRow

__all__ = ["JournalMark", "UsageCount", "UsageDay", "UsageHour", "UsageRow"]
