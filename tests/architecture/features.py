"""A feature is a folder: which files it may have, and who inside it may import whom.

Pure functions: modules and their imports in, findings out. test_features.py runs them over the services, and
over planted violations.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

TOP_FILES = frozenset({"__init__", "bootstrap", "handlers", "settings"})
TOP_FOLDERS = frozenset({"entrypoints", "migrations"})
LAYERS = ("domain", "repository", "reader", "commands", "api", "pages")
TECHNOLOGIES = frozenset(
    {"duckdb", "elasticsearch", "faust", "files", "http", "maildir", "postgresql", "smtp", "tantivy"}
)
"""The adapters of a port are named for what they speak to."""

HOST_LAYERS = frozenset({"cluster", "installation", "observed_log"})
"""What the host's features have beside the layers: a port, one of its implementations, what it watches."""
SUBJECT_FEATURES = frozenset({"backup", "cli", "demo", "sample", "transfer"})
"""Features of the host without rows or units of work: their modules are named for their subjects."""

_MAY_IMPORT = {
    "domain": {"domain"},
    "repository": {"domain", "repository"},
    "reader": {"domain", "repository", "reader"},
    "commands": {"domain", "repository", "reader", "commands"},
    "api": {"domain", "reader", "commands", "api"},
    "pages": {"domain", "reader", "commands", "pages"},
}
"""What a layer may import inside its own feature."""
_ACROSS = frozenset({"domain", "commands", "reader"})
"""What one feature may import of another."""
_NEVER_IN_HTTP = ("sqlalchemy", "shared.outbox", "shared.consuming", "shared.log")


@dataclass(frozen=True, slots=True)
class ModuleImport:
    """``module`` imports ``imported``, both dotted names, in this line."""

    module: str
    imported: str
    line: int


@dataclass(frozen=True, slots=True)
class FeaturePlace:
    """Where a module of a service stands: ``services.catalog.search.api`` is feature search, layer api."""

    service: str
    feature: str
    layer: str


def feature_place(module: str) -> FeaturePlace | None:
    """Return the place of a module inside a feature; ``None`` for what stands at the top of a service."""
    parts = module.split(".")
    if len(parts) < 3 or parts[0] != "services" or parts[2] in TOP_FILES | TOP_FOLDERS:
        return None
    return FeaturePlace(parts[1], parts[2], parts[3] if len(parts) > 3 else "")


def imports_of(module: str, source: str) -> Iterator[ModuleImport]:
    """Yield every import of a module, those inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield ModuleImport(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield ModuleImport(module, f"{node.module}.{alias.name}", node.lineno)


def misplaced_names(modules: Iterable[str]) -> Iterator[str]:
    """Find modules with a name that is no layer, no technology and no file of the top of a service."""
    for module in modules:
        parts = module.split(".")
        if len(parts) == 2:
            continue
        place = feature_place(module)
        if len(parts) == 3 and parts[2] == "ports":
            yield f"{module}: what a feature needs stands in the feature that owns it"
        elif place is not None and place.layer not in _names_in(place):
            yield f"{module}: a feature has {', '.join(LAYERS)} or a technology, and no {place.layer}"


def _names_in(place: FeaturePlace) -> frozenset[str]:
    """Return the names that modules of this feature may have."""
    names = frozenset({"", *LAYERS, *TECHNOLOGIES})
    if place.service != "host":
        return names
    return names | {place.layer} if place.feature in SUBJECT_FEATURES else names | HOST_LAYERS


def _shows_itself(target: FeaturePlace) -> bool:
    """Whether other features may import any module of this one: import-linter's host-layers has the order."""
    return target.service == "host" and target.feature in SUBJECT_FEATURES


def forbidden_imports(imports: Iterable[ModuleImport]) -> Iterator[str]:
    """Find imports that do not point inward: see ``_MAY_IMPORT`` and ``_ACROSS``."""
    for statement in imports:
        place = feature_place(statement.module)
        if place is None or place.layer not in _MAY_IMPORT:
            continue
        where = f"{statement.module}:{statement.line} imports {statement.imported}"
        tables = f"services.{place.service}.migrations"
        if place.layer in {"api", "pages"} and statement.imported.startswith((*_NEVER_IN_HTTP, tables)):
            yield f"{where}: pages and API ask a reader, or give a command"
        target = feature_place(statement.imported)
        if target is None or target.service != place.service:
            continue
        if target.feature == place.feature:
            if target.layer in LAYERS and target.layer not in _MAY_IMPORT[place.layer]:
                yield f"{where}: imports inside a feature point inward"
        elif target.layer not in _ACROSS and not _shows_itself(target):
            yield f"{where}: features know each other by commands, reader and domain only"


def circles(imports: Iterable[ModuleImport]) -> Iterator[str]:
    """Find features of one service that import each other in a circle."""
    graph: dict[str, set[str]] = {}
    for statement in imports:
        place, target = feature_place(statement.module), feature_place(statement.imported)
        if place and target and place.service == target.service and place.feature != target.feature:
            graph.setdefault(f"{place.service}.{place.feature}", set()).add(
                f"{target.service}.{target.feature}"
            )
    yield from _circle(graph)


def _circle(graph: Mapping[str, set[str]]) -> Iterator[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "circle: " + " → ".join(reversed(error.args[1]))
