"""Made-up use of the sample: weeks of views, downloads and API calls, the same on every run.

What it plays: weekdays over weekends, office hours over nights, Real Estate Sales on the rise, a day's spike
of the Business Registry, Heating Oil prices that nobody opens any more, double clicks, robots, and one
client that pages through the ledger. Visitors are made-up keys that stand for nobody.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Literal

from services.host.sample.catalog import SampleDataset, sample_datasets
from services.host.sample.draws import count_around, seeded

HitKind = Literal["view", "download", "api-call"]

SILENT_SLUG = "heating-oil-regional-retail-prices"
SILENT_DAYS = 5
SPIKE_SLUG = "business-registry-counts-by-town"
SPIKE_DAYS_AGO = 1
SPIKE_FACTOR = 9.0
TRENDING_SLUG = "real-estate-sales-by-town"
TRENDING_DAYS = 21
TRENDING_FACTOR_MAX = 5.0
PAGED_SLUG = "open-expenditures-ledger"
PAGING_CLIENT = "ledger-mirror/1.4 (+https://mirror.example.org)"
ROBOT_USER_AGENTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
)
DAYS_MAX = 400

_BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
)
_VISITORS = 400
_WEEKEND_FACTOR = 0.35
_DOUBLE_CLICK_SHARE = 0.06
_DOWNLOAD_SHARE = 0.2
_API_SHARE = 0.12
_PAGES_PER_RUN = 16
# Office hours on the east coast of the United States, as hours of the day in UTC.
_EARLIEST_HOUR, _BUSIEST_HOUR, _LATEST_HOUR = 11.0, 16.5, 23.9


@dataclass(frozen=True)
class SampleHit:
    """One use of one dataset. ``at`` is in UTC; ``visitor`` is a made-up key."""

    dataset_slug: str
    kind: HitKind
    at: datetime
    visitor: str
    user_agent: str


def sample_hits(today: date, days: int) -> Iterator[SampleHit]:
    """The hits of the ``days`` full days before ``today``, oldest first; none lies on ``today`` itself.

    A day's hits depend on the day and on how long ago it is, not on ``days``: asking for more days only
    adds older ones. Raises ``ValueError`` when ``days`` lies outside 0..:data:`DAYS_MAX`.
    """
    if not 0 <= days <= DAYS_MAX:
        raise ValueError(f"days: {days} is out of range; use 0 to {DAYS_MAX}")
    for days_ago in range(days, 0, -1):
        day = today - timedelta(days=days_ago)
        yield from sorted(
            _hits_of_day(day, days_ago), key=lambda hit: (hit.at, hit.dataset_slug, hit.visitor)
        )


def _hits_of_day(day: date, days_ago: int) -> Iterator[SampleHit]:
    for dataset in sample_datasets():
        rng = seeded(f"hits/{day.isoformat()}/{dataset.slug}")
        for _ in range(count_around(rng, _expected_uses(dataset, day, days_ago))):
            yield from _use(rng, dataset, day)
    yield from _robot_visits(day)
    if day.weekday() < 5:
        yield from _paging_run(day)


def _expected_uses(dataset: SampleDataset, day: date, days_ago: int) -> float:
    """How many times people use the dataset on an average such day."""
    expected = dataset.views_per_weekday * (_WEEKEND_FACTOR if day.weekday() >= 5 else 1.0)
    if dataset.slug == SILENT_SLUG and days_ago <= SILENT_DAYS:
        return 0.0
    if dataset.slug == SPIKE_SLUG and days_ago == SPIKE_DAYS_AGO:
        return dataset.views_per_weekday * SPIKE_FACTOR
    if dataset.slug == TRENDING_SLUG:
        climbed = max(0.0, (TRENDING_DAYS - days_ago) / TRENDING_DAYS)
        expected *= 1 + (TRENDING_FACTOR_MAX - 1) * climbed
    return expected


def _use(rng: Random, dataset: SampleDataset, day: date) -> Iterator[SampleHit]:
    """One person's use: a view, often with a download or an API call after it, sometimes a double click."""
    at = _moment(day, rng.triangular(_EARLIEST_HOUR, _LATEST_HOUR, _BUSIEST_HOUR) * 3600)
    number = rng.randrange(_VISITORS)
    visitor, browser = f"visitor-{number:03d}", _BROWSERS[number % len(_BROWSERS)]
    view = SampleHit(dataset.slug, "view", at, visitor, browser)
    yield view
    if rng.random() < _DOUBLE_CLICK_SHARE:
        yield _later(view, "view", rng.uniform(0.4, 12))
    if not dataset.has_rows:
        return
    if rng.random() < _DOWNLOAD_SHARE:
        download = _later(view, "download", rng.uniform(20, 240))
        yield download
        if rng.random() < _DOUBLE_CLICK_SHARE:
            yield _later(download, "download", rng.uniform(0.4, 12))
    elif rng.random() < _API_SHARE:
        yield _later(view, "api-call", rng.uniform(30, 600))


def _robot_visits(day: date) -> Iterator[SampleHit]:
    """Each robot opens a part of the public records in the night, one every 20 seconds."""
    for index, user_agent in enumerate(ROBOT_USER_AGENTS):
        rng = seeded(f"robots/{day.isoformat()}/{index}")
        public = [dataset for dataset in sample_datasets() if dataset.visibility == "public"]
        for position, dataset in enumerate(rng.sample(public, 4)):
            at = _moment(day, (3 + index) * 3600 + position * 20)
            yield SampleHit(dataset.slug, "view", at, f"robot-{index}", user_agent)


def _paging_run(day: date) -> Iterator[SampleHit]:
    """A program reads the ledger page by page: many calls, one use."""
    for page in range(_PAGES_PER_RUN):
        at = _moment(day, 10.25 * 3600 + page * 1.5)
        yield SampleHit(PAGED_SLUG, "api-call", at, "program-ledger-mirror", PAGING_CLIENT)


def _moment(day: date, second_of_day: float) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC) + timedelta(seconds=round(second_of_day, 1))


def _later(hit: SampleHit, kind: HitKind, delay_seconds: float) -> SampleHit:
    """The same visitor a little later, never past midnight, so that a day's hits stay in their day."""
    end_of_day = _moment(hit.at.date(), 86_399)
    at = min(end_of_day, hit.at + timedelta(seconds=round(delay_seconds, 1)))
    return SampleHit(hit.dataset_slug, kind, at, hit.visitor, hit.user_agent)
