"""What comes from outside is parsed in one bounded place only; each other use of a parser says why it may."""

import ast
from pathlib import Path

from tests.architecture.project import CODE, python_files, read

BOUNDED = "shared/bounded_json.py"

JSON_OF_OUR_OWN = {
    "services/catalog/search/elasticsearch/schema.py": "a field that the index stores for us",
    "services/catalog/search/tantivy/generations.py": "the index's own note of its generation",
    "services/catalog/search/tantivy/schema.py": "a field that the index stores for us",
    "services/catalog/search/domain/cursor.py": "what was sealed here, found unaltered",
    "services/host/data_directory.py": "the address that a running server wrote",
    "services/host/demo/state.py": "the demonstration's own note",
    "services/host/cli/event_tail.py": "lines of an installation's own stream",
    "services/host/sample/catalog.py": "files of the package",
    "services/notify/delivery/repository/deliveries.py": "what was dumped in the same line",
    "services/quality/profiling/duckdb/child.py": "requests of the parent process",
    "services/quality/profiling/duckdb/profiler.py": "answers of our own process, bounded by its pipe",
    "shared/log/sqlite/file.py": "headers that the log packed itself",
    "shared/events/contracts.py": "committed schemas",
    "shared/http/cursors.py": "what was sealed here, found unaltered",
    "shared/store/engine.py": "columns that were written as JSON here",
    "shared/store/types.py": "columns that were written as JSON here",
}
JSON_THAT_WAS_CHECKED = {
    "shared/events/envelope.py": "checks a record's value before pydantic reads it",
    "services/usage/hits/api.py": "checks a beacon before pydantic reads it",
}
STREAMED = {"services/catalog/harvesting/files/storage.py": "reads through BoundedJSONFile only"}
CSV = {
    "services/governance/domain/csv_rows.py": "bounds rows, columns and cells while it reads",
    "services/host/sample/catalog.py": "files of the package",
}
WRITTEN_CSV = {
    "shared/http/csv_answers.py": "the one place: it keeps texts from being taken for formulas",
    "services/host/sample/directory.py": "files of the demonstration, read by our own import",
    "services/host/sample/rows.py": "data files of the demonstration",
}
GZIP = {
    "services/quality/profiling/duckdb/data_file.py": "stops at the size limit",
    "shared/http/fetching.py": "stops at the size limit",
}

PARSERS = {
    "json.loads": JSON_OF_OUR_OWN,
    "json.load": {},
    "orjson.loads": JSON_OF_OUR_OWN,
    "model_validate_json": JSON_THAT_WAS_CHECKED | JSON_OF_OUR_OWN,
    "ijson.parse": STREAMED,
    "ijson.basic_parse": STREAMED,
    "ijson.items": STREAMED,
    "ijson.kvitems": {},
    "csv.reader": CSV,
    "csv.DictReader": CSV,
    "csv.writer": WRITTEN_CSV,
    "csv.DictWriter": {},
    "gzip.open": GZIP,
    "gzip.decompress": {},
    "zlib.decompress": {},
    "zlib.decompressobj": GZIP,
    "yaml.load": {},
    "yaml.safe_load": {},
    "pickle.load": {},
    "pickle.loads": {},
    "ET.fromstring": {},
    "ET.parse": {},
    "request.json": {},
}


def test_only_the_bounded_reader_parses_what_comes_from_outside() -> None:
    offenders = [
        f"{path}: {name} (read it through {BOUNDED}, or say in this test why it may)"
        for path, name in _uses()
        if str(path) not in PARSERS[name]
    ]
    assert offenders == []


def test_every_exception_is_one_that_is_used() -> None:
    used = {str(path) for path, _ in _uses()}
    allowed = {path for allowances in PARSERS.values() for path in allowances}
    assert allowed - used == set()


def test_the_reader_of_feeds_gives_its_parser_nothing_but_bounded_files() -> None:
    source = read(Path("services/catalog/harvesting/files/storage.py"))
    opened = source.partition("def _opened(")[2].partition("\ndef ")[0]
    assert "-> BoundedJSONFile" in opened
    assert source.count("ijson.") - source.count("ijson.JSONError") == 3
    assert source.count(".open(") == 1


def _uses() -> list[tuple[Path, str]]:
    found = []
    for path in python_files(*CODE):
        if str(path) == BOUNDED:
            continue
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.Attribute):
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                for name in (f"{owner}.{node.attr}", node.attr):
                    if name in PARSERS:
                        found.append((path, name))
    return found
