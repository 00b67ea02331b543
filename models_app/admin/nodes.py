from __future__ import annotations

from typing import Any

from django.contrib import admin

from models_app import nodes
from models_app.admin.base import ReadOnlyAdmin
from models_app.models import GgufFile, ModelFolder, Node, ServedModel


class NodeAdmin(ReadOnlyAdmin[Node]):
    """All that share this database. What belongs to another one is counted here, and only here."""

    list_display = ("name", "this_one", "host", "seen_at", "folders", "files", "models")
    fields = list_display
    readonly_fields = ("this_one", "folders", "files", "models")

    @admin.display(description="this one", boolean=True)
    def this_one(self, node: Node) -> bool:
        return nodes.is_ours(node.name, nodes.this_node())

    @admin.display
    def folders(self, node: Node) -> int:
        return _count(ModelFolder, node)

    @admin.display
    def files(self, node: Node) -> int:
        return _count(GgufFile, node)

    @admin.display
    def models(self, node: Node) -> int:
        return _count(ServedModel, node)


def _count(model: Any, node: Node) -> int:
    return int(model.everywhere.filter(node=node.name).count())


admin.site.register(Node, NodeAdmin)
