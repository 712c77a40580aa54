"""The made-up use of the sample: its trend, spike, silence and noise, the same on every run."""

import itertools
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from services.host.sample.catalog import sample_datasets
from services.host.sample.hits import (
    PAGED_SLUG,
    PAGING_CLIENT,
    ROBOT_USER_AGENTS,
    SILENT_DAYS,
    SILENT_SLUG,
    SPIKE_DAYS_AGO,
    SPIKE_SLUG,
    TRENDING_SLUG,
    SampleHit,
    sample_hits,
)

TODAY = date(2026, 3, 18)


class TestHits:
    @pytest.fixture
    def hits(self) -> list[SampleHit]:
        return list(sample_hits(TODAY, 30))

    def views_by_days_ago(self, hits: list[SampleHit], slug: str) -> Counter[int]:
        return Counter(
            (TODAY - hit.at.date()).days for hit in hits if hit.dataset_slug == slug and hit.kind == "view"
        )

    @pytest.mark.parametrize("today", [TODAY, date(2026, 1, 15), date(2026, 11, 23)], ids=str)
    def test_thirty_days_have_three_to_six_thousand_hits(self, today: date) -> None:
        assert 3000 <= sum(1 for _ in sample_hits(today, 30)) <= 6000

    def test_hits_come_oldest_first_in_utc_and_none_on_today(self, hits: list[SampleHit]) -> None:
        moments = [hit.at for hit in hits]
        assert moments == sorted(moments)
        assert all(at.tzinfo is UTC for at in moments)
        assert moments[0].date() == TODAY - timedelta(days=30)
        assert moments[-1].date() == TODAY - timedelta(days=1)

    def test_fewer_days_are_the_end_of_more_days(self, hits: list[SampleHit]) -> None:
        week = list(sample_hits(TODAY, 7))
        assert week == hits[-len(week) :]
        assert list(sample_hits(TODAY, 0)) == []

    def test_a_number_of_days_out_of_range_is_refused(self) -> None:
        with pytest.raises(ValueError, match="days: 401 is out of range; use 0 to 400"):
            next(sample_hits(TODAY, 401))

    def test_heating_oil_is_used_until_five_days_ago_and_then_falls_silent(
        self, hits: list[SampleHit]
    ) -> None:
        views = self.views_by_days_ago(hits, SILENT_SLUG)
        robots = {h.at for h in hits if h.user_agent in ROBOT_USER_AGENTS}
        recent = [
            h for h in hits if h.dataset_slug == SILENT_SLUG and (TODAY - h.at.date()).days <= SILENT_DAYS
        ]
        assert all(hit.at in robots for hit in recent)
        assert sum(views[days_ago] > 0 for days_ago in range(6, 31)) >= 20

    def test_the_business_registry_spikes_on_one_day(self, hits: list[SampleHit]) -> None:
        views = self.views_by_days_ago(hits, SPIKE_SLUG)
        others = sorted(views[days_ago] for days_ago in range(2, 31))
        assert views[SPIKE_DAYS_AGO] > 2.5 * others[-1]

    def test_real_estate_sales_rise_week_by_week(self, hits: list[SampleHit]) -> None:
        views = self.views_by_days_ago(hits, TRENDING_SLUG)
        weeks = [sum(views[day] for day in range(start, start + 7)) for start in (22, 15, 8, 1)]
        assert weeks == sorted(weeks)
        assert weeks[-1] > 2.5 * weeks[0]

    def test_weekends_are_quieter(self, hits: list[SampleHit]) -> None:
        per_day = Counter(hit.at.date() for hit in hits)
        weekday = [count for day, count in per_day.items() if day.weekday() < 5]
        weekend = [count for day, count in per_day.items() if day.weekday() >= 5]
        assert max(weekend) < min(weekday)

    def test_there_are_double_clicks_robots_and_one_paging_client(self, hits: list[SampleHit]) -> None:
        by_use: dict[tuple[str, str, str], list[datetime]] = {}
        for hit in hits:
            by_use.setdefault((hit.visitor, hit.dataset_slug, hit.kind), []).append(hit.at)
        gaps = [b - a for times in by_use.values() for a, b in itertools.pairwise(times)]
        assert sum(gap <= timedelta(seconds=30) for gap in gaps) > 100
        assert {h.user_agent for h in hits if h.visitor.startswith("robot-")} == set(ROBOT_USER_AGENTS)
        paging = [hit for hit in hits if hit.user_agent == PAGING_CLIENT]
        assert {(hit.dataset_slug, hit.kind) for hit in paging} == {(PAGED_SLUG, "api-call")}
        assert len({hit.visitor for hit in paging}) == 1

    def test_hidden_records_are_never_used_and_only_files_are_downloaded(self, hits: list[SampleHit]) -> None:
        used = {hit.dataset_slug for hit in hits}
        assert used & {d.slug for d in sample_datasets() if d.visibility != "public"} == set()
        downloaded = {hit.dataset_slug for hit in hits if hit.kind != "view"}
        assert downloaded <= {dataset.slug for dataset in sample_datasets() if dataset.has_rows}
