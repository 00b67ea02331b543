"""Models whose file is gone, and models that share one."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app import changing, cleaning
from models_app.access import needs
from models_app.api.bodies import dry_run_of
from models_app.api.schema import DRY_RUN, Effect, described
from models_app.rights import Scope


class ModelsValidated(Effect):
    status = serializers.CharField()
    removedModels = serializers.ListField(
        child=serializers.CharField(), help_text="id (path of the file that is gone)"
    )
    message = serializers.CharField()
    unreachableFolders = serializers.ListField(
        child=serializers.CharField(),
        help_text="Tracked folders that are not there at all now; their models stay.",
    )


class CleanedUp(Effect):
    message = serializers.CharField()
    duplicatesRemoved = serializers.IntegerField()
    removedModels = serializers.ListField(child=serializers.CharField())
    keptModels = serializers.ListField(child=serializers.CharField())


@needs(Scope.MANAGE)
class ValidateModels(APIView):
    """/api/config/validate-models"""

    @described(
        "validate_models",
        "Remove models whose file is gone",
        tag="config",
        answers=ModelsValidated,
        errors=(400,),
        query=[DRY_RUN],
    )
    def post(self, request: Request) -> Response:
        changed = changing.change(
            cleaning.remove_missing, "files validated", dry_run=dry_run_of(request)
        )
        removed = [f"{model} ({path})" for model, path in changed.result.removed]
        return Response(
            {
                "status": "Config validation completed",
                "removedModels": removed,
                "message": f"Removed {len(removed)} missing models from config",
                "unreachableFolders": list(changed.result.unreachable),
                **changed.told(),
            }
        )


@needs(Scope.MANAGE)
class CleanUpDuplicates(APIView):
    """/api/config/cleanup-duplicates"""

    @described(
        "cleanup_duplicates",
        "Keep one of the models that share a file",
        tag="config",
        answers=CleanedUp,
        errors=(400,),
        query=[DRY_RUN],
        about="Of models that are served from the same file the oldest is kept.",
    )
    def post(self, request: Request) -> Response:
        changed = changing.change(
            cleaning.remove_duplicates, "duplicates removed", dry_run=dry_run_of(request)
        )
        found = changed.result
        count = len(found.removed)
        return Response(
            {
                "message": f"Cleanup completed. Removed {count} duplicate models.",
                "duplicatesRemoved": count,
                "removedModels": list(found.removed),
                "keptModels": list(found.kept),
                **changed.told(),
            }
        )
