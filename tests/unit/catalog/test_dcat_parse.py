"""Reading DCAT-US 1.1 leniently: what is kept, what is told, what is refused."""

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.dcat.domain.records import (
    IDENTIFIER_CHARACTERS_MAX,
    PARSED_BYTES_MAX,
    ParsedRecord,
    content_hash,
    parse_record,
)
from services.catalog.dcat.domain.repairs import CURES_MAX
from shared.events.catalog import RejectedRecord
from tests.unit.catalog.dcat_inputs import (
    DEFAULTS,
    GOOD_RECORD,
    cured_fields,
    parse_all,
    parsed,
    real_records,
    record,
)


def test_a_good_record_is_kept_as_it_is_without_any_cure() -> None:
    result = parsed()
    assert result.cures == ()
    assert result.truncated == ()
    assert result.identifier == GOOD_RECORD["identifier"]
    assert result.description == GOOD_RECORD["description"]
    assert result.keywords == ("lead", "health")
    assert result.contact_email == "health@example.gov"
    assert result.data_updated_at == datetime(2025, 12, 1, tzinfo=UTC)
    assert result.distributions[0].media_type == "text/csv"
    assert result.distributions[0].format == "CSV"


@pytest.mark.parametrize(
    "identifier",
    [..., None, "", "  \n", 12.5, True, [], {}, {"@type": "Identifier"}, "\x00\u200b", "[[REDACTED-EX B6]]"],
)
def test_a_record_without_identity_is_refused_and_told_how_to_get_one(identifier: object) -> None:
    result = parse_record(record(identifier=identifier), defaults=DEFAULTS)
    assert isinstance(result, RejectedRecord)
    assert result.title == "Lead screening by town"
    assert [problem.field for problem in result.problems] == ["identifier"]
    assert all(problem.message and problem.cure for problem in result.problems)


def test_an_identifier_too_long_to_keep_whole_is_refused() -> None:
    result = parse_record(record(identifier="i" * (IDENTIFIER_CHARACTERS_MAX + 1)), defaults=DEFAULTS)
    assert isinstance(result, RejectedRecord)
    assert result.problems[0].field == "identifier"


@pytest.mark.parametrize(
    ("raw", "identifier"),
    [
        (" ab12-cd34 ", "ab12-cd34"),
        (1234, "1234"),
        ({"@type": "Identifier", "@id": "https://example.gov/7"}, "https://example.gov/7"),
        ({"notation": "7"}, "7"),
    ],
)
def test_an_identifier_of_another_form_is_read_and_marked(raw: object, identifier: str) -> None:
    result = parsed(identifier=raw)
    assert result.identifier == identifier
    assert "identifier" in cured_fields(result)


@pytest.mark.parametrize("raw", [None, 3, "text", [], [GOOD_RECORD], math.nan])
def test_what_is_not_an_object_is_refused(raw: object) -> None:
    result = parse_record(raw, defaults=DEFAULTS)
    assert isinstance(result, RejectedRecord)
    assert result.problems[0].field == "dataset"


@pytest.mark.parametrize(
    ("field", "raw", "attribute", "kept", "cured"),
    [
        ("keyword", "lead, health; towns", "keywords", ("lead", "health", "towns"), "keyword"),
        ("keyword", None, "keywords", ("health",), "keyword"),
        ("keyword", [], "keywords", ("health",), "keyword"),
        ("keyword", ["lead", "lead", "", None, 7, {"x": 1}], "keywords", ("lead", "7"), "keyword[4]"),
        ("theme", "Health", "themes", ("Health",), "theme"),
        ("publisher", "Department of Health", "publisher_name", "Department of Health", "publisher"),
        ("publisher", None, "publisher_name", "State of Example", "publisher"),
        ("publisher", {"name": "  "}, "publisher_name", "State of Example", "publisher"),
        ("publisher", {"name": "[[REDACTED-EX B3]]"}, "publisher_name", "State of Example", "publisher"),
        ("title", ["Lead"], "title", "Lead", "title"),
        ("title", {"en": "Lead", "es": "Plomo"}, "title", "Lead", "title"),
        ("title", ..., "title", "One row is one town and year.", "title"),
        ("description", None, "description", "Lead screening by town", "description"),
        ("description", "<p>One &amp; two</p><style>b</style>", "description", "One & two", "description"),
        ("accessLevel", "Public", "access_level", "public", "accessLevel"),
        ("accessLevel", "RESTRICTED_PUBLIC", "access_level", "restricted public", "accessLevel"),
        ("accessLevel", "private", "access_level", "non-public", "accessLevel"),
        ("accessLevel", "gibberish", "access_level", "non-public", "accessLevel"),
        ("accessLevel", ..., "access_level", "public", "accessLevel"),
        ("license", "CC BY-SA 3.0", "license", "https://creativecommons.org/licenses/by-sa/3.0/", "license"),
        ("license", "www.example.gov/terms", "license", "https://www.example.gov/terms", "license"),
        ("license", "Ask us nicely", "license", None, "license"),
        ("license", "[[REDACTED-EX B3]]", "license", None, "license"),
        ("license", ["MIT"], "license", "https://opensource.org/licenses/MIT", "license"),
        ("landingPage", "https://x.gov/a b", "landing_page", "https://x.gov/a%20b", "landingPage"),
        ("landingPage", "//////not-a-url.example.com/", "landing_page", None, "landingPage"),
        ("landingPage", "javascript:alert(1)", "landing_page", None, "landingPage"),
        ("landingPage", "https://user:secret@x.gov/", "landing_page", None, "landingPage"),
        ("landingPage", "https://münchen.example/ä",
         "landing_page", "https://xn--mnchen-3ya.example/%C3%A4", "landingPage"),
        ("landingPage", {"@id": "https://x.gov/"}, "landing_page", "https://x.gov/", "landingPage"),
        ("issued", "03/29/2014", "issued", "2014-03-29", "issued"),
        ("issued", "March 29, 2014", "issued", "2014-03-29", "issued"),
        ("issued", "2014-13-45", "issued", None, "issued"),
        ("issued", "0001-01-01", "issued", None, "issued"),
        ("issued", 1396116000, "issued", "2014-03-29T18:00:00Z", "issued"),
        ("modified", ..., "modified", "2020-05-06", "modified"),
        ("modified", "never", "modified", "2020-05-06", "modified"),
        ("modified", "R/P1W", "modified", "2020-05-06", "modified"),
        ("accrualPeriodicity", "Annual (R/P1Y)", "accrual_periodicity", "R/P1Y", "accrualPeriodicity"),
        ("accrualPeriodicity", "No longer updated", "accrual_periodicity", "irregular", "accrualPeriodicity"),
        ("accrualPeriodicity", "when we like", "accrual_periodicity", None, "accrualPeriodicity"),
        ("temporal", "2011-2013", "temporal", "2011/2013", "temporal"),
        ("temporal", "2011-01-01 to 2012-01-01", "temporal", "2011-01-01/2012-01-01", "temporal"),
        ("temporal", [{"startDate": "2011", "endDate": "2012"}], "temporal", "2011/2012", "temporal"),
        ("temporal", "long ago", "temporal", None, "temporal"),
        ("spatial", {"type": "Point", "coordinates": [1, Decimal("2.5")]},
         "spatial", '{"type":"Point","coordinates":[1,2.5]}', None),
        ("spatial", {"title": "Town"}, "spatial", "Town", "spatial"),
        ("language", "English", "languages", ("en",), "language"),
        ("language", ["en_US", "no such tag"], "languages", ("en-US",), "language"),
        ("references", "https://x.gov/a https://x.gov/b",
         "references", ("https://x.gov/a", "https://x.gov/b"), "references"),
        ("contactPoint", [{"fn": "A", "hasEmail": "a@x.gov"}], "contact_email", "a@x.gov", "contactPoint"),
        ("contactPoint", {"fn": "A", "hasEmail": "not an address"},
         "contact_email", "opendata@example.gov", "contactPoint.hasEmail"),
        ("contactPoint", "Data desk <desk@x.gov>", "contact_email", "desk@x.gov", "contactPoint"),
        ("contactPoint", None, "contact_name", "Open data team", "contactPoint.fn"),
        ("isPartOf", ["parent"], "is_part_of", "parent", "isPartOf"),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_shape_is_read_for_what_is_meant(
    field: str, raw: object, attribute: str, kept: object, cured: str | None
) -> None:
    result = parsed(**{field: raw})
    assert getattr(result, attribute) == kept
    assert (cured in cured_fields(result)) if cured is not None else not result.cures
    assert all(cure.message and cure.cure for cure in result.cures)


def test_every_repair_quotes_what_was_there() -> None:
    (cure,) = parsed(license="Public Domain").cures
    assert cure.field == "license"
    assert "Public Domain" in cure.message
    assert "https://creativecommons.org/publicdomain/mark/1.0/" in cure.cure


def test_a_frequency_in_place_of_a_date_becomes_the_frequency() -> None:
    result = parsed(modified="R/P1W", accrualPeriodicity=...)
    assert result.accrual_periodicity == "R/P1W"
    assert result.data_updated_at is None


def test_without_any_date_nothing_is_made_up_that_would_change_tomorrow() -> None:
    result = parsed(modified=..., issued=...)
    assert result.modified is None
    assert "modified" in cured_fields(result)


def test_a_date_in_the_future_is_kept_but_claims_no_update() -> None:
    result = parsed(modified="2031-01-01")
    assert result.modified == "2031-01-01"
    assert result.data_updated_at is None
    assert "modified" in cured_fields(result)


def test_without_an_access_level_and_a_link_the_data_is_not_public() -> None:
    assert parsed(accessLevel=..., landingPage=..., distribution=[]).access_level == "non-public"


def test_the_words_of_an_unknown_licence_are_kept_as_rights() -> None:
    result = parsed(license="<p>Only for <b>research</b>.</p>")
    assert (result.license, result.rights) == (None, "Only for research.")


XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ({"downloadURL": "https://x.gov/a.csv"}, ("https://x.gov/a.csv", None, "text/csv", "CSV")),
        (["https://x.gov/a.pdf"], (None, "https://x.gov/a.pdf", None, None)),
        ([{"downloadURL": "https://x.gov/a", "format": "xlsx"}],
         ("https://x.gov/a", None, XLSX, "XLSX")),
        ([{"downloadURL": "https://x.gov/a", "mediaType": "csv"}],
         ("https://x.gov/a", None, "text/csv", "CSV")),
        ([{"downloadURL": "https://x.gov/a", "mediaType": "text/csv; charset=utf-8"}],
         ("https://x.gov/a", None, "text/csv", "CSV")),
        ([{"downloadURL": "https://x.gov/a"}], ("https://x.gov/a", None, "application/octet-stream", None)),
        ([{"accessURL": "https://x.gov/api", "format": "API"}], (None, "https://x.gov/api", None, "API")),
    ],
)  # fmt: skip
def test_a_distribution_is_read_in_any_of_its_forms(
    distribution: object, expected: tuple[str | None, str | None, str | None, str | None]
) -> None:
    (item,) = parsed(distribution=distribution).distributions
    assert (item.download_url, item.access_url, item.media_type, item.format) == expected


def test_an_empty_distribution_is_dropped_and_a_link_on_the_dataset_becomes_one() -> None:
    result = parsed(distribution=[{"@type": "dcat:Distribution"}], accessURL="https://x.gov/data")
    assert [item.access_url for item in result.distributions] == ["https://x.gov/data"]
    assert {"distribution", "distribution[0]"} <= cured_fields(result)


def test_field_names_of_another_spelling_are_understood() -> None:
    raw = {"identifier": "a", "Title": "T", "dct:description": "D", "tags": ["k"], "Publisher": {"name": "P"}}
    result = parse_record(raw, defaults=DEFAULTS)
    assert isinstance(result, ParsedRecord)
    assert (result.title, result.description, result.keywords, result.publisher_name) == (
        "T",
        "D",
        ("k",),
        "P",
    )


def test_misread_utf8_and_unprintable_characters_are_repaired() -> None:
    result = parsed(
        title="Caf\u00c3\u00a9 \u202eevil\u202c\x00",
        description="year\u00c3\u00a2\u00e2\u201a\u00ac\u00e2\u201e\u00a2s\r\nrecords\ud800 “CAFÉ”",
    )
    assert result.title == "Café evil"
    assert result.description == "year’s\nrecords “CAFÉ”"
    assert {"title", "description"} <= cured_fields(result)


def test_a_long_text_is_cut_at_64_kib_and_marked_with_its_length_and_hash() -> None:
    result = parsed(description="ä" * 50_000)
    (cut,) = result.truncated
    assert (cut.field, cut.size_bytes, len(cut.sha256)) == ("description", 100_000, 64)
    assert result.description == "ä" * 32_768
    longer = parsed(description="ä" * 50_001)
    assert longer.description == result.description
    assert content_hash(longer) != content_hash(result)


def test_a_very_long_title_is_cut_at_1000_characters() -> None:
    result = parsed(title="t" * 5_000)
    assert result.title == "t" * 1_000
    assert [cut.field for cut in result.truncated] == ["title"]


def test_the_number_of_keywords_and_of_cures_is_bounded() -> None:
    result = parsed(keyword=[f"k{number}" for number in range(5_000)])
    assert len(result.keywords) == 1_000
    assert len(parsed(keyword=[{}] * 1_000).cures) == CURES_MAX


def test_a_record_that_cannot_fit_into_one_event_is_refused_with_the_field_named() -> None:
    distributions = [
        {"accessURL": f"https://x.gov/{number}", "description": "d" * 60_000} for number in range(20)
    ]
    result = parse_record(record(distribution=distributions), defaults=DEFAULTS)
    assert isinstance(result, RejectedRecord)
    assert result.identifier == GOOD_RECORD["identifier"]
    assert result.problems[0].field == "distributions"
    assert f"{PARSED_BYTES_MAX:,}" in result.problems[0].message


def test_deep_nesting_and_huge_markup_are_survived() -> None:
    bomb: Any = "x"
    for _ in range(50_000):
        bomb = {"coordinates": [bomb]}
    result = parsed(spatial=bomb, title=bomb, keyword=[bomb], description="<script>" * 30_000, temporal=bomb)
    assert result.spatial is None
    assert result.description


def test_the_hash_tells_apart_what_is_kept_and_nothing_else() -> None:
    base = content_hash(parsed())
    assert content_hash(parsed(bureauCode=["010:12"])) == base
    assert content_hash(parsed(keyword=["health", "lead"])) != base
    assert content_hash(parsed(distribution=[])) != base
    assert content_hash(parsed(license="CC0 1.0")) != base


@pytest.mark.parametrize(
    ("path", "kept", "rejected"),
    [
        ("ct/data.json", 307, 0),
        ("federal/gsa.json", 339, 0),
        ("federal/dol.json", 465, 0),
        ("federal/opm.json", 134, 0),
        ("dcatus-cases/dcatus.json", 7, 0),
        ("dcatus-cases/dcatus_2.json", 3, 0),
        ("dcatus-cases/dcatus_bad_license_uri.json", 1, 0),
        ("dcatus-cases/dcatus_long_description.json", 1, 0),
        ("dcatus-cases/dcatus_multiple_invalid.json", 1, 0),
        ("dcatus-cases/dcatus_no_identifier.json", 0, 1),
        ("dcatus-cases/dcatus_spatial_no_translate.json", 1, 0),
        ("dcatus-cases/missing_title.json", 1, 0),
        ("dcatus-cases/dcatus3_0_no_identifier.json", 0, 1),
        ("dcatus-cases/dcatus3_0_invalid.json", 2, 0),
    ],
)
def test_real_records_are_kept_unless_they_have_no_identity(path: str, kept: int, rejected: int) -> None:
    results = parse_all(real_records(path))
    assert (len(results[0]), len(results[1])) == (kept, rejected)


def test_the_real_cases_are_cured_where_their_names_say() -> None:
    licensed, _ = parse_all(real_records("dcatus-cases/dcatus_bad_license_uri.json"))
    assert "license" in cured_fields(licensed[0])
    untitled, _ = parse_all(real_records("dcatus-cases/missing_title.json"))
    assert (untitled[0].title, cured_fields(untitled[0])) == ("Sample dataset", {"title"})
    several, _ = parse_all(real_records("dcatus-cases/dcatus_multiple_invalid.json"))
    assert {"license", "distribution[0].accessURL"} <= cured_fields(several[0])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4)
    ),
    max_leaves=12,
)
surrogates = st.text(alphabet=st.characters(codec=None), max_size=40)
field_values = json_values | surrogates | st.sampled_from(
    ["[[REDACTED-EX B6]]", "R/P1W", "mailto:", "http://[", "http://x:99999999/",
     "//", "%", "<", "<!--", "&#xD800;"]
)  # fmt: skip


@settings(deadline=None)
@given(json_values)
def test_any_json_value_gives_one_of_the_two_results(value: object) -> None:
    assert isinstance(parse_record(value, defaults=DEFAULTS), (ParsedRecord, RejectedRecord))


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*GOOD_RECORD, "accessURL", "Title", "tags"]), field_values, max_size=8)
)
def test_any_value_in_any_field_is_kept_or_cured_and_can_be_told_as_json(changes: dict[str, object]) -> None:
    result = parse_record({**GOOD_RECORD, **changes}, defaults=DEFAULTS)
    assert isinstance(result, (ParsedRecord, RejectedRecord))
    if isinstance(result, ParsedRecord):
        assert result.title
        assert result.keywords
        assert len(content_hash(result)) == 32
        assert all(json.loads(cure.model_dump_json()) for cure in result.cures)


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["downloadURL", "accessURL", "mediaType", "format", "title"]), field_values
        )
    )
)
def test_any_distribution_is_read_or_dropped(distributions: list[dict[str, object]]) -> None:
    assert len(parsed(distribution=distributions).distributions) <= len(distributions)
