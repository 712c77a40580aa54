"""Windows hold what was told last, in whatever order and however often it was told."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.usage.anomalies.domain.signals import DAYS_LOOKED_BACK
from services.usage.anomalies.domain.windows import DAYS_KEPT, DayRow, assigned, daily_uses, row_key

ROADS = UUID("0b54cf1c-6f0c-5f43-8d53-3a2c2f6d3f11")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TODAY = NOON.date()


class Table:
    """Rows as a stream processor keeps them."""

    def __init__(self) -> None:
        self.rows: dict[str, DayRow] = {}

    def tell(self, hour: datetime, uses: int, revision: int) -> bool:
        key = row_key(ROADS, hour.date())
        row = assigned(self.rows.get(key), hour, uses, revision)
        if row is not None:
            self.rows[key] = row
        return row is not None

    def uses(self, since: date) -> dict[date, int]:
        return dict(daily_uses(self.rows.get, ROADS, since=since))


def test_a_day_is_the_sum_of_its_hours() -> None:
    table = Table()
    table.tell(NOON, 3, 1)
    table.tell(NOON + timedelta(hours=1), 4, 1)
    table.tell(NOON - timedelta(days=1), 5, 1)
    assert table.uses(TODAY - timedelta(days=1)) == {TODAY: 7, TODAY - timedelta(days=1): 5}


def test_a_count_is_assigned_and_never_added() -> None:
    table = Table()
    assert [table.tell(NOON, 3, 1), table.tell(NOON, 3, 1), table.tell(NOON, 5, 2)] == [True, False, True]
    assert table.uses(TODAY) == {TODAY: 5}


def test_an_older_count_does_not_replace_a_newer_one() -> None:
    table = Table()
    table.tell(NOON, 5, 2)
    assert not table.tell(NOON, 3, 1)
    assert table.uses(TODAY) == {TODAY: 5}


def test_a_count_that_fell_to_nought_leaves_the_day_out() -> None:
    table = Table()
    table.tell(NOON, 5, 1)
    table.tell(NOON, 0, 2)
    assert table.uses(TODAY) == {}


def test_a_moment_of_another_zone_falls_on_its_utc_day() -> None:
    table = Table()
    table.tell(NOON.astimezone(), 2, 1)
    assert table.uses(TODAY) == {TODAY: 2}


def test_a_day_before_the_first_that_is_asked_for_is_left_out() -> None:
    table = Table()
    table.tell(NOON - timedelta(days=1), 5, 1)
    assert table.uses(TODAY) == {}


def test_a_new_day_takes_the_place_of_one_that_is_too_old_and_not_the_other_way() -> None:
    table = Table()
    table.tell(NOON, 5, 7)
    later = NOON + timedelta(days=DAYS_KEPT)
    assert table.tell(later, 1, 1)
    assert not table.tell(NOON, 6, 8)
    assert len(table.rows) == 1
    assert table.uses(later.date() - timedelta(days=DAYS_LOOKED_BACK)) == {later.date(): 1}


@given(
    told=st.lists(st.tuples(st.integers(0, DAYS_LOOKED_BACK * 24), st.integers(0, 9)), max_size=40),
    seed=st.randoms(use_true_random=False),
)
def test_rows_are_the_same_in_any_order_and_however_often_it_is_told(
    told: list[tuple[int, int]], seed: Random
) -> None:
    revisions: dict[int, int] = {}
    events = []
    for hour, uses in told:
        revisions[hour] = revisions.get(hour, 0) + 1
        events.append((NOON - timedelta(hours=hour), uses, revisions[hour]))
    once, shuffled = Table(), Table()
    for event in events:
        once.tell(*event)
    again = [*events, *events]
    seed.shuffle(again)
    for event in again:
        shuffled.tell(*event)
    since = TODAY - timedelta(days=DAYS_LOOKED_BACK)
    assert shuffled.rows.keys() == once.rows.keys()
    assert shuffled.uses(since) == once.uses(since)
