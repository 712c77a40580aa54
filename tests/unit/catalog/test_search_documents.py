"""How a dataset becomes the document that is searched."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.catalog.domain.search_documents import distribution_format, popularity_bucket, search_document
from shared.events.catalog import Column, DatasetState, Distribution

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DATASET = DatasetState(
    dataset_id=UUID(int=7),
    source_id="source",
    identifier="abcd-1234",
    title="Wells",
    distributions=[
        Distribution(media_type="text/csv; charset=utf-8"),
        Distribution(format=".csv"),
        Distribution(format="a very long description of a format"),
    ],
    columns=[Column(name="depth_m", title="Depth", description="Metres"), Column(name="town", title="town")],
    registered_at=NOW,
    metadata_changed_at=NOW,
)


def test_a_document_has_what_people_search_and_narrow_by() -> None:
    made = search_document(DATASET, revision=4, quality_score=0.5, freshness="late", popularity_bucket=3)
    assert (made.dataset_id, made.revision, made.title, made.identifier) == (
        UUID(int=7),
        4,
        "Wells",
        "abcd-1234",
    )
    assert made.formats == ("CSV",)
    assert made.column_names == ("depth_m", "Depth", "town")
    assert made.column_descriptions == ("Metres",)
    assert (made.quality_score, made.freshness, made.popularity_bucket, made.hidden) == (
        0.5,
        "late",
        3,
        False,
    )


def test_a_retired_dataset_is_hidden() -> None:
    retired = DATASET.model_copy(update={"retired_at": NOW})
    assert search_document(retired, revision=5).hidden
    assert search_document(retired, revision=5).audience() is None


@pytest.mark.parametrize(
    ("stated", "audience"),
    [
        ("public", "public"),
        ("government", "government"),
        ("agency", "agency:None"),
        ("cabinet", "agency:None"),
    ],
)
def test_a_visibility_that_is_not_known_is_the_strictest(stated: str, audience: str) -> None:
    dataset = DATASET.model_copy(update={"visibility": stated})
    assert search_document(dataset, revision=1).audience() == audience


@pytest.mark.parametrize(
    ("media_type", "stated", "expected"),
    [
        ("text/csv", None, "CSV"),
        ("TEXT/CSV", "comma separated values", "CSV"),
        (None, "shp", "SHP"),
        ("application/octet-stream", "GeoJSON", "GEOJSON"),
        (None, "application/unknown", None),
        (None, None, None),
    ],
)
def test_a_format_is_named_as_people_say_it(
    media_type: str | None, stated: str | None, expected: str | None
) -> None:
    assert distribution_format(Distribution(media_type=media_type, format=stated)) == expected


def test_the_bucket_of_use_changes_only_when_use_doubles() -> None:
    assert [popularity_bucket(uses) for uses in (-3, 0, 1, 2, 3, 4, 7, 8, 1_000_000)] == [
        0,
        0,
        1,
        2,
        2,
        3,
        3,
        4,
        20,
    ]
