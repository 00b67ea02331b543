"""PyYAML's parser and emitter: libyaml where it was built in, which is ten times as fast."""

from __future__ import annotations

try:
    from yaml import CSafeDumper as Dumper
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML was built without libyaml: slower, with the same result
    from yaml import SafeDumper as Dumper  # type: ignore[assignment]
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

__all__ = ["Dumper", "Loader"]
