"""The catalogue's pages: what they say, what they never say, and that their address is their state."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

import httpx
import pytest

from services.catalog.datasets.pages.routes import DatasetAct
from services.catalog.search.domain.index import CatalogIndexError
from services.catalog.search.domain.search import InvalidSearchError
from shared.events.catalog import DatasetState
from shared.identity.viewer import Viewer
from tests.unit.catalog import page_views as views
from tests.unit.catalog.page_application import FixedReader, build
from tests.unit.http.application import client

HTML = {"Accept": "text/html"}
ATOM = {"atom": "http://www.w3.org/2005/Atom"}
EVERY_PATH = [
    "/",
    "/search",
    "/search?q=town&format=CSV",
    "/search?q=nothing+at+all",
    "/datasets",
    *(f"/datasets/{one}" for one in (views.FULL, views.BARE, views.RESTRICTED, views.LONG, views.RETIRED)),
    "/harvests",
    *(f"/harvests/{one}" for one in (views.RUNNING_HARVEST, views.HELD_HARVEST, views.DONE_HARVEST)),
]


@pytest.fixture
def reader() -> FixedReader:
    return FixedReader()


@pytest.fixture
async def visitor(reader: FixedReader) -> AsyncIterator[httpx.AsyncClient]:
    async with client(build(reader)) as visitor:
        visitor.headers.update(HTML)
        yield visitor


@pytest.fixture
async def operator(reader: FixedReader) -> AsyncIterator[httpx.AsyncClient]:
    async with client(build(reader), cookie="operator-token") as operator:
        operator.headers.update(HTML)
        yield operator


async def text_of(browser: httpx.AsyncClient, path: str) -> str:
    answer = await browser.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize("path", EVERY_PATH)
async def test_no_page_names_a_person_or_links_to_a_script(operator: httpx.AsyncClient, path: str) -> None:
    page = (await operator.get(path)).text
    assert "<h1" in page
    assert "Pat Doe" not in page
    assert 'href="javascript:' not in page
    assert " style=" not in page


async def test_home_offers_search_subjects_uses_and_todays_changes(visitor: httpx.AsyncClient) -> None:
    page = await text_of(visitor, "/")
    assert 'role="search"' in page
    assert page.count('class="tile"') == 8
    assert 'href="/search?theme=Health+and+service+delivery"' in page
    assert "What people come here for" in page
    assert "14 datasets changed in the last 24 hours, the newest 3 here." in page
    assert "Changed 3 times: description, columns, licence" in page
    assert "Some of this is sample data" in page


async def test_a_dataset_shows_its_open_alerts_beside_its_lights_and_who_was_told(
    visitor: httpx.AsyncClient,
) -> None:
    page = await text_of(visitor, f"/datasets/{views.FULL}")
    assert "2 open problems" in page
    for words in (
        "Rows are missing",
        "60% of the rows are gone. Its data steward was notified on 15 March 2026. Somebody is handling it.",
        "An update is overdue",
        "What exactly was found is for people of the agency. Nobody was notified yet.",
    ):
        assert words in page
    assert page.index("Good?") < page.index("2 open problems") < page.index("Quality by dimension")


async def test_an_empty_catalogue_says_what_fills_it(reader: FixedReader, visitor: httpx.AsyncClient) -> None:
    reader.home_view = views.empty_home()
    page = await text_of(visitor, "/")
    assert "The catalogue is still empty" in page
    assert "Nothing changed in the last 24 hours" in page
    assert "No agency has a dataset here yet" in await text_of(visitor, "/datasets")


async def test_the_address_is_the_whole_search(reader: FixedReader, visitor: httpx.AsyncClient) -> None:
    await text_of(visitor, "/search?q=overdose++town&format=CSV&format=API&access=public&sort=popular")
    query = reader.queries[-1]
    assert query.text == "overdose town"
    assert query.filters == {"format": frozenset({"CSV", "API"}), "access_level": frozenset({"public"})}
    assert query.sort == "popular"


async def test_results_mark_words_and_let_no_markup_through(visitor: httpx.AsyncClient) -> None:
    page = await text_of(visitor, "/search?q=drug+town")
    assert "Accidental <mark>Drug</mark> Related Deaths by <mark>Town</mark>" in page
    assert "&lt;b&gt;counts&lt;/b&gt;" in page
    assert "<b>counts" not in page
    assert "Here because: 2 of 3 words found." in page
    assert "use not known" in page


async def test_a_chosen_value_can_be_taken_away_and_another_added(visitor: httpx.AsyncClient) -> None:
    page = await text_of(visitor, "/search?q=town&format=CSV")
    assert '<a class="chip" href="/search?q=town">' in page
    assert 'href="/search?q=town&amp;format=API&amp;format=CSV"' in page
    assert "CC BY 4.0" not in page, "a facet with one value narrows nothing"


async def test_the_next_page_keeps_the_search_and_says_where_it_is(visitor: httpx.AsyncClient) -> None:
    first = await text_of(visitor, "/search?q=town")
    assert 'rel="next" href="/search?q=town&amp;cursor=next&amp;start=4"' in first
    second = await text_of(visitor, "/search?q=town&cursor=next&start=4")
    assert "4 to 6 of 1,204" in second
    assert "First page" in second


async def test_a_cursor_of_another_search_leads_to_the_first_page(
    reader: FixedReader, visitor: httpx.AsyncClient
) -> None:
    reader.error = InvalidSearchError("cursor", "This cursor belongs to another query.")
    answer = await visitor.get("/search?q=town&cursor=old")
    assert answer.status_code == 422
    assert 'href="/search?q=town"' in answer.text


async def test_too_many_values_are_refused_in_words(visitor: httpx.AsyncClient) -> None:
    values = "&".join(f"keyword=k{number}" for number in range(101))
    answer = await visitor.get(f"/search?{values}")
    assert answer.status_code == 422
    assert "100" in answer.text


async def test_an_unknown_order_falls_back_to_the_best_match(
    reader: FixedReader, visitor: httpx.AsyncClient
) -> None:
    await text_of(visitor, "/search?sort=sideways")
    assert reader.queries[-1].sort == "relevance"


async def test_no_hits_offer_a_way_on_and_a_way_to_suggest_the_dataset(visitor: httpx.AsyncClient) -> None:
    page = await text_of(visitor, "/search?q=nothing+at+all&format=CSV")
    assert "No dataset matches “nothing at all” with these filters" in page
    assert "Search without filters" in page
    assert "mailto:opendata@example.gov?subject=Please%20add%20a%20dataset%3A%20nothing%20at%20all" in page


async def test_a_loosened_search_says_so(reader: FixedReader, visitor: httpx.AsyncClient) -> None:
    reader.search_view = views.results(relaxed="Results have 2 of your 3 words.")
    page = await text_of(visitor, "/search?q=one+two+three")
    assert "Results have 2 of your 3 words." in page
    assert "Suggest the dataset you miss" in page


async def test_search_away_says_that_nothing_is_lost(reader: FixedReader, visitor: httpx.AsyncClient) -> None:
    reader.error = CatalogIndexError("down")
    for path in ("/", "/search?q=a", f"/datasets/{views.FULL}"):
        answer = await visitor.get(path)
        assert answer.status_code == 503
        assert "Nothing is lost" in answer.text


async def test_a_dataset_page_keeps_its_order(visitor: httpx.AsyncClient) -> None:
    page = await text_of(visitor, f"/datasets/{views.FULL}")
    parts = [
        "<h1>Accidental Drug",
        "Each row counts the deaths",
        "Held by",
        "Fresh?",
        "Good?",
        "Documented?",
        "Open?",
        "Download CSV",
        "Ask about this data",
        "Follow changes",
        "Report a problem",
        'id="rows-title"',
        'id="columns-title"',
        'id="use-title"',
        'id="quality-title"',
        'id="history-title"',
        'id="related-title"',
        'id="cite-title"',
        'id="machines-title"',
    ]
    main = page[page.index("<main") :]
    places = [main.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


async def test_a_dataset_page_gives_reasons_rows_and_numbers(visitor: httpx.AsyncClient) -> None:
    page = await text_of(visitor, f"/datasets/{views.FULL}")
    assert "Updated 41 days ago; every 6 months was promised." in page
    assert "Weakest: understandability, 50 of 100." in page
    assert "A description; 3 of 4 columns explained." in page
    assert "6 different values. Most common: Fentanyl (2,406)" in page
    # An event of an earlier version gives text a range: the letters that come first and last say nothing.
    assert "Town 0 to Z" not in page
    assert "2025-07-01 to Z" in page
    assert "Anyone may get and use it under CC0 1.0." in page
    assert "The first 20 of 4,812 rows" in page
    assert "Town 19" in page
    assert "Most used in February 2026: 1,324 uses" in page
    assert "Substance named" in page
    assert "whose steward answers for it" in page
    assert "1 thing mended in the metadata" in page


async def test_months_before_the_dataset_came_are_not_known_rather_than_zero(
    visitor: httpx.AsyncClient,
) -> None:
    page = await text_of(visitor, f"/datasets/{views.FULL}")
    assert "August 2025: not known" in page
    assert "September 2025: 451 uses" in page


async def test_a_dataset_of_which_nothing_is_known_says_so_everywhere(visitor: httpx.AsyncClient) -> None:
    page = await text_of(visitor, f"/datasets/{views.BARE}")
    for words in (
        "Its owner has not said yet what this data means.",
        "an agency that is not known",
        "It is judged soon after the dataset arrives.",
        "Not measured",
        "The record names no file and no service",
        "No rows to show yet",
        "The columns are not described",
        "No use is known yet",
        "No change of this record is known here yet.",
    ):
        assert words in page
    assert "0 uses" not in page


async def test_data_that_is_not_public_says_why_and_is_asked_for(visitor: httpx.AsyncClient) -> None:
    page = await text_of(visitor, f"/datasets/{views.RESTRICTED}")
    assert "Names of patients can be worked out from it" in page
    assert f"/sharing-requests/new?dataset={views.RESTRICTED}" in page
    assert "/get/0" not in page
    assert "First rows" not in page
    answer = await visitor.get(f"/datasets/{views.RESTRICTED}/get/0")
    assert answer.status_code == 403
    assert "secret" not in answer.text


async def test_getting_data_leads_to_its_address_and_only_to_the_web(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get(f"/datasets/{views.FULL}/get/1")
    assert (answer.status_code, answer.headers["location"]) == (307, "https://data.example.gov/o.csv")
    for number in (2, 3):
        answer = await visitor.get(f"/datasets/{views.FULL}/get/{number}")
        assert answer.status_code == 404
        assert "no longer at this address" in answer.text
    assert (await visitor.get(f"/datasets/{views.FULL}/get/-1")).status_code == 422


async def test_a_download_and_a_view_can_be_told_to_the_counter(visitor: httpx.AsyncClient) -> None:
    page = await text_of(visitor, f"/datasets/{views.FULL}")
    assert f'<meta name="nutmeg-dataset" content="{views.FULL}">' in page
    assert page.count('data-hit="download"') == 2
    assert '/get/0" rel="nofollow">' in page, "opening a page at the source is no download"


async def test_a_problem_is_reported_to_the_mailbox_of_the_record(visitor: httpx.AsyncClient) -> None:
    page = await text_of(visitor, f"/datasets/{views.FULL}")
    start = page.index("mailto:data.ocme@example.gov?subject=Problem")
    link = page[start : page.index('"', start)].replace("&amp;", "&")
    body = parse_qs(urlsplit(link).query)["body"][0]
    assert f"https://data.example.gov/datasets/{views.FULL}" in unquote(body)
    assert "mailto:opendata@example.gov" in await text_of(visitor, f"/datasets/{views.BARE}")


async def test_changes_can_be_followed_with_a_feed_reader(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get(f"/datasets/{views.FULL}/changes.atom")
    assert answer.headers["content-type"].startswith("application/atom+xml")
    feed = ET.fromstring(answer.content)
    titles = [title.text for title in feed.findall("atom:entry/atom:title", ATOM)]
    assert titles == [
        f"Rows are missing: {views.TITLE}",
        "Changed: description, columns, licence",
        "Came into the catalogue",
    ]
    updated = [one.text for one in feed.findall("atom:entry/atom:updated", ATOM)]
    assert updated == ["2026-03-15T09:30:00Z", "2026-03-15T06:30:00Z", "2026-03-13T07:30:00Z"]
    assert [one.text for one in feed.findall("atom:updated", ATOM)] == ["2026-03-15T09:30:00Z"]
    categories = [one.attrib["term"] for one in feed.findall("atom:entry/atom:category", ATOM)]
    assert categories == ["problem"]


async def test_a_retired_dataset_is_gone_with_its_reason(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get(f"/datasets/{views.RETIRED}")
    assert answer.status_code == 410
    assert "It left its source." in answer.text
    assert "6 March 2026" in answer.text
    for part in ("/get/0", "/changes.atom"):
        assert (await visitor.get(f"/datasets/{views.RETIRED}{part}")).status_code == 410


async def test_unknown_and_hidden_datasets_are_told_alike(visitor: httpx.AsyncClient) -> None:
    unknown = uuid4()
    answer = await visitor.get(f"/datasets/{unknown}")
    assert answer.status_code == 404
    assert "No dataset that you may see" in answer.text


async def test_the_installation_may_add_acts_to_a_dataset() -> None:
    def acts(state: DatasetState, viewer: Viewer) -> list[DatasetAct]:
        return [DatasetAct("Break this", f"/demo/degrade/{state.identifier[-6:]}", "Makes the file worse.")]

    app = build()
    app.state.dataset_acts = acts
    async with client(app, cookie="operator-token") as operator:
        page = (await operator.get(f"/datasets/{views.FULL}")).text
    assert '<form class="action" method="post" action="/demo/degrade/deaths">' in page
    assert "Makes the file worse." in page


async def test_harvests_are_for_operators(visitor: httpx.AsyncClient, operator: httpx.AsyncClient) -> None:
    for path in ("/harvests", f"/harvests/{views.DONE_HARVEST}", f"/harvests/{views.DONE_HARVEST}/progress"):
        assert (await visitor.get(path)).status_code == 401
        assert (await operator.get(path)).status_code == 200
    async with client(build(), cookie="steward-token") as steward:
        assert (await steward.get("/harvests")).status_code == 403


async def test_a_held_harvest_asks_for_a_person(operator: httpx.AsyncClient) -> None:
    page = await text_of(operator, f"/harvests/{views.HELD_HARVEST}")
    assert "The feed lost 200 of 304 datasets" in page
    assert f'action="/harvests/{views.HELD_HARVEST}/confirm"' in page
    assert 'name="csrf_token"' in page
    assert "1 harvest waits for a person" in await text_of(operator, "/harvests")
    refused = await operator.post(f"/harvests/{views.HELD_HARVEST}/confirm")
    assert refused.status_code == 403, "a form without its token is refused"


async def test_a_running_harvest_is_asked_for_again_and_a_finished_one_is_not(
    operator: httpx.AsyncClient,
) -> None:
    running = await text_of(operator, f"/harvests/{views.RUNNING_HARVEST}")
    assert f'data-poll="/harvests/{views.RUNNING_HARVEST}/progress"' in running
    assert "120 of 307" in running
    assert "data-finished" not in running
    assert "data-finished" in await text_of(operator, f"/harvests/{views.DONE_HARVEST}/progress")


async def test_refused_records_come_with_their_cure(operator: httpx.AsyncClient) -> None:
    page = await text_of(operator, f"/harvests/{views.DONE_HARVEST}")
    assert "It is missing." in page
    assert "Give each record one." in page
    assert (await operator.get(f"/harvests/{UUID(int=9)}")).status_code == 404
