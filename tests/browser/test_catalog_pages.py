"""The catalogue's pages in a real Chromium: accessible, fitting, usable by keyboard and without a script."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Route, ViewportSize

from tests.unit.catalog import page_views as views
from tests.unit.catalog.page_application import FixedReader, build

START_SECONDS_MAX = 20
DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"

# Every page with usual, empty, very long and very many contents (40 facets, titles of 300 characters).
PATHS = [
    "/",
    "/search?q=town&format=CSV",
    "/search?q=nothing+at+all",
    "/datasets",
    f"/datasets/{views.FULL}",
    f"/datasets/{views.BARE}",
    f"/datasets/{views.RESTRICTED}",
    f"/datasets/{views.LONG}",
    f"/datasets/{views.RETIRED}",
    "/harvests",
    f"/harvests/{views.RUNNING_HARVEST}",
    f"/harvests/{views.HELD_HARVEST}",
    f"/harvests/{views.DONE_HARVEST}",
]

# Links, buttons and fields that a thumb must hit; links within running text are exempt (WCAG 2.2, 2.5.8).
SMALL_TARGETS = """() => [...document.querySelectorAll(
    ".button, .chip, .facet-option, .site-nav a, summary, .search-line input, .sort-form select")]
  .map(e => [e.textContent.trim().slice(0, 40) || e.id, e.getBoundingClientRect().height])
  .filter(([, height]) => height > 0 && height < 43.9)"""

pytestmark = pytest.mark.browser


def serve(reader: FixedReader) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(build(reader), log_level="warning", ws="none", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + START_SECONDS_MAX
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    yield from serve(FixedReader())


@pytest.fixture(scope="module")
def empty_address() -> Iterator[str]:
    yield from serve(FixedReader(home_view=views.empty_home(), search_view=views.nothing_found()))


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def context(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[BrowserContext]:
    with browser.new_context(viewport=request.param) as context:
        context.add_cookies([{"name": "nutmeg_session", "value": "operator-token", "url": address}])
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_accessible_fits_and_is_made_for_thumbs(page: Page, address: str, path: str) -> None:
    page.goto(address + path)
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate(OVERFLOW) == 0
    assert page.evaluate(SMALL_TARGETS) == []


@pytest.mark.parametrize("path", ["/", "/search?q=town", f"/datasets/{views.FULL}"])
def test_a_page_is_accessible_in_the_dark(page: Page, address: str, path: str) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(address + path)
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("path", ["/", "/search", "/datasets"])
def test_an_empty_catalogue_is_accessible_and_fits(page: Page, empty_address: str, path: str) -> None:
    page.goto(empty_address + path)
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate(OVERFLOW) == 0


@pytest.mark.parametrize("path", ["/", "/search?q=town", f"/datasets/{views.LONG}"])
def test_twice_the_size_still_fits(browser: Browser, address: str, path: str) -> None:
    with browser.new_context(viewport={"width": 640, "height": 450}, device_scale_factor=2) as context:
        page = context.new_page()
        page.goto(address + path)
        assert page.evaluate(OVERFLOW) == 0


def test_somebody_without_a_script_finds_and_gets_data(browser: Browser, address: str) -> None:
    with browser.new_context(viewport=PHONE, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_label("What do you want to know?").fill("overdose by town")
        page.get_by_role("button", name="Search").click()
        assert page.url == f"{address}/search?q=overdose+by+town"
        page.locator(".drawer > summary").click()
        page.get_by_role("link", name="API 9").click()
        assert "format=API" in page.url
        page.get_by_label("Sort by").select_option("popular")
        page.get_by_role("button", name="Sort").click()
        assert page.url.endswith("sort=popular")
        page.get_by_role("link", name="Accidental Drug Related Deaths by Town").click()
        page.get_by_text("The same numbers as a table").click()
        assert page.get_by_role("row", name="February 2026 1,324").is_visible()
        assert page.get_by_role("link", name="Download CSV").first.get_attribute("href") == (
            f"/datasets/{views.FULL}/get/1"
        )


def test_the_keyboard_goes_from_lights_to_acts_in_the_order_of_the_page(page: Page, address: str) -> None:
    page.goto(f"{address}/datasets/{views.FULL}")
    page.locator("#main").focus()
    stops = []
    for _ in range(4):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.textContent.trim()"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert stops == ["Download CSV", "Ask about this data", "Follow changes", "Report a problem"]


def test_a_wide_table_scrolls_by_keyboard_inside_its_frame(page: Page, address: str) -> None:
    page.goto(f"{address}/datasets/{views.LONG}")
    frame = page.get_by_role("region", name="First rows of the data")
    frame.focus()
    assert frame.evaluate("e => document.activeElement === e")


def test_a_view_and_a_download_are_told_to_the_counter(page: Page, address: str) -> None:
    told: list[dict[str, str]] = []

    def take(route: Route) -> None:
        told.append(json.loads(route.request.post_data or "{}"))
        route.fulfill(status=204)

    page.route("**/usage/beacon", take)
    page.route("https://data.example.gov/**", lambda route: route.fulfill(status=204))
    page.goto(f"{address}/datasets/{views.FULL}")
    with page.expect_request(lambda request: "download" in (request.post_data or "")):
        page.get_by_role("link", name="Download CSV").first.click()
    hit = {"dataset_id": str(views.FULL)}
    assert told == [hit | {"kind": "view"}, hit | {"kind": "download"}]


def test_titles_are_offered_while_words_are_typed(page: Page, address: str) -> None:
    items = [{"id": str(views.FULL), "title": views.TITLE}]
    page.route("**/api/v1/datasets/suggest**", lambda route: route.fulfill(json={"items": items}))
    page.goto(address)
    page.get_by_label("What do you want to know?").press_sequentially("overd")
    page.locator(f'datalist option[value="{views.TITLE}"]').wait_for(state="attached")


def test_a_running_harvest_shows_its_end_by_itself(page: Page, address: str) -> None:
    page.route(
        "**/progress",
        lambda route: route.fulfill(content_type="text/html", body="<p data-finished>Completed</p>"),
    )
    page.goto(f"{address}/harvests/{views.RUNNING_HARVEST}")
    page.locator("[data-finished]").wait_for()


def test_a_dataset_prints_with_its_numbers_and_without_buttons(page: Page, address: str) -> None:
    page.emulate_media(media="print")
    page.goto(f"{address}/datasets/{views.FULL}")
    assert page.get_by_text("every 6 months was promised").is_visible()
    assert not page.get_by_role("link", name="Download CSV").first.is_visible()
