"""COUNTER R5.1's rules, each on numbers worked out by hand."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.usage.counts.domain.clients import AccessMethod
from services.usage.counts.domain.counter import (
    ClickSession,
    ClickSessionKey,
    CountedHit,
    Counts,
    HitKind,
    Run,
    recount,
    with_click,
)
from shared.store.chunks import chunks

TEN = datetime(2026, 3, 2, 10, tzinfo=UTC)
ROADS = UUID("17513ec7-2897-5be8-800a-ca9d2de2a563")
SCHOOLS = UUID("266919a3-c88b-5405-a792-df896ecc7227")


def hit(
    seconds: float,
    kind: HitKind = HitKind.VIEW,
    *,
    visitor: str = "ada",
    dataset: UUID = ROADS,
    method: AccessMethod = AccessMethod.REGULAR,
) -> CountedHit:
    return CountedHit(ClickSessionKey(visitor, dataset), kind, method, TEN + timedelta(seconds=seconds))


def counts(*hits: CountedHit) -> dict[tuple[UUID, datetime], Counts]:
    return dict(recount({}, hits).changes)


def at_ten(*hits: CountedHit) -> Counts:
    found = counts(*hits)
    assert set(found) <= {(ROADS, TEN)}
    return found.get((ROADS, TEN), Counts())


def test_a_view_is_an_investigation_and_no_request() -> None:
    assert at_ten(hit(0)) == Counts(views=1, total_item_investigations=1, unique_item_investigations=1)


def test_a_download_is_a_request_and_so_an_investigation() -> None:
    assert at_ten(hit(0, HitKind.DOWNLOAD)) == Counts(
        downloads=1,
        total_item_investigations=1,
        total_item_requests=1,
        unique_item_investigations=1,
        unique_item_requests=1,
    )


@pytest.mark.parametrize(("gap", "views"), [(0, 1), (29.9, 1), (30, 1), (30.000001, 2), (31, 2)])
def test_a_second_click_within_thirty_seconds_inclusive_counts_once(gap: float, views: int) -> None:
    assert at_ten(hit(0), hit(gap)).views == views


def test_clicks_chain_from_click_to_click() -> None:
    # 0 → 25 → 50 are one chain although 50 s lie between its ends; 81 begins another.
    assert at_ten(hit(0), hit(25), hit(50), hit(81)).views == 2


def test_a_click_that_comes_late_joins_two_chains() -> None:
    first = recount({}, [hit(0), hit(50)])
    assert first.changes[ROADS, TEN].views == 2
    late = recount(first.sessions, [hit(25)])
    assert late.changes == {(ROADS, TEN): Counts(views=-1, total_item_investigations=-1)}


def test_the_later_click_is_kept_so_a_chain_over_the_hour_counts_in_the_next() -> None:
    found = counts(hit(3_590), hit(3_605))
    assert found == {
        (ROADS, TEN + timedelta(hours=1)): Counts(
            views=1, total_item_investigations=1, unique_item_investigations=1
        )
    }


def test_clicks_of_another_kind_visitor_or_dataset_are_no_double_clicks() -> None:
    found = counts(
        hit(0),
        hit(1, HitKind.DOWNLOAD),
        hit(2, visitor="grace"),
        hit(3, dataset=SCHOOLS),
    )
    assert found[ROADS, TEN] == Counts(
        views=2,
        downloads=1,
        total_item_investigations=3,
        total_item_requests=1,
        unique_item_investigations=2,
        unique_item_requests=1,
    )
    assert found[SCHOOLS, TEN].views == 1


def test_unique_metrics_count_a_dataset_once_per_session() -> None:
    # Three views and two downloads in one hour, more than 30 s apart: one session.
    found = at_ten(hit(0), hit(100), hit(200), hit(300, HitKind.DOWNLOAD), hit(400, HitKind.DOWNLOAD))
    assert (found.total_item_investigations, found.unique_item_investigations) == (5, 1)
    assert (found.total_item_requests, found.unique_item_requests) == (2, 1)


def test_the_next_hour_is_another_session() -> None:
    found = counts(hit(0), hit(3_600))
    assert [one.unique_item_investigations for one in found.values()] == [1, 1]


def test_paging_through_an_api_is_one_unique_request() -> None:
    # 16 pages, 40 s apart: 16 calls, one session. 16 pages 1.5 s apart are even one call.
    slow = at_ten(*(hit(40 * page, HitKind.API_CALL) for page in range(16)))
    assert (slow.api_calls, slow.total_item_requests, slow.unique_item_requests) == (16, 16, 1)
    quick = at_ten(*(hit(1.5 * page, HitKind.API_CALL) for page in range(16)))
    assert (quick.api_calls, quick.total_item_requests, quick.unique_item_requests) == (1, 1, 1)


def test_programs_are_kept_apart_from_people() -> None:
    found = at_ten(
        hit(0, HitKind.API_CALL, visitor="script", method=AccessMethod.TDM),
        hit(60, visitor="script", method=AccessMethod.TDM),
        hit(0, HitKind.DOWNLOAD),
    )
    assert found == Counts(
        views=1,
        downloads=1,
        api_calls=1,
        total_item_investigations=1,
        total_item_requests=1,
        unique_item_investigations=1,
        unique_item_requests=1,
        tdm_item_requests=1,
    )


def test_crawlers_are_not_counted() -> None:
    assert counts(hit(0, method=AccessMethod.CRAWLER)) == {}


def test_runs_stay_sorted_and_more_than_thirty_seconds_apart() -> None:
    runs: tuple[Run, ...] = ()
    for at in (90, 0, 31, 200, 60):
        runs = with_click(runs, at * 1_000_000)
    assert runs == (Run(0, 0), Run(31_000_000, 90_000_000), Run(200_000_000, 200_000_000))


HITS = st.lists(
    st.builds(
        hit,
        st.integers(0, 9_000),
        st.sampled_from(HitKind),
        visitor=st.sampled_from(["ada", "grace"]),
        dataset=st.sampled_from([ROADS, SCHOOLS]),
        method=st.sampled_from(AccessMethod),
    ),
    max_size=60,
)


@given(HITS, st.randoms(use_true_random=False), st.integers(1, 9))
def test_any_order_repetition_and_batching_of_hits_gives_the_same_counts(
    hits: list[CountedHit], rng: random.Random, size: int
) -> None:
    shuffled = hits + [one for one in hits if rng.random() < 0.5]
    rng.shuffle(shuffled)
    sessions: dict[ClickSessionKey, ClickSession] = {}
    total: dict[tuple[UUID, datetime], Counts] = {}
    for batch in chunks(shuffled, size):
        part = recount(sessions, batch)
        sessions |= part.sessions
        for place, change in part.changes.items():
            total[place] = total.get(place, Counts()) + change
    assert {place: one for place, one in total.items() if one != Counts()} == counts(*hits)


@given(HITS)
def test_the_counts_are_those_of_the_rules_applied_to_a_sorted_log(hits: list[CountedHit]) -> None:
    assert counts(*hits) == _counted_plainly(hits)


def _counted_plainly(hits: list[CountedHit]) -> dict[tuple[UUID, datetime], Counts]:
    """The rules, naively: sort the log, drop each hit that is followed within 30 s, then count."""
    people = [one for one in hits if one.access_method is not AccessMethod.CRAWLER]
    kept = []
    for place in {(one.key, one.kind, one.access_method) for one in people}:
        times = sorted({one.occurred_at for one in people if _place(one) == place})
        later = [*times[1:], None]
        kept += [
            (place, at)
            for at, following in zip(times, later, strict=True)
            if following is None or following - at > timedelta(seconds=30)
        ]
    found: dict[tuple[UUID, datetime], Counts] = {}
    sessions: set[tuple[str, UUID, datetime, str]] = set()
    for (key, kind, method), at in kept:
        hour = at.replace(minute=0, second=0)
        is_person, is_request = method is AccessMethod.REGULAR, kind is not HitKind.VIEW
        sessions |= {(*key, hour, "investigation")} if is_person else set()
        sessions |= {(*key, hour, "request")} if is_person and is_request else set()
        found[key.dataset_id, hour] = found.get((key.dataset_id, hour), Counts()) + Counts(
            views=int(kind is HitKind.VIEW),
            downloads=int(kind is HitKind.DOWNLOAD),
            api_calls=int(kind is HitKind.API_CALL),
            total_item_investigations=int(is_person),
            total_item_requests=int(is_person and is_request),
            tdm_item_requests=int(not is_person and is_request),
        )
    for _, dataset, hour, metric in sessions:
        unique = Counts(
            unique_item_investigations=int(metric == "investigation"),
            unique_item_requests=int(metric == "request"),
        )
        found[dataset, hour] = found[dataset, hour] + unique
    return found


def _place(one: CountedHit) -> tuple[ClickSessionKey, HitKind, AccessMethod]:
    return one.key, one.kind, one.access_method
