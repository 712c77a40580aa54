"""What every search engine behind ``CatalogIndex`` must do. Engines are listed in catalog_index_fixtures."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid5

import pytest

from services.catalog.domain.search import (
    FACETS,
    RESCORE_WINDOW,
    Facet,
    InvalidSearchError,
    SearchDocument,
    SearchPage,
    SearchQuery,
    SortOrder,
    ViewerScope,
)
from services.catalog.ports import CatalogIndex
from tests.conformance.catalog_index_fixtures import ENGINES
from tests.conformance.judged_queries import JudgedQuery, judged_documents, judged_queries, ndcg_at_10

JUDGED = judged_queries()

SPACE = UUID("b3b7ad6e-14a8-5d09-8a36-0e5a3a1f7f10")
NORTH, SOUTH = UUID(int=101), UUID(int=202)
EVERYONE = ViewerScope.everything()
NASTY_TEXTS = [
    *(
        '"(((',
        "a AND OR NOT (",
        "title:x^2~ *? [a TO b] {",
        "/.*/",
        "\\",
        "'",
        "--",
        "* ?",
        "+-&|!",
        " ",
        "\n\t",
    ),
    *("\x00", "\x00wells\x00", "\u202e", "\ud800", "wells \udfff", "😀", "é" * 5, "ﷺ", "“wells"),
    *("wells" * 2_000, "w " * 5_000, '"wells wells" ' * 500),
]


@pytest.fixture(params=list(ENGINES))
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CatalogIndex]:
    async with ENGINES[request.param](tmp_path) as opened:
        yield opened


def dataset_id(name: object) -> UUID:
    return uuid5(SPACE, str(name))


def document(
    name: object,
    title: str,
    description: str = "",
    *,
    revision: int = 1,
    visibility: Literal["public", "government", "agency"] = "public",
    agency_id: UUID | None = NORTH,
) -> SearchDocument:
    agency = {NORTH: "North Agency", SOUTH: "South Agency"}.get(agency_id) if agency_id else None
    return SearchDocument(
        dataset_id(name),
        revision,
        title,
        description,
        visibility=visibility,
        agency_id=agency_id,
        agency_name=agency,
    )


def wells(count: int) -> list[SearchDocument]:
    """Documents that all match "wells", varied in everything that orders, with many equal keys."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        replace(
            document(n, f"Wells of district {n % 50}", "Depth and yield of wells."),
            quality_score=n % 5 / 5,
            popularity_bucket=n % 3,
            data_updated_at=start - timedelta(days=n % 7) if n % 11 else None,
        )
        for n in range(count)
    ]


async def stream(documents: Iterable[SearchDocument]) -> AsyncIterator[SearchDocument]:
    for found in documents:
        yield found


async def titles(index: CatalogIndex, text: str, viewer: ViewerScope = EVERYONE) -> list[str]:
    page = await index.search(SearchQuery(text, viewer=viewer))
    return [hit.title for hit in page.results]


async def all_pages(index: CatalogIndex, query: SearchQuery) -> list[SearchPage]:
    pages = [await index.search(query)]
    while pages[-1].next_cursor is not None:
        pages.append(await index.search(replace(query, cursor=pages[-1].next_cursor)))
    return pages


async def held(index: CatalogIndex) -> dict[UUID, tuple[int, bool]]:
    return {found.dataset_id: (found.revision, found.hidden) async for found in index.scan()}


def counts(page: SearchPage, facet: Facet) -> dict[str, int]:
    return {count.value: count.count for count in page.facets[facet]}


class TestWriting:
    async def test_what_was_written_is_found_at_once(self, index: CatalogIndex) -> None:
        outcomes = await index.upsert([document("a", "Wells"), document("b", "Bridges")])
        assert [(outcome.dataset_id, outcome.status) for outcome in outcomes] == [
            (dataset_id("a"), "applied"),
            (dataset_id("b"), "applied"),
        ]
        assert await titles(index, "wells") == ["Wells"]
        assert await index.count() == 2

    async def test_an_older_or_equal_revision_is_stale_and_changes_nothing(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "Wells now", revision=5)])
        outcomes = await index.upsert(
            [document("a", "Wells before", revision=4), document("a", "Wells again", revision=5)]
        )
        assert [outcome.status for outcome in outcomes] == ["stale", "stale"]
        assert await titles(index, "wells") == ["Wells now"]

    async def test_a_newer_revision_replaces_the_document(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "Wells")])
        await index.upsert([document("a", "Bridges", revision=2)])
        assert await titles(index, "wells") == []
        assert await titles(index, "bridges") == ["Bridges"]
        assert await held(index) == {dataset_id("a"): (2, False)}

    @pytest.mark.parametrize("revisions", [(1, 2), (2, 1), (1, 3, 2), (2, 2)])
    async def test_within_one_batch_the_highest_revision_wins(
        self, index: CatalogIndex, revisions: tuple[int, ...]
    ) -> None:
        batch = [document("a", f"Wells {revision}", revision=revision) for revision in revisions]
        outcomes = await index.upsert(batch)
        assert len(outcomes) == len(batch)
        assert await titles(index, "wells") == [f"Wells {max(revisions)}"]
        assert await held(index) == {dataset_id("a"): (max(revisions), False)}

    async def test_a_hidden_document_is_found_by_no_one_and_keeps_its_revision(
        self, index: CatalogIndex
    ) -> None:
        await index.upsert([document("a", "Wells")])
        await index.upsert([replace(document("a", "Wells", revision=2), hidden=True)])
        assert await titles(index, "wells", EVERYONE) == []
        assert await titles(index, "", EVERYONE) == []
        assert await index.suggest("wel", EVERYONE) == ()
        late = await index.upsert([document("a", "Wells")])
        assert late[0].status == "stale"
        assert (await index.count(), await index.count(hidden=True)) == (0, 1)

    async def test_a_retired_dataset_can_come_back_with_a_newer_revision(self, index: CatalogIndex) -> None:
        await index.upsert([replace(document("a", "Wells"), hidden=True)])
        await index.upsert([document("a", "Wells", revision=2)])
        assert await titles(index, "wells") == ["Wells"]

    async def test_a_purged_document_is_forgotten(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "Wells"), document("b", "Wells too")])
        assert await index.purge([dataset_id("a"), dataset_id("unknown")]) == 1
        assert await titles(index, "wells") == ["Wells too"]
        assert set(await held(index)) == {dataset_id("b")}

    async def test_a_document_that_can_not_be_indexed_is_refused_alone(self, index: CatalogIndex) -> None:
        bad = [
            replace(document("x", "Wells"), keywords="water"),  # type: ignore[arg-type]
            replace(document("x", "Wells"), title=7),  # type: ignore[arg-type]
            replace(document("x", "Wells"), quality_score="good"),  # type: ignore[arg-type]
            replace(document("x", "Wells"), revision=-1),
            replace(document("x", "Wells"), data_updated_at="2026-01-01"),  # type: ignore[arg-type]
            replace(document("x", "Half a character \ud800")),
            replace(document("x", "Wells"), popularity_bucket=2**80),
        ]
        outcomes = await index.upsert([document("a", "Wells"), *bad, document("b", "Wells too")])
        assert [outcome.status for outcome in outcomes] == ["applied", *["refused"] * len(bad), "applied"]
        assert all(outcome.reason for outcome in outcomes if outcome.status == "refused")
        assert sorted(await titles(index, "wells")) == ["Wells", "Wells too"]
        assert (await index.upsert([document("c", "Wells three")]))[0].status == "applied"

    async def test_a_huge_and_a_bare_document_are_both_indexed(self, index: CatalogIndex) -> None:
        huge = replace(
            document("huge", "Wells " * 160, "deep " * 12_000),
            keywords=tuple(f"keyword {n}" for n in range(2_000)),
            column_names=tuple(f"column_{n}" for n in range(2_000)),
            license="x" * 100_000,
        )
        outcomes = await index.upsert([huge, SearchDocument(dataset_id("bare"), 0, "")])
        assert [outcome.status for outcome in outcomes] == ["applied", "applied"]
        assert len(await titles(index, "deep wells")) == 1

    async def test_no_documents_are_no_work(self, index: CatalogIndex) -> None:
        assert await index.upsert([]) == []
        assert await index.purge([]) == 0

    async def test_a_scan_gives_every_document_once(self, index: CatalogIndex) -> None:
        documents = wells(250)
        await index.upsert(documents)
        found = [revision async for revision in index.scan()]
        assert len(found) == 250
        assert {revision.dataset_id for revision in found} == {each.dataset_id for each in documents}


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


class TestWords:
    @pytest.mark.parametrize("judged", JUDGED, ids=lambda judged: judged.text)
    async def test_a_judged_query_finds_the_best_first(
        self, index: CatalogIndex, judged: JudgedQuery
    ) -> None:
        await index.upsert(judged_documents())
        page = await index.search(SearchQuery(judged.text, size=10))
        found = [hit.title for hit in page.results]
        assert ndcg_at_10(found, judged.grades) >= 0.8, found
        assert (page.relaxed is not None) == judged.relaxed

    async def test_the_judged_queries_together_reach_0_95(self, index: CatalogIndex) -> None:
        await index.upsert(judged_documents())
        gains = []
        for judged in JUDGED:
            page = await index.search(SearchQuery(judged.text, size=10))
            gains.append(ndcg_at_10([hit.title for hit in page.results], judged.grades))
        assert len(gains) >= 30
        assert sum(gains) / len(gains) >= 0.95

    async def test_every_title_finds_its_dataset_first_however_it_is_typed(self, index: CatalogIndex) -> None:
        documents = judged_documents()
        await index.upsert(documents)
        for each in documents:
            for typed in (each.title, each.title.upper(), f"  {each.title.lower()} ", f'"{each.title}"'):
                page = await index.search(SearchQuery(typed, size=1))
                assert page.results[0].title == each.title, typed

    async def test_the_exact_title_is_first_among_hundreds_that_say_it_louder(
        self, index: CatalogIndex
    ) -> None:
        louder = [
            replace(
                document(n, f"Water Quality {n} Water Quality", "water quality " * 20),
                keywords=("water quality",),
                quality_score=1.0,
                freshness="ok",
                popularity_bucket=9,
            )
            for n in range(RESCORE_WINDOW + 50)
        ]
        exact = replace(document("exact", "Water quality"), quality_score=0.0, freshness="stale")
        await index.upsert([*louder, exact])
        assert (await titles(index, "water quality"))[0] == "Water quality"

    async def test_use_and_quality_order_equals_and_zero_use_hides_nothing(self, index: CatalogIndex) -> None:
        plain = document("a", "Wells of the state")
        await index.upsert(
            [
                plain,
                replace(plain, dataset_id=dataset_id("b"), title="Wells of the State", popularity_bucket=4),
            ]
        )
        page = await index.search(SearchQuery("state wells"))
        assert [hit.dataset_id for hit in page.results] == [dataset_id("b"), dataset_id("a")]

    async def test_a_quoted_phrase_is_taken_as_it_stands(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "Clean drinking water"), document("b", "Water for drinking")])
        assert await titles(index, '"drinking water"') == ["Clean drinking water"]
        assert len(await titles(index, "drinking water")) == 2

    async def test_no_phrase_spans_two_fields_or_two_keywords(self, index: CatalogIndex) -> None:
        apart = replace(
            document("a", "All about drinking", "Water"), keywords=("clean drinking", "water wells")
        )
        await index.upsert([apart])
        page = await index.search(SearchQuery('"drinking water"'))
        assert page.relaxed is not None

    async def test_a_query_without_hits_is_relaxed_and_says_so(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "Places of the state, 2024"), document("b", "State parks")])
        page = await index.search(SearchQuery("state places 2025 unicorn"))
        assert page.results[0].title == "Places of the state, 2024"
        assert page.relaxed is not None
        assert "2" in page.relaxed

    async def test_a_query_with_hits_is_not_relaxed(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "State places"), document("b", "State parks")])
        page = await index.search(SearchQuery("state places"))
        assert (page.total, page.relaxed) == (1, None)

    async def test_nothing_at_all_is_an_empty_page_that_relaxed_nothing(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "State places")])
        page = await index.search(SearchQuery("unicorn zebra"))
        assert (page.total, page.results, page.next_cursor, page.relaxed) == (0, (), None, None)

    @pytest.mark.parametrize("text", NASTY_TEXTS)
    async def test_no_text_raises(self, index: CatalogIndex, text: str) -> None:
        await index.upsert([document("a", "Wells")])
        page = await index.search(
            SearchQuery(text, filters={"keyword": frozenset({text}), "agency": frozenset({text})})
        )
        assert page.total == 0
        assert (await index.search(SearchQuery(text))).total in {0, 1}
        assert len(await index.suggest(text, EVERYONE)) <= 1

    async def test_words_of_columns_agencies_and_identifiers_are_found(self, index: CatalogIndex) -> None:
        full = replace(
            document("a", "Wells"),
            column_names=("aquifer_depth",),
            column_descriptions=("Metres below ground",),
            identifier="abcd-1234",
            publisher_name="Geological Survey",
            themes=("Environment",),
        )
        await index.upsert([full, document("b", "Bridges")])
        for text in (
            "aquifer",
            "metres below",
            "abcd-1234",
            "geological",
            "environment",
            "north agency wells",
        ):
            assert (await titles(index, text))[0] == "Wells", text

    async def test_matches_are_marked_as_plain_segments(self, index: CatalogIndex) -> None:
        await index.upsert(
            [document("a", "<b>Wells</b> & more", "x " * 300 + "The deep well <script> here. " + "y " * 300)]
        )
        hit = (await index.search(SearchQuery("well"))).results[0]
        marked = {
            each.field: [part.text for part in each.segments if part.matched] for each in hit.highlights
        }
        assert marked == {"title": ["Wells"], "description": ["well"]}
        assert "".join(part.text for part in hit.highlights[0].segments) == "<b>Wells</b> & more"
        excerpt = "".join(part.text for part in hit.highlights[1].segments)
        assert "deep well <script> here" in excerpt
        assert len(excerpt) < 300

    async def test_a_score_is_explained_by_reasons_that_add_up(self, index: CatalogIndex) -> None:
        await index.upsert([replace(document("a", "Deep wells"), quality_score=0.7, popularity_bucket=2)])
        hit = (await index.search(SearchQuery("deep wells"))).results[0]
        assert hit.score == pytest.approx(sum(reason.points for reason in hit.explain), abs=0.01)
        assert "exactly" in hit.explain[0].reason


class TestFacets:
    @pytest.fixture
    async def shelf(self, index: CatalogIndex) -> CatalogIndex:
        rows = [
            (NORTH, "CSV", "Water", "ok"),
            (NORTH, "csv", "water", "late"),
            (NORTH, "JSON", "Soil", "ok"),
            (SOUTH, "CSV", "Soil", "ok"),
            (SOUTH, "JSON", "Soil", "stale"),
        ]
        await index.upsert(
            [
                replace(
                    document(n, f"Wells {n}", agency_id=agency),
                    formats=(file_format, file_format),
                    keywords=(keyword, "common"),
                    freshness=freshness,  # type: ignore[arg-type]
                )
                for n, (agency, file_format, keyword, freshness) in enumerate(rows)
            ]
        )
        return index

    async def test_every_facet_is_counted_over_the_result(self, shelf: CatalogIndex) -> None:
        page = await shelf.search(SearchQuery("wells"))
        assert set(page.facets) == set(FACETS)
        assert counts(page, "agency") == {str(NORTH): 3, str(SOUTH): 2}
        assert counts(page, "format") == {"CSV": 3, "JSON": 2}
        assert counts(page, "keyword") == {"common": 5, "soil": 3, "water": 2}
        assert counts(page, "freshness") == {"ok": 3, "late": 1, "stale": 1}
        assert [count.label for count in page.facets["agency"]] == ["North Agency", "South Agency"]

    async def test_a_facet_ignores_its_own_filter_and_heeds_the_others(self, shelf: CatalogIndex) -> None:
        filters: dict[Facet, frozenset[str]] = {
            "agency": frozenset({str(NORTH)}),
            "format": frozenset({"csv"}),
        }
        page = await shelf.search(SearchQuery("wells", filters=filters))
        assert page.total == 2
        assert counts(page, "agency") == {str(NORTH): 2, str(SOUTH): 1}
        assert counts(page, "format") == {"CSV": 2, "JSON": 1}
        assert counts(page, "freshness") == {"ok": 1, "late": 1}
        assert {count.value for count in page.facets["format"] if count.chosen} == {"CSV"}

    async def test_values_of_one_facet_are_alternatives(self, shelf: CatalogIndex) -> None:
        page = await shelf.search(SearchQuery(filters={"keyword": frozenset({"WATER", "soil"})}))
        assert page.total == 5
        page = await shelf.search(
            SearchQuery(filters={"agency": frozenset({str(SOUTH)}), "keyword": frozenset({"Soil"})})
        )
        assert page.total == 2

    async def test_a_chosen_value_without_hits_stays_listed_to_be_taken_back(
        self, shelf: CatalogIndex
    ) -> None:
        page = await shelf.search(SearchQuery("wells", filters={"keyword": frozenset({"nowhere"})}))
        assert page.total == 0
        chosen = [(count.value, count.count) for count in page.facets["keyword"] if count.chosen]
        assert chosen == [("nowhere", 0)]

    async def test_the_count_of_each_value_is_what_choosing_it_gives(self, shelf: CatalogIndex) -> None:
        page = await shelf.search(SearchQuery("wells"))
        for facet, found in page.facets.items():
            for count in found:
                narrowed = await shelf.search(SearchQuery("wells", filters={facet: frozenset({count.value})}))
                assert narrowed.total == count.count, (facet, count.value)

    async def test_facets_are_left_out_on_request(self, shelf: CatalogIndex) -> None:
        assert (await shelf.search(SearchQuery("wells", with_facets=False))).facets == {}

    async def test_facets_follow_a_write(self, shelf: CatalogIndex) -> None:
        await shelf.search(SearchQuery("wells"))
        await shelf.upsert([document("new", "Wells new", agency_id=SOUTH)])
        assert counts(await shelf.search(SearchQuery("wells")), "agency") == {str(NORTH): 3, str(SOUTH): 3}


class TestPages:
    COUNT = RESCORE_WINDOW * 2 + 45

    @pytest.mark.parametrize("sort", ["relevance", "title", "modified", "popular", "quality"])
    @pytest.mark.parametrize("text", ["wells", "", "wells unicorn"])
    async def test_pages_together_hold_every_hit_once(
        self, index: CatalogIndex, sort: SortOrder, text: str
    ) -> None:
        await index.upsert(wells(self.COUNT))
        pages = await all_pages(index, SearchQuery(text, sort=sort, size=67, with_facets=False))
        found = [hit.dataset_id for page in pages for hit in page.results]
        assert len(found) == len(set(found)) == self.COUNT
        assert {page.total for page in pages} == {self.COUNT}
        assert {page.relaxed for page in pages} == {pages[0].relaxed}

    @pytest.mark.parametrize("size", [1, 100])
    async def test_a_page_that_ends_with_the_window_is_followed_by_the_rest(
        self, index: CatalogIndex, size: int
    ) -> None:
        count = RESCORE_WINDOW + 3
        await index.upsert(wells(count))
        pages = await all_pages(index, SearchQuery("wells", size=size, with_facets=False))
        found = [hit.dataset_id for page in pages for hit in page.results]
        assert len(found) == len(set(found)) == count

    async def test_each_order_is_kept_over_pages(self, index: CatalogIndex) -> None:
        documents = {each.dataset_id: each for each in wells(150)}
        await index.upsert(list(documents.values()))

        async def ordered(sort: SortOrder) -> list[SearchDocument]:
            pages = await all_pages(index, SearchQuery(sort=sort, size=40, with_facets=False))
            return [documents[hit.dataset_id] for page in pages for hit in page.results]

        by_title = [each.title.casefold() for each in await ordered("title")]
        assert by_title == sorted(by_title)
        popular = [each.popularity_bucket for each in await ordered("popular")]
        assert popular == sorted(popular, reverse=True)
        quality = [each.quality_score or 0.0 for each in await ordered("quality")]
        assert quality == sorted(quality, reverse=True)
        never = datetime.min.replace(tzinfo=UTC)
        modified = [each.data_updated_at or never for each in await ordered("modified")]
        assert modified == sorted(modified, reverse=True)

    async def test_the_engine_s_order_after_the_window_carries_no_score(self, index: CatalogIndex) -> None:
        await index.upsert(wells(RESCORE_WINDOW + 10))
        pages = await all_pages(index, SearchQuery("wells", size=100, with_facets=False))
        scores = [hit.score for page in pages for hit in page.results]
        first = [score for score in scores[:RESCORE_WINDOW] if score is not None]
        assert len(first) == RESCORE_WINDOW
        assert first == sorted(first, reverse=True)
        assert scores[RESCORE_WINDOW:] == [None] * 10

    async def test_a_cursor_of_another_query_is_refused_with_the_cure(self, index: CatalogIndex) -> None:
        await index.upsert(wells(5))
        page = await index.search(SearchQuery("wells", size=2))
        with pytest.raises(InvalidSearchError, match="first page"):
            await index.search(SearchQuery("well", size=2, cursor=page.next_cursor))
        with pytest.raises(InvalidSearchError, match="first page"):
            await index.search(SearchQuery("wells", size=2, cursor="made up"))

    async def test_a_page_after_changes_before_it_repeats_and_misses_nothing(
        self, index: CatalogIndex
    ) -> None:
        documents = [document(n, f"Wells {n:03}") for n in range(60)]
        await index.upsert(documents)
        first = await index.search(SearchQuery(sort="title", size=20))
        await index.upsert([replace(documents[n], revision=2, hidden=True) for n in range(10)])
        await index.upsert([document(f"new {n}", f"Wells 000 {n}") for n in range(3)])
        second = await index.search(SearchQuery(sort="title", size=20, cursor=first.next_cursor))
        assert [hit.title for hit in second.results] == [f"Wells {n:03}" for n in range(20, 40)]

    @pytest.mark.parametrize("size", [0, -1, 101])
    def test_a_page_size_out_of_bounds_is_refused(self, size: int) -> None:
        with pytest.raises(InvalidSearchError, match="1 to 100") as refusal:
            SearchQuery(size=size)
        assert refusal.value.field == "size"


class TestSuggestions:
    async def test_titles_that_begin_so_come_first_and_each_title_once(self, index: CatalogIndex) -> None:
        await index.upsert(
            [
                replace(document("a", "Deep wells"), popularity_bucket=9),
                document("b", "Wells"),
                document("c", "wells"),
                document("d", "Well drillers"),
                document("e", "Bridges"),
            ]
        )
        found = [each.title.casefold() for each in await index.suggest("Wel", EVERYONE)]
        assert sorted(found[:2]) == ["well drillers", "wells"]
        assert found[2:] == ["deep wells"]

    async def test_the_last_word_may_be_unfinished(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "Overdose deaths by town"), document("b", "Overdose kits")])
        assert [each.title for each in await index.suggest("death ov", EVERYONE)] == []
        assert [each.title for each in await index.suggest("overdose de", EVERYONE)] == [
            "Overdose deaths by town"
        ]
        assert [each.title for each in await index.suggest("town overdose d", EVERYONE)] == [
            "Overdose deaths by town"
        ]

    async def test_no_more_than_asked(self, index: CatalogIndex) -> None:
        await index.upsert([document(n, f"Wells {n}") for n in range(30)])
        assert len(await index.suggest("wells", EVERYONE, 5)) == 5
        assert await index.suggest("", EVERYONE) == ()


class TestRebuild:
    async def test_a_rebuild_replaces_everything(self, index: CatalogIndex) -> None:
        await index.upsert([document("old", "Wells old"), document("a", "Wells a", revision=7)])
        report = await index.rebuild(stream([document("a", "Wells a", revision=7), document("b", "Wells b")]))
        assert (report.applied, report.caught_up, report.refused) == (2, 0, ())
        assert sorted(await titles(index, "wells")) == ["Wells a", "Wells b"]
        assert await held(index) == {dataset_id("a"): (7, False), dataset_id("b"): (1, False)}
        assert (await index.status()).needs_rebuild is None

    async def test_the_index_answers_and_takes_writes_during_a_rebuild(self, index: CatalogIndex) -> None:
        await index.upsert(
            [document("a", "Wells a"), document("gone", "Wells gone"), document("b", "Wells b")]
        )

        async def rows() -> AsyncIterator[SearchDocument]:
            yield document("a", "Wells a")
            await index.upsert([document("a", "Wells a, newer", revision=2), document("c", "Wells c")])
            await index.purge([dataset_id("gone")])
            assert len(await titles(index, "wells")) == 3
            yield document("gone", "Wells gone")
            yield document("c", "Wells c, older", revision=0)
            yield document("b", "Wells b")

        report = await index.rebuild(rows())
        assert report.caught_up == 2
        assert sorted(await titles(index, "wells")) == ["Wells a, newer", "Wells b", "Wells c"]
        assert (await index.upsert([document("a", "Wells late", revision=1)]))[0].status == "stale"

    async def test_a_rebuild_that_fails_leaves_the_old_index(self, index: CatalogIndex) -> None:
        await index.upsert([document("a", "Wells")])

        async def rows() -> AsyncIterator[SearchDocument]:
            yield document("b", "Bridges")
            raise RuntimeError("the store went away")

        with pytest.raises(RuntimeError, match="went away"):
            await index.rebuild(rows())
        assert await titles(index, "wells") == ["Wells"]
        await index.upsert([document("b", "Bridges")])
        assert (await index.rebuild(stream([document("c", "Lakes")]))).applied == 1
        assert await titles(index, "lakes") == ["Lakes"]

    async def test_a_refused_row_is_reported_and_stops_nothing(self, index: CatalogIndex) -> None:
        bad = replace(document("x", "Wells"), title=None)  # type: ignore[arg-type]
        report = await index.rebuild(stream([document("a", "Wells"), bad, document("b", "Wells too")]))
        assert report.applied == 2
        assert [outcome.dataset_id for outcome in report.refused] == [dataset_id("x")]

    async def test_searches_never_find_the_index_dark_while_it_is_swapped(self, index: CatalogIndex) -> None:
        documents = wells(300)
        await index.upsert(documents)
        seen: list[int] = []
        done = asyncio.Event()

        async def look() -> None:
            while not done.is_set():
                seen.append((await index.search(SearchQuery("wells", size=1, with_facets=False))).total)

        looking = asyncio.create_task(look())
        for _ in range(3):
            await index.rebuild(stream(documents))
        done.set()
        await looking
        assert set(seen) == {300}
