"""The style guide in a real Chromium: accessible, fitting, usable by keyboard alone and without a script."""

import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, ViewportSize

from tests.unit.web.web_style_guide import build_style_guide

START_SECONDS_MAX = 20

PATHS = ["/style-guide", "/style-guide?public", "/search/results", "/problem?public"]
DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}

# Measures every control that is not a link within running text (WCAG 2.2, 2.5.8 exempts those).
SMALL_TARGETS = """() => [...document.querySelectorAll(
    "button, .button, .chip, .facet-option, .site-nav a, .field > input, .field > select, .choice label," +
    "summary")]
  .map(e => [e.textContent.trim().slice(0, 40) || e.id, e.getBoundingClientRect().height])
  .filter(([, height]) => height > 0 && height < 43.9)"""

OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(build_style_guide(), log_level="warning", ws="none", lifespan="off")
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


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def context(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=request.param)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_nothing(page: Page, address: str, path: str, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(address + path)
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("path", PATHS)
def test_nothing_reaches_beyond_the_window(page: Page, address: str, path: str) -> None:
    page.goto(address + path)
    assert page.evaluate(OVERFLOW) == 0


@pytest.mark.parametrize("path", PATHS)
def test_every_control_is_large_enough_for_a_thumb(page: Page, address: str, path: str) -> None:
    page.goto(address + path)
    assert page.evaluate(SMALL_TARGETS) == []


@pytest.mark.parametrize("path", PATHS)
def test_the_strict_policy_is_never_broken(page: Page, address: str, path: str) -> None:
    broken: list[str] = []
    page.on(
        "console", lambda message: broken.append(message.text) if "Content Security" in message.text else None
    )
    page.on("pageerror", lambda error: broken.append(str(error)))
    answer = page.goto(address + path)
    assert answer is not None
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert broken == []


@pytest.mark.parametrize("path", PATHS)
def test_twice_the_size_still_fits(browser: Browser, address: str, path: str) -> None:
    with browser.new_context(viewport={"width": 640, "height": 450}, device_scale_factor=2) as context:
        page = context.new_page()
        page.goto(address + path)
        assert page.evaluate(OVERFLOW) == 0


def test_the_first_tab_offers_a_way_past_the_menu(page: Page, address: str) -> None:
    page.goto(address + "/search/results")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the main content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "q"


def test_the_focus_can_be_seen_on_every_stop(page: Page, address: str) -> None:
    page.goto(address + "/search/results")
    for _ in range(20):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"


def test_errors_take_the_focus(page: Page, address: str) -> None:
    page.goto(address + "/style-guide")
    assert "2 things need correcting" in page.evaluate("document.activeElement.textContent")


def test_facets_are_a_drawer_on_a_phone_without_a_script(browser: Browser, address: str) -> None:
    with browser.new_context(viewport=PHONE, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address + "/search/results")
        option = page.locator(".facet-option").first
        assert not option.is_visible()
        page.locator(".drawer > summary").click()
        assert option.is_visible()


def test_facets_stand_open_on_a_desk_without_a_script(browser: Browser, address: str) -> None:
    with browser.new_context(viewport=DESK, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address + "/search/results")
        assert page.locator(".facet-option").first.is_visible()
        assert not page.locator(".drawer > summary").is_visible()


def test_a_button_that_asks_first_does_nothing_when_refused(page: Page, address: str) -> None:
    page.goto(address + "/style-guide")
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    page.get_by_role("button", name="Dismiss").click()
    assert asked == ["Dismiss this matter?"]
    assert page.url == address + "/style-guide"


def test_a_long_chart_label_stays_clear_of_its_number(page: Page, address: str) -> None:
    page.goto(address + "/style-guide")
    chart = page.locator("figure", has_text="Hartford has nearly all downloads")
    label = chart.locator(".axis-label").first.bounding_box()
    number = chart.locator(".bar-label").first.bounding_box()
    assert label is not None
    assert number is not None
    assert label["x"] + label["width"] < number["x"]


def test_month_labels_do_not_touch(page: Page, address: str) -> None:
    page.goto(address + "/style-guide")
    chart = page.locator("figure", has_text="Downloads doubled in March")
    boxes = [label.bounding_box() for label in chart.locator("g > .axis-label:nth-of-type(2)").all()]
    edges = [(box["x"], box["x"] + box["width"]) for box in boxes if box is not None]
    assert len(edges) == 12
    assert all(right <= left for (_, right), (left, _) in pairwise(edges))


def test_a_page_prints_without_its_controls(page: Page, address: str) -> None:
    page.emulate_media(media="print")
    page.goto(address + "/search/results")
    assert not page.locator(".site-nav").is_visible()
    assert not page.locator(".search-box").is_visible()
    assert page.locator(".result-title").first.is_visible()


def test_the_path_of_an_event_is_asked_for_until_it_is_finished(page: Page, address: str) -> None:
    page.goto(address + "/path")
    assert page.locator("[data-finished]").count() == 0
    page.locator("[data-finished]").wait_for()
    assert page.locator(".hop-done", has_text="Inbox").is_visible()


def test_a_text_is_copied_by_its_button(context: BrowserContext, address: str) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    page = context.new_page()
    page.goto(address + "/style-guide")
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#cite").text_content()
