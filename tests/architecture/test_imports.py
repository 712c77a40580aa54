"""The import contracts of ``.importlinter`` hold, and each of them would notice a break."""

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.project import PROJECT_ROOT

CONFIGURATION = PROJECT_ROOT / ".importlinter"
SERVICES = ["catalog", "governance", "notify", "quality", "usage"]
SHARED = [
    "allocator",
    "bounded_json",
    "clock",
    "consuming",
    "datasets",
    "errors",
    "event_loop",
    "events",
    "gc_tuning",
    "http",
    "identity",
    "jobs",
    "log",
    "outbox",
    "process",
    "store",
    "telemetry",
    "web",
]

BREAKS = {
    "services-independent": ("services/governance/handlers.py", "import services.usage"),
    "shared-is-bottom": ("shared/log/__init__.py", "import services.usage"),
    "service-layers": ("services/governance/ports.py", "import services.governance.handlers"),
    "host-layers": ("services/host/operations/__init__.py", "import services.host.cli"),
    "shared-layers": ("shared/store/__init__.py", "import shared.http"),
    "pure-domain": ("services/usage/domain/counts.py", "import sqlalchemy"),
    "deterministic-domain": ("services/usage/domain/chance.py", "import random"),
    "technology-free-decisions": ("services/quality/handlers.py", "import httpx"),
    "pure-events": ("shared/events/__init__.py", "import starlette"),
}


def _contracts() -> dict[str, str]:
    """Return each contract's id with its name."""
    configuration = configparser.ConfigParser()
    configuration.read(CONFIGURATION)
    prefix = "importlinter:contract:"
    return {
        section.removeprefix(prefix): configuration[section]["name"]
        for section in configuration.sections()
        if section.startswith(prefix)
    }


def _lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).parent / "lint-imports"),
        "--no-cache",
        "--config",
        str(CONFIGURATION),
    ]
    return subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


def _plant(root: Path) -> None:
    """Lay out an empty project: every service and every shared package, importing nothing."""
    folders = [root / "services" / name / "domain" for name in SERVICES] + [
        root / "services" / "host" / name for name in ("cli", "operations")
    ]
    folders += [root / "shared" / name for name in SHARED]
    for folder in folders:
        folder.mkdir(parents=True)
        for package in (folder, folder.parent):
            (package / "__init__.py").touch()
    (root / "services" / "__init__.py").touch()


def test_every_import_contract_is_kept() -> None:
    result = _lint(PROJECT_ROOT)
    assert result.returncode == 0, result.stdout


def test_an_empty_project_breaks_no_contract(tmp_path: Path) -> None:
    _plant(tmp_path)
    result = _lint(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def findings_on_a_broken_project(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("broken")
    _plant(root)
    for path, line in BREAKS.values():
        with (root / path).open("a") as module:
            module.write(f"{line}\n")
    return _lint(root).stdout


@pytest.mark.parametrize("contract", _contracts())
def test_a_break_of_the_contract_is_noticed(contract: str, findings_on_a_broken_project: str) -> None:
    assert f"{_contracts()[contract]} BROKEN" in findings_on_a_broken_project


def test_a_module_without_a_place_is_noticed(tmp_path: Path) -> None:
    _plant(tmp_path)
    (tmp_path / "services" / "governance" / "utils.py").touch()
    result = _lint(tmp_path)
    assert result.returncode == 1
    assert "services.governance.utils" in result.stdout
