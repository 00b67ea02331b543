"""What keeps browsers from making more of an answer than it is: the same with every one.

Django's answers get theirs from its middleware; these are for what it does not see.
"""

from __future__ import annotations

from typing import Final

NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
"""What a model wrote is never taken for a page or a script, whatever it looks like."""

NO_FRAME: Final = (b"x-frame-options", b"DENY")
"""No page of another site shows the answer as a part of its own."""
