"""What every search engine must find, in which order, with which facets and pages."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.catalog.search.domain.index import CatalogIndex
from services.catalog.search.domain.search import (
    FACETS,
    RESCORE_WINDOW,
    Facet,
    InvalidSearchError,
    SearchDocument,
    SearchQuery,
    SortOrder,
)
from tests.conformance.catalog_index_fixtures import (
    ENGINE_PARAMS,
    ENGINES,
    EVERYONE,
    NORTH,
    SOUTH,
    all_pages,
    counts,
    dataset_id,
    document,
    titles,
    wells,
)
from tests.conformance.judged_queries import JudgedQuery, judged_documents, judged_queries, ndcg_at_10

JUDGED = judged_queries()
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


@pytest.fixture(params=ENGINE_PARAMS)
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CatalogIndex]:
    async with ENGINES[request.param](request, tmp_path) as opened:
        yield opened


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
                    condition="problem" if freshness == "stale" else "ok",
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
        assert counts(page, "condition") == {"ok": 4, "problem": 1}
        wrong = await shelf.search(SearchQuery("wells", filters={"condition": frozenset({"problem"})}))
        assert [hit.title for hit in wrong.results] == ["Wells 4"]
        assert [count.label for count in page.facets["agency"]] == ["North Agency", "South Agency"]

    async def test_as_many_values_of_a_facet_are_listed_as_are_asked_for(self, shelf: CatalogIndex) -> None:
        few = await shelf.search(SearchQuery("wells", facet_limit=1))
        assert counts(few, "keyword") == {"common": 5}
        more = await shelf.search(SearchQuery("wells", facet_limit=2))
        assert counts(more, "keyword") == {"common": 5, "soil": 3}
        assert counts(more, "agency") == {str(NORTH): 3, str(SOUTH): 2}

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
