"""The house rules that no linter knows, as pure functions: a file's text in, findings out.

Each finding is ``line: what is wrong, and what to do``. tests/architecture/test_tidy.py runs them over the
project, and over planted violations.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500
BANNED_MODULES = frozenset({"utils", "util", "helpers", "helper", "common", "misc"})
LOOKUPS = frozenset({"TOPICS", "GROUPS", "topic_named"})
PROMISE_HEADINGS = ("Consumes", "Emits", "Stores", "Promise")

_DEFECTS = frozenset(
    {
        "AttributeError",
        "BaseException",
        "Exception",
        "IndexError",
        "KeyError",
        "LookupError",
        "TypeError",
        "ValueError",
    }
)

_BANNED_WORDS = {
    "TODO": "do it, or open an issue",
    "FIXME": "mend it",
    "XXX": "say what is meant",
    "NotImplementedError": "write it, or leave it out",
}
_HOSTS_OF_REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(org|com)|registry\.yarnpkg|crates\.io|proxy\.golang\.org"
    r"|repo1?\.maven|deb\.debian\.org|index\.docker\.io"
)
_PATHS_OF_MACHINES = re.compile(r"(?<![\w./:-])/(work|root|Users/\w+|home/\w+)/")
_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{36}|\bxox[abp]-\w{10}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"
)


def long_functions(source: str) -> Iterator[str]:
    """Find functions above 70 lines, signature and docstring included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.lineno}: {node.name} has {lines} lines; split it into parts of at most 70"


def long_file(source: str) -> Iterator[str]:
    """Find a file above 500 lines."""
    lines = source.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{lines}: the file has {lines} lines; split it by what its parts do, at most 500"


def swallowed_defects(source: str) -> Iterator[str]:
    """Find handlers that take a defect for an answer: of a bare ``ValueError`` and its like.

    What a rule refuses is a ``DomainError``; everything else is a defect and has to become a logged 500.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            caught = sorted(_caught(node) & _DEFECTS) or ["everything"] * (node.type is None)
            if caught:
                yield f"{node.lineno}: catches {', '.join(caught)}; raise a DomainError where the rule stands"


def _caught(handler: ast.ExceptHandler) -> set[str]:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {kind.id for kind in kinds if isinstance(kind, ast.Name)}


def banned_name(path: Path) -> Iterator[str]:
    """Find modules and folders whose name says nothing."""
    for part in path.with_suffix("").parts:
        if part in BANNED_MODULES:
            yield f"1: {path} is called {part}; name it for what it does"


def banned_words(source: str) -> Iterator[str]:
    """Find words that mark unfinished work."""
    for number, line in enumerate(source.splitlines(), start=1):
        for word, cure in _BANNED_WORDS.items():
            if re.search(rf"\b{word}\b", line):
                yield f"{number}: {word}; {cure}"


def topics_written_elsewhere(source: str, names: Collection[str]) -> Iterator[str]:
    """Find names of topics and groups as strings, unless looked up at once: ``TOPICS["usage.hits"]``."""
    tree = ast.parse(source)
    looked_up = set(_looked_up(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or node in looked_up:
            continue
        if node.value in names:
            yield f'{node.lineno}: "{node.value}" stands in shared/events/topics.py; look it up there'


def _looked_up(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _name(node.value) in LOOKUPS:
            yield node.slice
        elif isinstance(node, ast.Call) and _name(node.func) in LOOKUPS:
            yield from node.args


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def unknown_lookups(source: str, names: Collection[str]) -> Iterator[str]:
    """Find look-ups of topics and groups that do not exist: they would fail only when they run."""
    for node in _looked_up(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            base = node.value.removesuffix(".dlq")
            if base not in names:
                yield f'{node.lineno}: no topic or group is called "{node.value}"'


def revealing_texts(text: str) -> Iterator[str]:
    """Find addresses of package registries, paths of one machine, and secrets."""
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _HOSTS_OF_REGISTRIES.search(line):
            yield f"{number}: {match[0]} is a registry's address; leave it to the client's settings"
        if match := _PATHS_OF_MACHINES.search(line):
            yield f"{number}: {match[0]} exists on one machine; make it relative, or a setting"
        if _SECRETS.search(line):
            yield f"{number}: this looks like a secret; take it away, and revoke it"


def imported_modules(name: str, source: str, *, is_package: bool) -> set[str]:
    """Return the modules that a module may import, relative ones made absolute; names of members too."""
    found: set[str] = set()
    package = name if is_package else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def dead_modules(sources: Mapping[str, str], packages: Collection[str], roots: Collection[str]) -> list[str]:
    """Return the modules that nothing imports, neither directly nor by a chain that starts at a root.

    ``sources`` maps module names to texts. A package counts as alive: importing its part imports it.
    """
    alive: set[str] = set()
    waiting = [name for name in roots if name in sources]
    while waiting:
        name = waiting.pop()
        if name in alive:
            continue
        alive.add(name)
        parents = [".".join(name.split(".")[:length]) for length in range(1, name.count(".") + 1)]
        used = imported_modules(name, sources[name], is_package=name in packages)
        waiting += [other for other in {*used, *parents} if other in sources]
    return sorted(name for name in sources if name not in alive and name not in packages)


def unmentioned_assets(assets: Iterable[Path], texts: Iterable[str]) -> list[Path]:
    """Return the templates, styles, scripts and pictures whose name stands in no text."""
    everything = "\n".join(texts)
    return [path for path in assets if path.name not in everything]


def missing_promises(docstring: str, consumed: Collection[str], emitted: Collection[str]) -> Iterator[str]:
    """Find what a service's docstring leaves out of *Consumes, Emits, Stores, Promise*, in this order."""
    places = [docstring.find(f"{heading}:") for heading in PROMISE_HEADINGS]
    for heading, place in zip(PROMISE_HEADINGS, places, strict=True):
        if place < 0:
            yield f'1: the docstring lacks a part that begins with "{heading}:"'
    if min(places) < 0:
        return
    if any(one > other for one, other in pairwise(places)):
        yield f"1: the docstring's parts stand in the order {', '.join(PROMISE_HEADINGS)}"
        return
    consumes, emits = docstring[places[0] : places[1]], docstring[places[1] : places[2]]
    for part, heading, topics in ((consumes, "Consumes", consumed), (emits, "Emits", emitted)):
        for topic in sorted(topics):
            if topic not in part:
                yield f'1: "{heading}:" does not name the topic {topic}'
