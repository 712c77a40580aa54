"""In every service a feature is a folder, its layers point inward, and features make no circle."""

import pytest

from tests.architecture.features import (
    ModuleImport,
    circles,
    forbidden_imports,
    imports_of,
    misplaced_names,
)
from tests.architecture.project import is_migration, module_name, python_files, read

SERVICES = ("catalog", "host", "notify", "quality", "usage")
"""The services that are laid out in features."""


def _modules(service: str) -> dict[str, str]:
    """Return the modules of a service with their sources."""
    return {
        module_name(path): read(path)
        for path in python_files("services")
        if path.parts[1] == service and not is_migration(path)
    }


def _imports(service: str) -> list[ModuleImport]:
    return [
        statement for module, source in _modules(service).items() for statement in imports_of(module, source)
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_every_module_is_a_layer_of_a_feature(service: str) -> None:
    assert list(misplaced_names(_modules(service))) == []


@pytest.mark.parametrize("service", SERVICES)
def test_imports_point_inward(service: str) -> None:
    assert list(forbidden_imports(_imports(service))) == []


@pytest.mark.parametrize("service", SERVICES)
def test_features_make_no_circle(service: str) -> None:
    assert list(circles(_imports(service))) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("services.catalog.search.api", "from services.catalog.search.repository import SearchRepository"),
        ("services.catalog.search.pages", "import sqlalchemy"),
        ("services.catalog.search.pages.results", "from services.catalog.migrations.tables import DATASETS"),
        ("services.catalog.search.domain", "from services.catalog.search.commands import find"),
        (
            "services.catalog.search.reader",
            "from services.catalog.datasets.repository import DatasetRepository",
        ),
        ("services.catalog.search.commands", "from services.catalog.search.api import build"),
        ("services.host.operations.api", "from services.host.operations.pages import build"),
        ("services.host.demo.pages", "from services.host.operations.observed_log import ObservedLog"),
    ],
)
def test_an_import_that_points_outward_is_seen(module: str, source: str) -> None:
    assert len(list(forbidden_imports(imports_of(module, source)))) == 1


def test_an_import_that_points_inward_passes() -> None:
    source = (
        "from services.catalog.search.domain import Query\nfrom services.catalog.datasets.reader import find"
    )
    assert list(forbidden_imports(imports_of("services.catalog.search.pages", source))) == []


def test_a_module_that_is_no_layer_is_seen() -> None:
    modules = [
        "services.catalog.search.words",
        "services.catalog.search.tantivy.index",
        "services.catalog.ports",
        "services.catalog.search.installation",
        "services.host.operations.words",
        "services.host.operations.installation",
        "services.host.cli.harvest_progress",
    ]
    assert len(list(misplaced_names(modules))) == 4


def test_a_circle_is_seen() -> None:
    there = imports_of(
        "services.catalog.search.commands", "from services.catalog.datasets.reader import find"
    )
    back = imports_of("services.catalog.datasets.reader", "from services.catalog.search.domain import Query")
    assert len(list(circles([*there, *back]))) == 1
