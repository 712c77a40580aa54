"""How the parts of a dataset make the state that is told."""

from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from services.catalog.datasets.domain.entry import (
    GovernanceContext,
    Overrides,
    compose,
    known_freshness,
    popularity_bucket,
    public_dataset,
    register,
    retire,
    revise,
)
from services.catalog.dictionary.domain import dictionary_address
from services.catalog.search.domain.documents import search_document
from shared.events.catalog import Column, Distribution
from shared.events.governance import StewardshipState
from tests.unit.catalog.entries import NOTHING_AROUND, NOW, entry_of, state_of

ROADS, HEALTH = UUID(int=100), UUID(int=101)
NAMES = {ROADS: "Department of Roads", HEALTH: "Department of Health"}
LATER = datetime(2026, 4, 1, tzinfo=UTC)


def around(**stewardship: object) -> GovernanceContext:
    """A directory that knows the publisher, and one stewardship of ``d1`` where fields are given."""
    states = (
        {"d1": StewardshipState.model_validate({"identifier": "d1"} | stewardship)} if stewardship else {}
    )
    return GovernanceContext(NAMES, {"Department of Roads": ROADS}, states)


def test_the_publisher_names_the_agency() -> None:
    state = compose(entry_of(), around())
    assert (state.agency_id, state.agency_name) == (ROADS, "Department of Roads")


def test_a_stewardship_names_another_agency_with_that_agencys_name() -> None:
    state = compose(entry_of(), around(agency_id=HEALTH))
    assert (state.agency_id, state.agency_name) == (HEALTH, "Department of Health")


def test_an_agency_whose_name_is_not_known_yet_never_bears_the_publishers() -> None:
    state = compose(entry_of(), around(agency_id=UUID(int=102)))
    assert (state.agency_id, state.agency_name) == (UUID(int=102), None)


def test_a_persons_decision_stands_over_governance_and_governance_over_the_source() -> None:
    entry = entry_of(source={"access_level": "public"})
    given = around(access_level="restricted public", visibility="government", accrual_periodicity="R/P1W")
    assert compose(entry, given).access_level == "restricted public"
    decided = replace(entry, decisions=Overrides(access_level="non-public", rights="Ask the clerk."))
    state = compose(decided, given)
    told = (state.access_level, state.visibility, state.accrual_periodicity, state.rights)
    assert told == ("non-public", "government", "R/P1W", "Ask the clerk.")


def test_the_later_of_two_updates_stands() -> None:
    entry = entry_of(source={"data_updated_at": datetime(2026, 1, 5, tzinfo=UTC)})
    assert compose(entry, around(data_updated_on=date(2026, 2, 1))).data_updated_at == datetime(
        2026, 2, 1, tzinfo=UTC
    )
    assert compose(entry, around(data_updated_on=date(2025, 2, 1))).data_updated_at == datetime(
        2026, 1, 5, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("word", "told"), [("public", "public"), ("government", "government"), ("courts only", "agency")]
)
def test_a_visibility_that_is_not_known_hides_the_record(word: str, told: str) -> None:
    assert compose(entry_of(), around(visibility=word)).visibility == told


def test_an_access_level_that_is_not_known_closes_the_data() -> None:
    assert compose(entry_of(), around(access_level="by appointment")).access_level == "non-public"


def test_nothing_new_raises_neither_version_nor_revision() -> None:
    entry = register(state_of(), "hash", around())
    revised = revise(entry, around(), LATER)
    assert (revised.after, revised.fields) == (entry, ())


def test_a_change_raises_version_and_revision_and_names_its_fields() -> None:
    entry = register(state_of(), "hash", around())
    changed = replace(entry, source=state_of(title="Another"))
    revised = revise(changed, around(steward_id=UUID(int=7)), LATER)
    assert revised.fields == ("title", "steward_id")
    after = revised.after
    assert (after.version, after.document_revision, after.state.metadata_changed_at) == (2, 2, LATER)
    assert after.state.registered_at == NOW


def test_a_retired_entry_is_a_small_hidden_document_that_keeps_its_revision() -> None:
    retired = retire(entry_of(source={"description": "long"}), "It left.", LATER)
    document = search_document(retired)
    assert (document.hidden, document.revision, document.description) == (True, 2, "")
    assert document.audience() is None
    assert not retired.is_public
    assert retired.state.retired_at == LATER


def test_a_returning_entry_tells_that_it_is_no_longer_retired() -> None:
    retired = retire(entry_of(), "It left.", LATER)
    revised = revise(replace(retired, retired_at=None, retired_reason=None), NOTHING_AROUND, LATER)
    assert revised.fields == ("retired_at",)
    assert (revised.after.version, revised.after.is_public) == (3, True)


def test_a_document_holds_what_search_looks_in() -> None:
    formats = [
        Distribution(format="CSV"),
        Distribution(format="CSV"),
        Distribution(),
        Distribution(format="PDF"),
    ]
    columns = (Column(name="twn", title="Town", description="Where"), Column(name="n"))
    entry = entry_of(source={"distributions": formats}, columns=columns, quality_score=0.5, freshness="late")
    document = search_document(replace(entry, state=compose(entry, NOTHING_AROUND)))
    assert document.formats == ("CSV", "PDF")
    assert document.column_names == ("twn", "Town", "n")
    assert document.column_descriptions == ("Where",)
    assert (document.quality_score, document.freshness) == (0.5, "late")


@pytest.mark.parametrize("status", ["unheard of", "", None])
def test_a_freshness_that_is_not_known_is_told_as_such(status: str | None) -> None:
    assert known_freshness(status) == "not-known"


@pytest.mark.parametrize(
    ("uses", "bucket"), [(-1, 0), (0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1_000, 10), (2**40, 24)]
)
def test_popularity_is_a_logarithmic_step(uses: int, bucket: int) -> None:
    assert popularity_bucket(uses) == bucket


@pytest.mark.parametrize(
    ("address", "is_tried"),
    [
        ("https://a.example/schema.json", True),
        ("https://a.example/schema.JSON?version=2", True),
        ("https://data.example/api/views/abcd-1234", True),
        ("https://a.example/handbook.pdf", False),
        ("https://a.example/page?file=x.json", False),
        (None, False),
    ],
)
def test_only_addresses_that_look_like_a_dictionary_are_tried(address: str | None, is_tried: bool) -> None:
    assert (dictionary_address(state_of(described_by=address)) is not None) == is_tried


def test_the_public_subset_names_no_person_of_the_directory() -> None:
    told = public_dataset(state_of(steward_id=UUID(int=7), agency_id=ROADS)).model_dump_json()
    assert str(UUID(int=7)) not in told
    assert str(ROADS) not in told
