"""No search engine shows, counts, suggests or hints at a record that its viewer may not see."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.catalog.search.domain.index import CatalogIndex
from services.catalog.search.domain.search import (
    Facet,
    InvalidSearchError,
    SearchDocument,
    SearchQuery,
    SortOrder,
    ViewerScope,
)
from tests.conformance.catalog_index_fixtures import (
    ENGINE_PARAMS,
    ENGINES,
    EVERYONE,
    NORTH,
    SOUTH,
    counts,
    document,
)


@pytest.fixture(params=ENGINE_PARAMS)
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CatalogIndex]:
    async with ENGINES[request.param](request, tmp_path) as opened:
        yield opened


class TestVisibility:
    @pytest.fixture
    async def mixed(self, index: CatalogIndex) -> CatalogIndex:
        """One document of each kind, with words and facet values that only it has."""
        kinds: list[tuple[str, SearchDocument]] = [
            ("public", document("p", "Wells public")),
            ("government", document("g", "Wells government", visibility="government")),
            ("north", document("n", "Wells north", visibility="agency", agency_id=NORTH)),
            ("south", document("s", "Wells south", visibility="agency", agency_id=SOUTH)),
            ("nobody", document("o", "Wells nobody", visibility="agency", agency_id=None)),
            ("retired", replace(document("r", "Wells retired"), hidden=True)),
        ]
        await index.upsert(
            [
                replace(
                    each,
                    keywords=(f"only {name}",),
                    themes=(f"theme {name}",),
                    formats=(f"format {name}",),
                    access_level=f"access {name}",
                    license=f"license {name}",
                )
                for name, each in kinds
            ]
        )
        return index

    SCOPES = (
        (ViewerScope.public(), {"public"}),
        (ViewerScope.government(), {"public", "government"}),
        (ViewerScope.government(frozenset({NORTH})), {"public", "government", "north"}),
        (ViewerScope.government(frozenset({NORTH, SOUTH})), {"public", "government", "north", "south"}),
        (ViewerScope("public", frozenset({SOUTH})), {"public", "south"}),
        (ViewerScope.everything(), {"public", "government", "north", "south", "nobody"}),
    )

    @pytest.mark.parametrize(("viewer", "seen"), SCOPES)
    @pytest.mark.parametrize("text", ["wells", "", '"wells"', "wells unicorn", "only"])
    async def test_hits_totals_and_facets_hold_exactly_what_the_viewer_may_see(
        self, mixed: CatalogIndex, viewer: ViewerScope, seen: set[str], text: str
    ) -> None:
        page = await mixed.search(SearchQuery(text, viewer=viewer))
        assert {hit.title.removeprefix("Wells ") for hit in page.results} == seen
        assert page.total == len(seen)
        prefixes: dict[Facet, str] = {
            "keyword": "only",
            "theme": "theme",
            "format": "format",
            "access_level": "access",
            "license": "license",
        }
        for facet, prefix in prefixes.items():
            values = {count.value.casefold() for count in page.facets[facet]}
            assert values == {f"{prefix} {name}" for name in seen}
        visible_agencies = {str(NORTH)} if "south" not in seen else {str(NORTH), str(SOUTH)}
        assert set(counts(page, "agency")) == visible_agencies

    @pytest.mark.parametrize(("viewer", "seen"), SCOPES)
    @pytest.mark.parametrize("sort", ["title", "modified", "popular", "quality"])
    async def test_no_sort_shows_more(
        self, mixed: CatalogIndex, viewer: ViewerScope, seen: set[str], sort: SortOrder
    ) -> None:
        page = await mixed.search(SearchQuery(viewer=viewer, sort=sort))
        assert {hit.title.removeprefix("Wells ") for hit in page.results} == seen

    @pytest.mark.parametrize(("viewer", "seen"), SCOPES)
    async def test_suggestions_hold_exactly_what_the_viewer_may_see(
        self, mixed: CatalogIndex, viewer: ViewerScope, seen: set[str]
    ) -> None:
        found = await mixed.suggest("wel", viewer)
        assert {each.title.removeprefix("Wells ") for each in found} == seen

    @pytest.mark.parametrize(
        "filters",
        [
            {"keyword": "only south"},
            {"theme": "theme south"},
            {"agency": str(SOUTH)},
            {"license": "license south"},
        ],
    )
    async def test_a_filter_on_a_value_of_a_record_out_of_sight_finds_nothing(
        self, mixed: CatalogIndex, filters: dict[Facet, str]
    ) -> None:
        chosen = {facet: frozenset({value}) for facet, value in filters.items()}
        page = await mixed.search(SearchQuery(filters=chosen))
        assert (page.total, page.results) == (0, ())
        assert sum(count.count for facet in filters for count in page.facets[facet] if count.chosen) == 0

    async def test_a_record_out_of_sight_does_not_keep_a_query_from_being_relaxed(
        self, mixed: CatalogIndex
    ) -> None:
        page = await mixed.search(SearchQuery("wells south"))
        assert [hit.title for hit in page.results] == ["Wells public"]
        assert page.relaxed is not None

    async def test_a_cursor_does_not_carry_one_viewer_s_rights_to_another(self, mixed: CatalogIndex) -> None:
        page = await mixed.search(SearchQuery("wells", size=1, viewer=EVERYONE))
        with pytest.raises(InvalidSearchError, match="cursor"):
            await mixed.search(SearchQuery("wells", size=1, cursor=page.next_cursor))

    async def test_a_record_that_turns_restricted_is_gone_with_the_write(self, index: CatalogIndex) -> None:
        public = replace(document("a", "Wells"), keywords=("secret",))
        await index.upsert([public])
        assert counts(await index.search(SearchQuery("wells")), "keyword") == {"secret": 1}
        await index.upsert([replace(public, revision=2, visibility="agency")])
        page = await index.search(SearchQuery("wells"))
        assert (page.total, counts(page, "keyword")) == (0, {})
