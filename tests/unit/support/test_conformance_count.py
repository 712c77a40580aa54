"""What the closing lines say of the suites that two implementations share."""

from tests.support.conformance_count import count_by_port, lines_of

LOG = "tests/conformance/test_event_log.py::test_order"
INDEX = "tests/conformance/test_catalog_index_searching.py::TestTerms::test_words"
STORE = "tests/services/quality/test_measuring.py::test_scores"


def test_each_implementation_is_counted_for_its_port_whatever_else_is_in_the_brackets() -> None:
    counts = count_by_port(
        [
            (f"{LOG}[sqlite-4]", "passed"),
            (f"{LOG}[kafka-1]", "passed"),
            (f"{LOG}[kafka-4]", "failed"),
            (f"{INDEX}[wells-tantivy]", "passed"),
            (f"{STORE}[postgresql]", "skipped"),
        ]
    )
    assert lines_of(counts) == [
        "event log            sqlite: 1 passed | kafka: 1 passed, 1 failed",
        "catalogue index      tantivy: 1 passed | elasticsearch: none",
        "stores and services  sqlite: none | postgresql: 1 skipped",
    ]


def test_tests_of_one_implementation_and_tests_elsewhere_are_not_counted() -> None:
    others = [f"{LOG}", "tests/unit/bus/test_loop.py::test_it[sqlite]", f"{LOG}[sqlites]"]
    assert lines_of(count_by_port((node, "passed") for node in others)) == []
