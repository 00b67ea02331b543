from __future__ import annotations

from proxy_app.models.usage import JournalMark, UsageDay, UsageHour, UsageRow

__all__ = ["JournalMark", "UsageDay", "UsageHour", "UsageRow"]
