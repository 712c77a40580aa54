"""What a dataset with an open alert looks like to everybody, and what reaches those who answer for it."""

import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.support.installation import Installation, run_demo
from tests.support.journeys import answer_of, dataset_titled

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
ATOM = {"atom": "http://www.w3.org/2005/Atom"}
LEDGER = "Open Expenditures Ledger"
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with run_demo(tmp_path_factory.mktemp("answering") / "demo") as installation:
        installation.wait_until_idle()
        yield installation


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages are left for a person to look at."""
    return Path(os.environ.get("ANSWERING_SHOTS") or tmp_path_factory.mktemp("shots"))


@pytest.fixture
def desk(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport=DESK) as context:
        context.set_default_timeout(PATIENCE_MS)
        yield context


def look(page: Page, shots: Path, name: str) -> None:
    """Leave a picture; the page must be accessible and fit."""
    page.screenshot(path=shots / f"{name}.png", full_page=True)
    results = Axe().run(page)
    assert results.violations_count == 0, f"{name}: {results.generate_report()}"
    assert page.evaluate(OVERFLOW) == 0, name


def signed_in(demo: Installation, context: BrowserContext, email: str, path: str) -> Page:
    """Sign in as a person of the sample, and open a page."""
    with demo.client() as admin:
        people = answer_of(admin.get("/api/v1/directory/people"))["items"]
        (person_id,) = (one["person_id"] for one in people if one["email"] == email)
        order = {"person_id": person_id, "uses_max": 1}
        link = answer_of(admin.post("/api/v1/sign-in-codes", json=order), 201)["path"]
    page = context.new_page()
    page.goto(demo.base_url + link)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.goto(demo.base_url + path)
    return page


def looks_of(demo: Installation, page: Page, dataset_id: str) -> dict[str, list[str]]:
    """Return the kinds of light of a dataset: on its page, in the results, in its feed."""
    page.goto(f"{demo.base_url}/datasets/{dataset_id}")
    lights = page.locator(".lights .light").evaluate_all("all => all.map(one => one.className)")
    page.goto(f"{demo.base_url}/search?q=open+expenditures+ledger")
    line = page.locator("li.result", has_text=LEDGER).first.locator(".status")
    with demo.client("") as visitor:
        feed = ET.fromstring(visitor.get(f"/datasets/{dataset_id}/changes.atom").content)
    category = feed.find("atom:entry/atom:category", ATOM)
    assert category is not None
    return {
        "lights": [name.removeprefix("light light-") for name in lights],
        "line": [line.get_attribute("class") or "", line.inner_text().strip()],
        "feed": [category.attrib["term"], category.attrib["label"]],
    }


def test_an_alert_turns_the_lights_the_result_and_the_feed_and_its_end_turns_them_back(
    demo: Installation, desk: BrowserContext, shots: Path
) -> None:
    with demo.client("") as visitor:
        dataset_id = dataset_titled(visitor, LEDGER)["id"]
    page = desk.new_page()
    before = looks_of(demo, page, dataset_id)
    assert "bad" not in before["lights"]
    assert before["feed"][0] != "problem"

    with demo.client() as admin:
        answer_of(admin.post("/api/v1/demo/degrade", json={"how": "row-count-drop"}), 202)
    demo.wait_until_idle()
    broken = looks_of(demo, page, dataset_id)
    assert broken["lights"].count("bad") == 1
    assert broken["line"] == ["status status-bad", "Rows are missing"]
    assert broken["feed"] == ["problem", "Rows are missing"]
    page.goto(f"{demo.base_url}/search?q=ledger&condition=problem")
    expect(page.get_by_role("link", name=LEDGER)).to_be_visible()
    look(page, shots, "alert-search")
    page.goto(f"{demo.base_url}/datasets/{dataset_id}")
    expect(page.locator("#alerts")).to_be_visible()
    expect(page.get_by_text("Its data steward was notified on")).to_be_visible()
    look(page, shots, "alert-dataset")
    page.goto(demo.base_url)
    look(page, shots, "alert-home")

    with demo.client() as admin:
        answer_of(admin.post("/api/v1/demo/repair", json={"slug": None}), 202)
    demo.wait_until_idle()
    assert looks_of(demo, page, dataset_id) == before


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_a_data_officer_finds_the_first_summary_and_what_waits(
    demo: Installation, browser: Browser, shots: Path, viewport: ViewportSize
) -> None:
    with demo.client() as admin:
        agency_id = dataset_titled(admin, LEDGER)["agency"]["id"]
        agencies = answer_of(admin.get("/api/v1/agencies"))["items"]
    (code,) = (one["code"].lower() for one in agencies if one["id"] == agency_id)
    width = viewport["width"]
    with browser.new_context(viewport=viewport) as context:
        context.set_default_timeout(PATIENCE_MS)
        page = signed_in(demo, context, f"data-officer.{code}@example.gov", "/inbox")
        waiting = page.locator("section", has=page.get_by_role("heading", name="What you answer for"))
        expect(waiting.get_by_role("link", name="requests waiting for a decision")).to_be_visible()
        expect(waiting.get_by_role("link", name="out of date")).to_be_visible()
        summary = page.get_by_role("link", name="First quality check")
        expect(summary).to_have_count(1)
        look(page, shots, f"officer-inbox-{width}")
        summary.click()
        expect(page.get_by_text("You are the data officer of this agency.")).to_be_visible()
        look(page, shots, f"officer-summary-{width}")
        page.get_by_role("link", name="With a problem").click()
        page.wait_for_url("**/search?*")
        assert f"agency={agency_id}" in page.url
        page.goto(demo.base_url)
        expect(page.get_by_role("heading", name="What you answer for")).to_be_visible()
        look(page, shots, f"officer-home-{width}")
    with browser.new_context(viewport=viewport) as context:
        page = signed_in(demo, context, "chief-data-officer@example.gov", "/inbox")
        page.get_by_role("link", name="First quality check").click()
        look(page, shots, f"chief-summary-{width}")
        out_of_date = page.get_by_role("main").get_by_role("link", name="out of date").first
        out_of_date.click()
        page.wait_for_url("**freshness=**")
