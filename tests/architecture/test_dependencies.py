"""What the code imports is declared, what is declared is used, and what is declared is locked with hashes."""

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.project import CODE, is_migration, module_name, python_files, read
from tests.architecture.tidy import imported_modules

PROJECT = tomllib.loads(read(Path("pyproject.toml")))["project"]


def _declared(lines: Iterable[str]) -> dict[str, Requirement]:
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


RUNTIME = _declared(PROJECT["dependencies"])
CLUSTER = _declared(PROJECT["optional-dependencies"]["cluster"])
DEVELOPMENT = _declared(PROJECT["optional-dependencies"]["dev"])
USED_WITHOUT_AN_IMPORT = {
    "asyncpg": "SQLAlchemy's driver of PostgreSQL, named in the database's address",
    "aiosqlite": "SQLAlchemy's driver, named in the database's address",
    "greenlet": "SQLAlchemy's asyncio needs it, and does not install it everywhere",
    "httptools": "uvicorn's parser, chosen when it is there",
    "python-multipart": "FastAPI reads forms with it",
}
FOR_DEVELOPERS_ONLY = {"shared.events.asyncapi", "shared.events.contracts"}
"""Modules that only `make schemas` and the tests import; they may use the development requirements."""

LOCKS = {
    "requirements.txt": RUNTIME,
    "requirements-cluster.txt": {**RUNTIME, **CLUSTER},
    "requirements-dev.txt": {**RUNTIME, **CLUSTER, **DEVELOPMENT},
}


def imported_distributions(name: str, source: str) -> set[str]:
    """Return the distributions that a module imports from, ours and Python's own left out."""
    tops = {module.partition(".")[0] for module in imported_modules(name, source, is_package=False)}
    tops -= {*sys.stdlib_module_names, *CODE, ""}
    return {canonicalize_name(installed_packages().get(top, [top])[0]) for top in tops}


@cache
def installed_packages() -> Mapping[str, list[str]]:
    """Return the distributions that each importable package comes from; slow, so asked once."""
    return packages_distributions()


def locked(name: str) -> dict[str, set[str]]:
    """Return the locked versions of each distribution; more than one where markers tell them apart."""
    versions: dict[str, set[str]] = {}
    for distribution, version in re.findall(
        r"^([A-Za-z0-9._-]+)==(\S+)", read(Path("requirements") / name), re.MULTILINE
    ):
        versions.setdefault(canonicalize_name(distribution), set()).add(version)
    return versions


def test_what_the_code_imports_is_declared() -> None:
    undeclared = {}
    for path in python_files(*CODE):
        name = module_name(path)
        allowed = (
            RUNTIME.keys() | CLUSTER.keys() | (DEVELOPMENT.keys() if name in FOR_DEVELOPERS_ONLY else set())
        )
        if missing := imported_distributions(name, read(path)) - allowed:
            undeclared[name] = missing
    assert undeclared == {}


@pytest.mark.parametrize("declared", [RUNTIME, CLUSTER], ids=["runtime", "cluster"])
def test_what_is_declared_is_used(declared: Mapping[str, Requirement]) -> None:
    used = {
        one for path in python_files(*CODE) for one in imported_distributions(module_name(path), read(path))
    }
    assert declared.keys() - used - USED_WITHOUT_AN_IMPORT.keys() == set()


def test_the_async_client_of_elasticsearch_comes_with_its_transport() -> None:
    assert CLUSTER["elasticsearch"].extras == {"async"}
    assert "aiohttp" in locked("requirements-cluster.txt")


def test_an_import_is_traced_to_its_distribution() -> None:
    source = "import os\nimport yaml\nfrom jwt import decode\nfrom shared import clock\n"
    assert imported_distributions("shared.planted", source) == {"pyyaml", "pyjwt"}


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_holds_what_is_declared(lock: str) -> None:
    versions = locked(lock)
    unmet = [
        str(requirement)
        for name, requirement in LOCKS[lock].items()
        if not any(requirement.specifier.contains(version) for version in versions.get(name, ()))
    ]
    assert unmet == [], "run: make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes_and_none_has_an_address(lock: str) -> None:
    text = read(Path("requirements") / lock)
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 20
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|--index-url|--find-links|^-e |@ ", text, flags=re.MULTILINE) == []


@pytest.mark.parametrize(("inner", "outer"), list(pairwise(LOCKS)))
def test_the_locks_agree(inner: str, outer: str) -> None:
    less, more = locked(inner), locked(outer)
    assert {name: versions for name, versions in less.items() if more.get(name) != versions} == {}


def test_the_build_backend_is_locked_so_that_the_install_downloads_nothing_else() -> None:
    build = tomllib.loads(read(Path("pyproject.toml")))["build-system"]["requires"]
    assert {Requirement(line).name for line in build} <= locked("requirements.txt").keys()


def test_no_module_of_a_developer_is_imported_by_the_product() -> None:
    importers = [
        module_name(path)
        for path in python_files(*CODE)
        if module_name(path) not in FOR_DEVELOPERS_ONLY
        and not is_migration(path)
        and imported_modules(module_name(path), read(path), is_package=path.name == "__init__.py")
        & FOR_DEVELOPERS_ONLY
    ]
    assert importers == []
