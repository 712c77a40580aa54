"""The first ten minutes of a person who looks at Nutmeg for the first time, walked in a real browser."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.support.installation import Installation, run_demo
from tests.support.journeys import answer_of, dataset_titled

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
LEDGER = "Open Expenditures Ledger"
EXTRACT = "P20 WIN De-identified Outcomes Extract"
PATIENCE_MS = 60_000
TABS_MAX = 60


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with run_demo(tmp_path_factory.mktemp("minutes") / "demo") as installation:
        installation.wait_until_idle()
        yield installation


@pytest.fixture(scope="module")
def links(demo: Installation) -> dict[str, str]:
    """The sign-in links that the demo prints, by role."""
    with demo.client() as admin:
        items = answer_of(admin.post("/api/v1/demo/sign-in-links"))["items"]
    return {one["label"].split()[0]: one["url"] for one in items}


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages are left for a person to look at."""
    return Path(os.environ.get("TEN_MINUTES_SHOTS") or tmp_path_factory.mktemp("shots"))


@pytest.fixture
def desk(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport=DESK) as context:
        context.set_default_timeout(PATIENCE_MS)
        yield context


def look(page: Page, shots: Path, name: str) -> None:
    """Leave a picture; the page must be accessible, fit, and say that it shows sample data."""
    page.screenshot(path=shots / f"{name}.png", full_page=True)
    results = Axe().run(page)
    assert results.violations_count == 0, f"{name}: {results.generate_report()}"
    assert page.evaluate(OVERFLOW) == 0, name
    expect(page.get_by_text("These datasets were made up")).to_be_visible()


def signed_in(context: BrowserContext, link: str, path: str) -> Page:
    page = context.new_page()
    page.goto(link)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.goto(link.split("/sign-in/")[0] + path)
    return page


def test_home_search_and_a_dataset(demo: Installation, desk: BrowserContext, shots: Path) -> None:
    page = desk.new_page()
    page.goto(demo.base_url)
    tiles = page.locator("#subjects").locator("xpath=ancestor-or-self::section").locator("a")
    expect(tiles).to_have_count(8)
    expect(page.get_by_role("heading", name="What changed today")).to_be_visible()
    expect(page.locator("footer")).to_contain_text("Events")
    look(page, shots, "0045-home")

    page.get_by_label("What do you want to know?").fill("overdose by town")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=*")
    first = page.locator("main h2 a, main h3 a").first
    expect(first).to_have_text("Accidental Drug Related Deaths by Town and Substance")
    expect(page.get_by_text("Here because").first).to_be_visible()
    look(page, shots, "0130-search")

    first.click()
    page.wait_for_url("**/datasets/*")
    expect(page.locator("main")).to_contain_text("Office of the Chief Medical Examiner")
    expect(page.get_by_text("Up to date").first).to_be_visible()
    rows = page.get_by_role("region", name=re.compile("rows", re.IGNORECASE)).locator("tbody tr")
    assert rows.count() == 20
    for name in ("Download", "Ask about this data", "Follow changes", "Report a problem"):
        expect(page.get_by_role("link", name=name).first).to_be_visible()
    look(page, shots, "0230-dataset")


def test_breaking_a_dataset_lights_the_path_and_reaches_the_steward(
    demo: Installation, browser: Browser, desk: BrowserContext, links: dict[str, str], shots: Path
) -> None:
    with demo.client("") as visitor:
        ledger = dataset_titled(visitor, LEDGER)
    page = desk.new_page()
    page.goto(f"{demo.base_url}/datasets/{ledger['id']}")
    page.get_by_role("button", name="Break this").click()
    page.wait_for_url("**/demo/runs/*")
    expect(page.get_by_text("From first to last")).to_be_visible(timeout=PATIENCE_MS)
    look(page, shots, "0400-path")

    with browser.new_context(viewport=DESK) as context:
        inbox = signed_in(context, links["Steward"], "/inbox")
        line = inbox.get_by_role("link", name=f"{LEDGER}: 60% of the rows are gone.")
        expect(line).to_be_visible()
        look(inbox, shots, "0500-inbox")
        line.click()
        expect(inbox.locator("main")).to_contain_text("Publish the complete file again")
        inbox.get_by_role("button", name="I take care of it").click()
        expect(inbox.locator("main")).to_contain_text("Taken by")
        look(inbox, shots, "0530-matter")

        page.goto(f"{demo.base_url}/datasets/{ledger['id']}")
        page.get_by_role("button", name="Repair this").click()
        expect(page.get_by_text("From first to last")).to_be_visible(timeout=PATIENCE_MS)
        demo.wait_until_idle()
        inbox.goto(f"{demo.base_url}/inbox?state=done")
        expect(inbox.get_by_role("link", name=re.compile(LEDGER))).to_be_visible()
        look(inbox, shots, "0600-done")


def tab_to(page: Page, selector: str) -> None:
    """Reach an element by the keyboard alone."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with the Tab key")


def test_a_request_is_written_by_keyboard_returned_and_approved(
    demo: Installation, browser: Browser, desk: BrowserContext, links: dict[str, str], shots: Path
) -> None:
    with demo.client("") as visitor:
        extract = dataset_titled(visitor, EXTRACT)
    page = signed_in(desk, links["Requester"], f"/datasets/{extract['id']}")
    tab_to(page, 'a[href^="/sharing-requests/new"]')
    page.keyboard.press("Enter")
    page.wait_for_url("**/sharing-requests/new?*")
    look(page, shots, "0630-ask")
    tab_to(page, '[name="purpose"]')
    page.keyboard.type("Whether graduates earn more after five years.")
    tab_to(page, '[name="data_wanted"]')
    page.keyboard.type("Totals by programme and year.")
    tab_to(page, "main button")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/sharing-requests/[0-9a-f-]{36}$"))
    request = page.url
    look(page, shots, "0700-tracker")

    with browser.new_context(viewport=DESK) as context:
        context.set_default_timeout(PATIENCE_MS)
        chief = signed_in(context, links["Chief"], "/sharing-requests")
        chief.get_by_role("link", name=EXTRACT).first.click()
        chief.get_by_label("Reason").fill("Say how long you keep it.")
        look(chief, shots, "0730-decide")
        chief.get_by_role("button", name="Return for more").click()
        expect(chief.locator("main")).to_contain_text("Waiting for the requester")

        page.goto(request)
        expect(page.locator("main")).to_contain_text("Say how long you keep it.")
        look(page, shots, "0800-returned")
        page.get_by_label("Kept and destroyed").fill("Two years, then destroyed.")
        page.get_by_role("button", name="Send it in again").click()
        expect(page.locator("main")).to_contain_text("Being decided")

        chief.goto(request)
        chief.get_by_label("Reason").fill("It serves the plan.")
        chief.get_by_role("button", name="Approve").click()
        expect(chief.locator("main")).to_contain_text("It serves the plan.")
        look(chief, shots, "0830-approved")
    demo.wait_until_idle()
    page.goto(f"{demo.base_url}/inbox")
    expect(page.locator("main")).to_contain_text("The request was approved.")
    look(page, shots, "0845-answer")


def test_a_poison_record_waits_among_the_dead_letters(
    demo: Installation, desk: BrowserContext, links: dict[str, str], shots: Path
) -> None:
    page = signed_in(desk, links["Operator"], "/demo")
    look(page, shots, "0900-demo")
    page.get_by_role("button", name="Send it").click()
    page.wait_for_url("**/demo?*")
    page.goto(f"{demo.base_url}/ops")
    expect(page.locator("main")).to_contain_text("usage.counting")
    look(page, shots, "0910-operations")
    page.locator('a[href*="/dead-letters/"]').first.click()
    expect(page.locator("main")).to_contain_text("usage.hits")
    look(page, shots, "0920-dead-letter")


def test_a_dead_letter_is_replayed_and_discarded_with_a_reason(
    demo: Installation, desk: BrowserContext, links: dict[str, str], shots: Path
) -> None:
    page = signed_in(desk, links["Operator"], "/ops")
    page.locator('a[href*="/dead-letters/"]').first.click()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Replay").click()
    demo.wait_until_idle()
    page.reload()
    expect(page.locator("main")).to_contain_text("Failed again: ")
    # Blank to the browser's own check as well as to ours: the reason is asked for, and nothing is lost.
    page.get_by_label("Why is it never to be handled?").fill("   ")
    page.get_by_role("button", name="Discard").click()
    expect(page.locator(".notice-bad").first).to_contain_text("A dead letter is discarded for a reason.")
    look(page, shots, "0930-no-reason")
    page.get_by_label("Why is it never to be handled?").fill("A hit that the demo made up.")
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("main")).to_contain_text("Discarded: A hit that the demo made up.")
    expect(page.locator("main")).to_contain_text(re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"))
    expect(page.get_by_role("button", name="Discard")).to_have_count(0)
    look(page, shots, "0940-discarded")
    page.goto(f"{demo.base_url}/ops")
    expect(page.locator("main")).not_to_contain_text("waits for a decision")
    with demo.client() as admin:
        status = answer_of(admin.get("/api/v1/ops/status"))
        metrics = admin.get("/metrics").text
    assert status["dead_letters"]["discarded"] == 1
    assert status["dead_letters"]["open"] + status["dead_letters"]["failed"] == 0
    assert 'nutmeg_dead_letters_waiting{group="usage.counting",topic="usage.hits"} 0.0' in metrics


def test_after_a_kill_every_count_is_as_before(demo: Installation) -> None:
    def counts() -> dict[str, object]:
        with demo.client() as admin:
            report = answer_of(admin.get("/api/v1/usage/report", params={"limit": 1_000}))["items"]
            datasets = answer_of(admin.get("/api/v1/datasets"))["total"]
        return {
            "use": [(one["title"], one["views"], one["downloads"]) for one in report],
            "datasets": datasets,
        }

    demo.wait_until_idle()
    before = counts()
    demo.kill()
    demo.start()
    demo.wait_until_idle()
    assert counts() == before


@pytest.mark.parametrize(
    "path", ["/", "/search?q=overdose+by+town", "/quality", "/demo", "/sharing-requests", "/nothing-here"]
)
def test_key_pages_fit_a_phone(demo: Installation, browser: Browser, shots: Path, path: str) -> None:
    with browser.new_context(viewport=PHONE) as context:
        page = context.new_page()
        page.goto(demo.base_url + path)
        look(page, shots, "phone-" + (re.sub(r"\W+", "-", path).strip("-") or "home"))


def test_a_dataset_an_inbox_and_operations_fit_a_phone(
    demo: Installation, browser: Browser, links: dict[str, str], shots: Path
) -> None:
    with demo.client("") as visitor:
        ledger = dataset_titled(visitor, LEDGER)
    for role, path in (("Steward", f"/datasets/{ledger['id']}"), ("Steward", "/inbox"), ("Operator", "/ops")):
        with browser.new_context(viewport=PHONE) as context:
            page = signed_in(context, links[role], path)
            look(page, shots, f"phone-{role.lower()}{re.sub(r'[^a-z]+', '-', path)[:12].rstrip('-')}")
