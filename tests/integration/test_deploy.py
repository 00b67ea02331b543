"""What docker-compose.yml, the Dockerfile and deploy/ say, checked by their own tools."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from claracore_site import env
from models_app.engine_build import WHEEL_VERSION
from tests.server import ROOT

TOOLS = Path(sys.executable).parent
COMPOSE = ROOT / "docker-compose.yml"
WEB = ("web", "web-cuda", "web-vulkan", "web-rocm")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return value


def run(*words: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_is_one_by_the_schema() -> None:
    run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_the_dockerfile_has_nothing_to_complain_about() -> None:
    run(TOOLS / "hadolint", "--failure-threshold", "info", ROOT / "Dockerfile")


def test_the_alerts_fire_each_for_its_reason() -> None:
    run("promtool", "test", "rules", "tests/alerts.test.yml")


def test_the_systemd_unit_is_one(tmp_path: Path) -> None:
    unit = (ROOT / "deploy/systemd/claracore.service").read_text()
    # The one thing that is not on this machine: the checkout under /opt.
    here = tmp_path / "claracore.service"
    here.write_text(re.sub(r"/opt/claracore/\S*python", sys.executable, unit))
    run("systemd-analyze", "verify", here)


def test_each_profile_has_one_server_and_they_differ_only_in_their_engine(
    compose: dict[str, Any],
) -> None:
    services = compose["services"]
    assert [services[name]["profiles"] for name in WEB] == [["cpu"], ["cuda"], ["vulkan"], ["rocm"]]
    first = services["web"]
    for name in WEB[1:]:
        for key in ("command", "environment", "volumes", "healthcheck", "secrets", "ports"):
            assert services[name][key] == first[key]


def test_a_plain_up_starts_the_cpu_one_and_asks_for_a_password_and_a_folder_only() -> None:
    example = (ROOT / ".env.example").read_text()
    written = dict(line.split("=", 1) for line in example.splitlines() if re.match(r"[A-Z]", line))
    assert written == {
        "CLARACORE_MODELS": "",
        "COMPOSE_PROFILES": "cpu",
    }
    named = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE.read_text()))
    offered = set(re.findall(r"^#?([A-Z_]+)=", example, re.M))
    assert named - offered <= {"GRAFANA_PORT"}, "what can be set stands in the example"


def test_what_it_runs_can_be_run(compose: dict[str, Any]) -> None:
    """Every word of the commands is one that the programs know."""
    serve = compose["services"]["web"]["command"]
    assert serve[:3] == ["python", "manage.py", "serve"]
    told = subprocess.run(
        [sys.executable, "manage.py", "serve", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for flag in (word for word in serve if word.startswith("--")):
        assert flag in told
    worker = shlex.join(compose["services"]["worker"]["command"])
    # Without a list of queues a worker takes those that the settings name, its node's.
    assert "--queues" not in worker and "--app=claracore_site" in worker
    assert [queue.name for queue in settings.CELERY_TASK_QUEUES] == ["scans", "downloads"]


def test_its_variables_are_ones_that_are_read(compose: dict[str, Any]) -> None:
    names = {
        name for service in (*WEB, "worker") for name in compose["services"][service]["environment"]
    }
    assert names <= env.known()


def test_nothing_runs_as_root_or_can_become_it(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["restart"] == "unless-stopped", name
        if "image" in service and not service["image"].startswith(("claracore", "prom", "graf")):
            assert service["user"] in ("redis", "postgres")
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.M)
    for stage in stages[1:]:
        if "CMD" in stage:
            assert "USER 10001" in stage


def test_every_service_is_asked_for_its_health_and_has_a_limit(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["deploy"]["resources"]["limits"]["memory"], name


def test_the_engines_that_are_built_are_of_the_pinned_build() -> None:
    build = WHEEL_VERSION.split(".")[1]
    assert f"ARG LLAMA_TAG=b{build}" in (ROOT / "Dockerfile").read_text()


def test_grafana_finds_the_dashboard() -> None:
    told = yaml.safe_load((ROOT / "deploy/grafana/dashboards/claracore.yml").read_text())
    assert told["apiVersion"] == 1
    (provider,) = told["providers"]
    assert provider["name"] and provider["type"] == "file"
    folder = provider["options"]["path"]
    mounted = yaml.safe_load(COMPOSE.read_text())["services"]["grafana"]["volumes"]
    assert f"./docs/grafana-dashboard.json:{folder}/claracore.json:ro" in mounted
    assert json.loads((ROOT / "docs/grafana-dashboard.json").read_text())["uid"] == "claracore"


def test_the_dashboard_finds_what_it_asks(compose: dict[str, Any]) -> None:
    told = yaml.safe_load((ROOT / "deploy/grafana/datasources/claracore.yml").read_text())
    assert told["apiVersion"] == 1
    (source,) = told["datasources"]
    assert source["name"] and source["access"] == "proxy" and source["isDefault"] is True
    assert source["url"] == "http://prometheus:9090" and "prometheus" in compose["services"]
    # The dashboard lets people choose among the sources of this type, and begins with the first.
    dashboard = json.loads((ROOT / "docs/grafana-dashboard.json").read_text())
    (choice,) = dashboard["templating"]["list"]
    assert (choice["type"], choice["query"]) == ("datasource", source["type"])
    asked = {json.dumps(found) for found in _sources(dashboard)}
    wanted = {"type": source["type"], "uid": f"${{{choice['name']}}}"}
    assert asked <= {json.dumps(wanted), json.dumps({**wanted, "uid": source["uid"]})} and asked


def _sources(part: Any) -> Iterator[Any]:
    """Every data source that a part of a dashboard names."""
    if isinstance(part, dict):
        if "datasource" in part:
            yield part["datasource"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _sources(each)
