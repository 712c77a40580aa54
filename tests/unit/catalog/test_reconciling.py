"""What a reconcile finds, and that what it orders mends everything."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.catalog.domain.reconciling import reconcile
from services.catalog.domain.records import ExpectedDocument
from services.catalog.domain.search import IndexedRevision

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
