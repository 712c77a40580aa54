"""Which tests are handed out together."""

from tests.support.distribution import scope_of


def test_tests_of_a_file_that_share_a_cluster_or_an_installation_stay_together() -> None:
    first, second = (f"tests/faults/test_cluster_outages.py::test_{name}[usage]" for name in ("a", "b"))
    assert scope_of(first) == scope_of(second) == "tests/faults/test_cluster_outages.py"
    assert scope_of("tests/e2e/test_cli.py::test_a") != scope_of("tests/e2e/test_attack.py::test_a")


def test_all_other_tests_are_handed_out_one_by_one() -> None:
    node = "tests/faults/test_kafka_faults.py::test_ten_kills"
    assert scope_of(node) == node
