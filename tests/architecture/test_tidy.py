"""The house rules hold everywhere, and each check finds what it is for."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.events.topics import GROUPS, TOPICS
from tests.architecture import tidy
from tests.architecture.project import (
    CODE,
    EVENT_SERVICES,
    PROJECT_ROOT,
    is_migration,
    module_name,
    project_files,
    python_files,
    read,
)

# Revisions are written by Alembic and never changed.
PYTHON = [path for path in python_files(*CODE, "tests") if not is_migration(path)]
NAMES = {*TOPICS, *GROUPS}
NAMES_ARE_WRITTEN_IN = {Path("shared/events/topics.py"), Path("shared/events/registry.py")}
ASSET_SUFFIXES = {".html", ".css", ".js", ".svg", ".png", ".ico"}


def _findings(paths: list[Path], check: Callable[[str], Iterator[str]]) -> list[str]:
    return [f"{path}:{finding}" for path in paths for finding in check(read(path))]


# --- the project ---------------------------------------------------------------------------------------


def test_functions_are_short() -> None:
    assert _findings(PYTHON, tidy.long_functions) == []


def test_files_are_short() -> None:
    assert _findings(PYTHON, tidy.long_file) == []


def test_every_module_is_named_for_what_it_does() -> None:
    assert [finding for path in PYTHON for finding in tidy.banned_name(path)] == []


def test_every_class_has_a_name_of_its_own() -> None:
    defined: dict[str, list[str]] = {}
    for path in python_files(*CODE):
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.ClassDef):
                defined.setdefault(node.name, []).append(str(path))
    assert {name: paths for name, paths in defined.items() if len(paths) > 1} == {}


def test_nothing_is_left_unfinished() -> None:
    checks = {Path("tests/architecture/tidy.py"), Path("tests/architecture/test_tidy.py")}
    assert _findings([path for path in PYTHON if path not in checks], tidy.banned_words) == []


def test_topics_and_groups_are_written_in_one_place() -> None:
    paths = [path for path in python_files(*CODE) if path not in NAMES_ARE_WRITTEN_IN]
    assert _findings(paths, lambda source: tidy.topics_written_elsewhere(source, NAMES)) == []


def test_every_topic_and_group_that_is_looked_up_exists() -> None:
    assert _findings(python_files(*CODE), lambda source: tidy.unknown_lookups(source, NAMES)) == []


def test_no_file_tells_of_a_registry_a_machine_or_a_secret() -> None:
    assert _findings(list(project_files()), tidy.revealing_texts) == []


def test_no_module_is_dead() -> None:
    paths = [path for path in python_files(*CODE) if not is_migration(path)]
    sources = {module_name(path): read(path) for path in paths}
    packages = {module_name(path) for path in paths if path.name == "__init__.py"}
    assert tidy.dead_modules(sources, packages, _roots(sources)) == []


def test_no_template_or_picture_is_dead() -> None:
    assets = [path for path in project_files() if path.suffix in ASSET_SUFFIXES and path.parts[0] in CODE]
    sources = [path for path in project_files() if path.suffix in {".py", ".html", ".css", ".js"}]
    texts = [read(path) for path in sources if path.parts[0] in CODE]
    assert tidy.unmentioned_assets(assets, texts) == []


@pytest.mark.parametrize("service", EVENT_SERVICES)
def test_a_service_says_what_it_consumes_emits_stores_and_promises(service: str) -> None:
    docstring = ast.get_docstring(ast.parse(read(Path(f"services/{service}/__init__.py")))) or ""
    consumed = {topic for group in GROUPS.values() if group.service == service for topic in group.topics}
    emitted = {topic.name for topic in TOPICS.values() if topic.owner == service}
    assert list(tidy.missing_promises(docstring, consumed, emitted)) == []


def test_importing_does_nothing() -> None:
    modules = [module_name(path) for path in python_files(*CODE) if not is_migration(path)]
    assert _what_importing_does(PROJECT_ROOT, modules) == []


def test_no_page_and_no_api_takes_a_defect_for_an_answer() -> None:
    paths = [
        path
        for path in python_files("services")
        if {"api", "pages", "entrypoints"} & {*path.parts, path.stem}
    ]
    assert len(paths) > 50
    assert _findings(paths, tidy.swallowed_defects) == []


# --- each check, on a planted violation ----------------------------------------------------------------


def test_a_long_function_is_found() -> None:
    body = "    x = 1\n"
    assert list(tidy.long_functions("def short():\n" + body * 69)) == []
    assert list(tidy.long_functions("async def long():\n" + body * 70)) == [
        "1: long has 71 lines; split it into parts of at most 70"
    ]


def test_a_long_file_is_found() -> None:
    assert list(tidy.long_file("x = 1\n" * 500)) == []
    assert len(list(tidy.long_file("x = 1\n" * 501))) == 1


def test_a_name_that_says_nothing_is_found() -> None:
    assert list(tidy.banned_name(Path("shared/store/engine.py"))) == []
    assert len(list(tidy.banned_name(Path("shared/store/utils.py")))) == 1
    assert len(list(tidy.banned_name(Path("shared/common/engine.py")))) == 1


def test_a_swallowed_defect_is_found() -> None:
    planted = "try:\n    act()\nexcept {}:\n    pass\n"
    for caught in ("ValueError as error", "(OSError, KeyError)", "LookupError", "Exception"):
        assert len(list(tidy.swallowed_defects(planted.format(caught)))) == 1
    assert len(list(tidy.swallowed_defects("try:\n    act()\nexcept:\n    pass\n"))) == 1
    for caught in ("NotFoundError", "(OSError, ValidationError)"):
        assert list(tidy.swallowed_defects(planted.format(caught))) == []


def test_unfinished_work_is_found() -> None:
    assert list(tidy.banned_words("total = 1\n# TODO: count\nraise NotImplementedError\n")) == [
        "2: TODO; do it, or open an issue",
        "3: NotImplementedError; write it, or leave it out",
    ]
    assert list(tidy.banned_words("TODOS = 1")) == []


def test_a_topic_written_down_again_is_found() -> None:
    again = 'topic = "usage.hits"\n'
    looked_up = (
        'one = TOPICS["usage.hits"]\nother = topics.topic_named("usage.hits")\n"""usage.hits is read"""\n'
    )
    assert list(tidy.topics_written_elsewhere(looked_up, NAMES)) == []
    assert list(tidy.topics_written_elsewhere(again, NAMES)) == [
        '1: "usage.hits" stands in shared/events/topics.py; look it up there'
    ]


def test_a_lookup_of_nothing_is_found() -> None:
    assert list(tidy.unknown_lookups('TOPICS["usage.hits"], topic_named("usage.hits.dlq")', NAMES)) == []
    assert list(tidy.unknown_lookups('GROUPS["usage.count"]', NAMES)) == [
        '1: no topic or group is called "usage.count"'
    ]


@pytest.mark.parametrize(
    "text",
    [
        "index-url = https://" + "pypi." + "org/simple",
        "open('" + "/root" + "/data.csv')",
        "cd " + "/home/" + "somebody/nutmeg",
        "-----BEGIN " + "EC PRIVATE KEY-----",
        "key = " + "AKIA" + "ABCDEFGHIJKLMNOP",
        "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiJzb21lYm9keSJ9." + "a" * 43,
    ],
)
def test_what_reveals_is_found(text: str) -> None:
    assert len(list(tidy.revealing_texts(text))) == 1


@pytest.mark.parametrize(
    "text", ["https://data.example/work/list", "/api/v1/datasets", "the root of the tree"]
)
def test_what_reveals_nothing_passes(text: str) -> None:
    assert list(tidy.revealing_texts(text)) == []


def test_a_dead_module_is_found_with_all_that_only_it_uses() -> None:
    sources = {
        "services": "",
        "services.cli": "from services.live import run\nfrom services import named",
        "services.live": "from . import near",
        "services.near": "",
        "services.named": "",
        "services.dead": "import services.only_for_the_dead",
        "services.only_for_the_dead": "import services.dead",
    }
    assert tidy.dead_modules(sources, {"services"}, {"services.cli"}) == [
        "services.dead",
        "services.only_for_the_dead",
    ]


def test_a_dead_picture_is_found() -> None:
    assets = [Path("shared/web/static/used.svg"), Path("shared/web/static/old.svg")]
    assert tidy.unmentioned_assets(assets, ['<img src="used.svg">']) == [Path("shared/web/static/old.svg")]


def test_a_service_that_does_not_say_what_it_does_is_found() -> None:
    said = (
        "Consumes: usage.hits.\nEmits: usage.rollups.\nStores: counts.\nPromise: nothing is counted twice.\n"
    )
    assert list(tidy.missing_promises(said, {"usage.hits"}, {"usage.rollups"})) == []
    assert list(tidy.missing_promises(said, {"catalog.datasets"}, {"usage.alerts"})) == [
        '1: "Consumes:" does not name the topic catalog.datasets',
        '1: "Emits:" does not name the topic usage.alerts',
    ]
    assert len(list(tidy.missing_promises("", set(), set()))) == 4
    disorder = "Emits: a. Consumes: b. Stores: c. Promise: d."
    assert list(tidy.missing_promises(disorder, set(), set())) == [
        "1: the docstring's parts stand in the order Consumes, Emits, Stores, Promise"
    ]


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("import socket; socket.create_server(('127.0.0.1', 0)).close()", "planted: socket.bind"),
        ("open('planted.txt', 'w').close()", "planted: open planted.txt"),
        ("open('planted.json').close()", "planted: open planted.json"),
        ("import sqlite3; sqlite3.connect(':memory:').close()", "planted: sqlite3.connect"),
        ("import subprocess; subprocess.run(['true'])", "planted: subprocess.Popen"),
        ("import threading; threading.Thread(target=print).start()", "planted: started thread"),
    ],
)
def test_work_at_import_is_found(statement: str, finding: str, tmp_path: Path) -> None:
    (tmp_path / "planted.json").write_text("{}")
    (tmp_path / "planted.py").write_text(statement)
    assert any(found.startswith(finding) for found in _what_importing_does(tmp_path, ["planted"]))


def _what_importing_does(root: Path, modules: list[str]) -> list[str]:
    probe = PROJECT_ROOT / "tests" / "architecture" / "import_probe.py"
    result = subprocess.run(
        [sys.executable, "-B", str(probe), str(root)],
        cwd=root,
        input="\n".join(modules),
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return [line for line in result.stdout.splitlines() if line]


def _roots(sources: dict[str, str]) -> set[str]:
    """Where running starts: console scripts and ``python -m`` modules."""
    settings = tomllib.loads(read(Path("pyproject.toml")))
    scripts = {target.partition(":")[0] for target in settings["project"]["scripts"].values()}
    return scripts | {name for name, source in sources.items() if 'if __name__ == "__main__"' in source}
