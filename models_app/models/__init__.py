from __future__ import annotations

from models_app.models.api_keys import ApiKey
from models_app.models.audit import AuditEntry
from models_app.models.engine_build import EngineBuild
from models_app.models.engine_install import EngineInstall
from models_app.models.files import GgufFile
from models_app.models.folders import ModelFolder
from models_app.models.groups import ModelGroup
from models_app.models.limited import PersonLimits
from models_app.models.loads import LoadRecord
from models_app.models.machine import MachineReport
from models_app.models.nodes import Node, OnNode
from models_app.models.revisions import (
    ChangeClock,
    ChangeNote,
    ConfigFile,
    KeptSecret,
    Revision,
)
from models_app.models.scans import ScanRun
from models_app.models.served import ModelAlias, ServedModel, elsewhere
from models_app.models.settings import ServerSettings
from models_app.models.virtual import VirtualModel

__all__ = [
    "ApiKey",
    "AuditEntry",
    "ChangeClock",
    "ChangeNote",
    "ConfigFile",
    "EngineBuild",
    "EngineInstall",
    "GgufFile",
    "KeptSecret",
    "LoadRecord",
    "MachineReport",
    "ModelAlias",
    "ModelFolder",
    "ModelGroup",
    "Node",
    "OnNode",
    "PersonLimits",
    "Revision",
    "ScanRun",
    "ServedModel",
    "ServerSettings",
    "VirtualModel",
    "elsewhere",
]
