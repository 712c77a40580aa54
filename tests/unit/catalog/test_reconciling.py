"""What a reconcile finds, and that what it orders mends everything."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.search.commands.reconciling import next_reconcile
from services.catalog.search.domain.reconciling import ExpectedDocument, reconcile
from services.catalog.search.domain.search import IndexedRevision

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HORIZON = NOW - timedelta(seconds=60)
IDS = st.integers(1, 8).map(lambda number: UUID(int=number))
EXPECTED = st.dictionaries(
    IDS,
    st.builds(
        ExpectedDocument,
        revision=st.integers(1, 4),
        indexed_revision=st.integers(0, 4),
        retired_at=st.sampled_from([None, NOW, NOW - timedelta(days=1)]),
    ),
)
HELD = st.dictionaries(IDS, st.tuples(st.integers(1, 6), st.booleans())).map(
    lambda found: {key: IndexedRevision(key, revision, hidden) for key, (revision, hidden) in found.items()}
)


@given(EXPECTED, HELD)
def test_doing_what_is_ordered_leaves_no_drift(
    expected: dict[UUID, ExpectedDocument], held: dict[UUID, IndexedRevision]
) -> None:
    found = reconcile(expected, held, HORIZON)
    mended = {key: document for key, document in held.items() if key not in found.to_purge}
    for key in found.to_index:
        document = expected[key]
        now_held = mended.get(key)
        assert now_held is None or now_held.revision < document.revision, "the index would refuse it"
        mended[key] = IndexedRevision(key, document.revision, document.retired_at is not None)
    drift = reconcile(expected, mended, HORIZON).drift
    live = sum(document.retired_at is None for document in expected.values())
    assert (drift.store, drift.index, drift.missing, drift.extra, drift.stale) == (live, live, 0, 0, 0)


@given(EXPECTED)
def test_an_index_that_holds_what_it_ought_to_has_no_drift(expected: dict[UUID, ExpectedDocument]) -> None:
    held = {
        key: IndexedRevision(key, document.revision, document.retired_at is not None)
        for key, document in expected.items()
    }
    found = reconcile(expected, held, HORIZON)
    assert (found.drift.missing, found.drift.extra, found.drift.stale) == (0, 0, 0)
    assert not found.to_index


def test_a_document_that_retired_a_moment_ago_is_kept_and_an_older_one_forgotten() -> None:
    expected = {
        UUID(int=1): ExpectedDocument(2, 2, NOW),
        UUID(int=2): ExpectedDocument(2, 2, NOW - timedelta(minutes=2)),
    }
    held = {key: IndexedRevision(key, 2, hidden=True) for key in expected}
    assert reconcile(expected, held, HORIZON).to_purge == {UUID(int=2)}


@pytest.mark.parametrize(
    ("last_hours_ago", "due_in_hours"),
    [
        (None, 0.05),  # never: soon after the start
        (0.5, 23.5),  # a neighbour has just done it: a rolling restart does not repeat it
        (5, 0.05),  # the start brings it forward
        (30, -6),  # long overdue
    ],
)
def test_a_comparison_is_due_after_a_start_and_then_at_its_interval(
    last_hours_ago: float | None, due_in_hours: float
) -> None:
    last = None if last_hours_ago is None else NOW - timedelta(hours=last_hours_ago)
    due = next_reconcile(last, started_at=NOW, delay=timedelta(hours=0.05), interval=timedelta(hours=24))
    assert due == NOW + timedelta(hours=due_in_hours)
