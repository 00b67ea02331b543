"""Which loaded models have to go before another can be loaded (pure).

A group has three switches:

* `swap`: one member at a time; loading one unloads the others of the group.
* `exclusive`: loading a member unloads the members of every other group ...
* `persistent`: ... except those of groups with this switch.

Loading a member of a group that is not exclusive unloads nobody outside the group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Group:
    """A group's switches."""

    name: str
    swap: bool = True
    exclusive: bool = True
    persistent: bool = False


PINNED = Group("(pinned)", swap=False, exclusive=False, persistent=True)
"""Whatever group a pinned model is in: it stays beside everybody, and makes nobody leave."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Which group each model belongs to; a model that is not listed is in the default group."""

    default: Group = Group("(default)")
    of_model: Mapping[str, Group] = field(default_factory=dict)

    def group(self, model: str) -> Group:
        return self.of_model.get(model, self.default)


def must_leave(target: str, loaded: Iterable[str], groups: Groups) -> frozenset[str]:
    """The models of `loaded` that cannot stay when `target` is loaded."""
    own = groups.group(target)
    return frozenset(
        model for model in loaded if model != target and _conflicts(own, groups.group(model))
    )


def exclude_each_other(one: Group, other: Group) -> bool:
    """Whether loading a member of either group, whichever comes second, unloads the first."""
    return _conflicts(one, other) or _conflicts(other, one)


def _conflicts(own: Group, other: Group) -> bool:
    if other.name == own.name:
        return own.swap or other.swap
    return own.exclusive and not other.persistent
