"""Names of datasets, ids of hits and hashes of visitors."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.usage.hits.domain.reports import landing_page_name, moment_problem
from services.usage.hits.domain.visitors import VisitorTraits, bucket_of, derived_hit_id, visitor_hash

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
ROADS = UUID("17513ec7-2897-5be8-800a-ca9d2de2a563")


def test_a_landing_page_is_one_name_however_it_is_written() -> None:
    plain = landing_page_name("https://data.example.gov/d/roads")
    assert landing_page_name("http://DATA.example.gov:80/d/roads/") == plain
    assert landing_page_name("https://data.example.gov/d/roads#download") == plain
    assert landing_page_name("https://data.example.gov/d/Roads") != plain
    assert landing_page_name("https://data.example.gov/d?id=1") != landing_page_name(
        "https://data.example.gov/d?id=2"
    )
    assert landing_page_name("https://[broken") == "url:https://[broken"


@pytest.mark.parametrize(
    ("age", "is_importer", "code"),
    [
        (timedelta(minutes=-4), False, None),
        (timedelta(minutes=-6), True, "future"),
        (timedelta(hours=23), False, None),
        (timedelta(hours=25), False, "too_old"),
        (timedelta(hours=25), True, None),
        (timedelta(days=389), True, None),
        (timedelta(days=391), True, "too_old"),
    ],
)
def test_only_importers_report_use_of_long_ago_and_nobody_use_to_come(
    age: timedelta, is_importer: bool, code: str | None
) -> None:
    problem = moment_problem(NOW - age, now=NOW, is_importer=is_importer)
    assert (problem.code if problem else None) == code


def test_a_visitor_hash_depends_on_salt_address_agent_and_session() -> None:
    salt, ada = b"s" * 32, VisitorTraits("192.0.2.7", "Firefox", "1")
    hashes = {
        visitor_hash(salt, ada),
        visitor_hash(b"t" * 32, ada),
        visitor_hash(salt, VisitorTraits("192.0.2.8", "Firefox", "1")),
        visitor_hash(salt, VisitorTraits("192.0.2.7", "Chrome", "1")),
        visitor_hash(salt, VisitorTraits("192.0.2.7", "Firefox", "2")),
        visitor_hash(salt, VisitorTraits("192.0.2.7F", "irefox", "1")),
    }
    assert len(hashes) == 6
    assert visitor_hash(salt, VisitorTraits("192.0.2.7", "Firefox", "1")) in hashes


def test_visitors_fall_into_sixty_four_buckets() -> None:
    buckets = {bucket_of(visitor_hash(b"s" * 32, VisitorTraits(str(number)))) for number in range(2_000)}
    assert buckets == {f"{number:02d}" for number in range(64)}


def test_the_same_hit_of_the_same_request_has_the_same_id() -> None:
    def identity(position: int = 0, request: str = "key", moment: datetime | None = NOW) -> UUID:
        return derived_hit_id(
            reporter="ada",
            dataset_id=ROADS,
            kind="view",
            occurred_at=moment,
            position=position,
            request=request,
        )

    assert identity() == identity()
    assert len({identity(), identity(position=1), identity(request="other"), identity(moment=None)}) == 4
