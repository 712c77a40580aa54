"""What the components promise about meaning: asked of every page of the style guide."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from jinja2.runtime import Macro

from shared.web.static_files import STATIC_DIRECTORY
from shared.web.templating import TEMPLATE_DIRECTORY, build_templates
from tests.unit.web.markup_tree import Element, parse
from tests.unit.web.web_style_guide import LONG_TITLE

PAGES = ("/style-guide", "/style-guide?public", "/search/results", "/problem?public")

# Classes that pages put on their own elements; the header of components.html names them.
LAYOUT_CLASSES = {
    "stack",
    "cluster",
    "split",
    "split-end",
    "columns-2",
    "columns-3",
    "unbroken",
    "prose",
    "muted",
    "small",
    "no-print",
}


@pytest.fixture(params=PAGES)
async def page(request: pytest.FixtureRequest, client: httpx.AsyncClient) -> Element:
    return parse((await client.get(request.param)).text)


def test_every_input_has_a_label(page: Element) -> None:
    labelled = {label.attributes["for"] for label in page.all("label")}
    inputs = [e for e in page.all("input", "select", "textarea") if e.attributes.get("type") != "hidden"]
    assert {e.attributes["id"] for e in inputs} <= labelled


def test_every_id_is_used_once(page: Element) -> None:
    ids = [e.attributes["id"] for e in page.walk() if "id" in e.attributes]
    assert len(ids) == len(set(ids))


def test_every_reference_to_an_id_finds_it(page: Element) -> None:
    ids = {e.attributes["id"] for e in page.walk() if "id" in e.attributes}
    wanted = _references(page.walk())
    assert wanted <= ids


def _references(elements: Iterable[Element]) -> set[str]:
    found: set[str] = set()
    for element in elements:
        for name in ("for", "aria-labelledby", "aria-describedby", "aria-controls"):
            found.update(element.attributes.get(name, "").split())
        href = element.attributes.get("href", "")
        if href.startswith("#"):
            found.add(href[1:])
    return found


def test_every_table_has_a_caption_and_scoped_headers(page: Element) -> None:
    for table in page.all("table"):
        assert table.children[0].tag == "caption"
        assert table.children[0].text
        assert all(header.attributes["scope"] in {"col", "row"} for header in table.all("th"))


def test_every_table_can_be_scrolled_by_keyboard(page: Element) -> None:
    for table in page.all("table"):
        frame = table.parent
        assert frame is not None
        assert (frame.attributes["tabindex"], frame.attributes["role"]) == ("0", "region")
        assert frame.attributes["aria-label"]


def test_every_drawing_is_named_or_hidden(page: Element) -> None:
    for drawing in page.all("svg"):
        is_inside_a_named_one = any(above.tag == "svg" for above in drawing.ancestors)
        if drawing.attributes.get("role") == "img":
            is_named = drawing.attributes.get("aria-label") or drawing.children[0].tag == "title"
            assert is_named
        else:
            assert is_inside_a_named_one or drawing.attributes.get("aria-hidden") == "true"


def test_nothing_is_written_inline_that_the_policy_forbids(page: Element) -> None:
    assert not page.all("style")
    assert all(script.attributes.get("src", "").startswith("/static/") for script in page.all("script"))
    names = {name for element in page.walk() for name in element.attributes}
    assert not {name for name in names if name == "style" or name.startswith("on")}


def test_nothing_is_loaded_from_elsewhere(page: Element) -> None:
    loaded = [e.attributes.get("src") or e.attributes["href"] for e in page.all("img", "script", "link")]
    assert loaded
    assert all(address.startswith("/static/") and "?v=" in address for address in loaded)


def test_headings_never_skip_a_level_going_down(page: Element) -> None:
    levels = [int(e.tag[1]) for e in page.all("main")[0].all("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_form_that_changes_something_carries_the_token(page: Element) -> None:
    for form in page.all("form"):
        if form.attributes.get("method") == "post":
            names = [e.attributes.get("name") for e in form.all("input")]
            assert "csrf_token" in names


def test_the_page_has_its_landmarks_and_a_way_past_the_menu(page: Element) -> None:
    assert [len(page.all(tag)) for tag in ("header", "main", "footer")] == [1, 1, 1]
    assert page.all("html")[0].attributes["lang"] == "en"
    assert page.all("a")[0].attributes["href"] == "#main"


async def test_errors_are_told_beside_the_field_and_on_top(client: httpx.AsyncClient) -> None:
    page = parse((await client.get("/style-guide")).text)
    box = next(e for e in page.all("textarea") if e.attributes["id"] == "purpose")
    assert box.attributes["aria-invalid"] == "true"
    assert box.attributes["aria-describedby"] == "purpose-hint purpose-error"
    alert = next(e for e in page.walk() if "data-focus" in e.attributes)
    assert [link.attributes["href"] for link in alert.all("a")] == ["#purpose", "#basis"]


async def test_text_from_outside_is_escaped(client: httpx.AsyncClient) -> None:
    text = (await client.get("/search/results")).text
    assert "Deaths from &lt;overdose&gt; in each town." in text


async def test_long_titles_are_kept_whole_in_the_markup(client: httpx.AsyncClient) -> None:
    assert len(LONG_TITLE) == 300
    page = parse((await client.get("/search/results")).text)
    assert LONG_TITLE in [title.text for title in page.with_class("result-title")]


async def test_forty_facet_values_show_eight_and_offer_the_rest(client: httpx.AsyncClient) -> None:
    page = parse((await client.get("/search/results")).text)
    agency, *others = page.with_class("facet")
    more = agency.with_class("facet-more")[0]
    assert len(agency.with_class("facet-option")) == 40
    assert len(more.with_class("facet-option")) == 32
    assert more.all("summary")[0].text == "Show 32 more in Agency"
    assert [facet.all("h2")[0].text for facet in others] == ["Format", "Theme"]


async def test_a_chosen_facet_value_says_so_in_words(client: httpx.AsyncClient) -> None:
    page = parse((await client.get("/search/results")).text)
    chosen = [e for e in page.with_class("facet-option") if e.attributes.get("aria-current") == "true"]
    assert [e.with_class("facet-label")[0].text for e in chosen] == [
        "Department of Public Matter 2 (chosen)",
        "CSV (chosen)",
    ]


async def test_unknown_amounts_are_words(client: httpx.AsyncClient) -> None:
    page = parse((await client.get("/style-guide")).text)
    row = next(row for row in page.all("tr") if row.text.startswith("a_very_long_column"))
    assert [cell.text for cell in row.all("td")] == ["not known", "not known", "not known"]


async def test_numbers_in_tables_are_grouped_and_aligned(client: httpx.AsyncClient) -> None:
    page = parse((await client.get("/style-guide")).text)
    cells = [cell for cell in page.all("td") if cell.text == "12,345.68"]
    assert [cell.classes for cell in cells] == [["numeric"]]


async def test_an_empty_table_says_what_would_stand_there(client: httpx.AsyncClient) -> None:
    page = parse((await client.get("/style-guide")).text)
    empty = page.with_class("table-empty")
    assert [cell.text for cell in empty] == ["No alerts. When quality falls, the alert shows here."]
    assert empty[0].attributes["colspan"] == "2"


async def test_states_are_never_told_by_colour_alone(client: httpx.AsyncClient) -> None:
    page = parse((await client.get("/style-guide")).text)
    for element in page.with_class("status") + page.with_class("light") + page.with_class("hop"):
        assert element.all("svg")
        assert element.text


async def test_the_menu_shows_what_the_viewer_may_open(client: httpx.AsyncClient) -> None:
    signed_in = parse((await client.get("/style-guide")).text).with_class("site-header")[0]
    public = parse((await client.get("/style-guide?public")).text).with_class("site-header")[0]
    everybody = ["Search", "Ask for data", "Quality"]
    assert [e.text for e in signed_in.all("li")] == [*everybody, "Inbox", "Operations"]
    assert "Signed in as Operator" in signed_in.text
    assert [e.text for e in public.all("li")] == everybody
    assert "Sign in" in public.text


async def test_the_menu_marks_where_one_is(client: httpx.AsyncClient) -> None:
    page = parse((await client.get("/search/results")).text)
    current = [e for e in page.with_class("site-header")[0].all("a") if "aria-current" in e.attributes]
    assert [e.text for e in current] == ["Search"]


async def test_a_problem_tells_what_happened_what_was_kept_and_what_to_do(client: httpx.AsyncClient) -> None:
    answer = await client.get("/problem")
    main = parse(answer.text).all("main")[0]
    assert answer.status_code == 422
    assert [e.text for e in main.all("h2")] == ["What to correct", "What was kept", "What you can do"]
    assert "Purpose: is empty. Say in one sentence" in main.text
    assert main.all("a")[0].attributes["href"] == "/sharing-requests/1/edit"


def test_every_component_is_listed_with_its_parameters() -> None:
    environment = build_templates().environment
    source = (TEMPLATE_DIRECTORY / "components.html").read_text(encoding="utf-8")
    header = source[: source.index("#}")]
    module = environment.get_template("components.html").module
    macros = {name: macro for name, macro in vars(module).items() if isinstance(macro, Macro)}
    assert len(macros) > 40
    for name, macro in macros.items():
        listed = re.search(rf"(?<![\w.]){name}\(([^()]*(?:\([^()]*\)[^()]*)*)\)", header)
        assert listed is not None, f"components.html does not list {name} in its header"
        names = re.findall(r"(\w+)(?:=[^,]*)?(?:,|$)", listed[1].replace("\n", " "))
        assert names == list(macro.arguments), (
            f"the header of components.html lists other parameters of {name}"
        )


async def test_every_style_is_shown_by_the_style_guide(client: httpx.AsyncClient) -> None:
    css = re.sub(
        r"/\*.*?\*/", "", (STATIC_DIRECTORY / "nutmeg.css").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    selectors = re.sub(r"\{[^{}]*\}", " ", css)
    styled = set(re.findall(r"\.([a-z][\w-]*)", selectors))
    pages = [parse((await client.get(path)).text) for path in PAGES]
    shown = {name for page in pages for element in page.walk() for name in element.classes}
    assert styled - shown - LAYOUT_CLASSES == set()


def test_the_style_sheet_loads_nothing() -> None:
    css = (STATIC_DIRECTORY / "nutmeg.css").read_text(encoding="utf-8")
    assert "url(" not in css
    assert "@import" not in css


def test_a_moment_is_marked_up_in_whole_seconds() -> None:
    components = build_templates().environment.get_template("components.html")
    moment = datetime(2026, 3, 12, 14, 5, 9, 123456, tzinfo=UTC)
    (time,) = parse(str(components.module.moment(moment, moment))).all("time")  # type: ignore[attr-defined]
    assert time.attributes["datetime"] == "2026-03-12T14:05:09+00:00"


def test_every_time_element_of_every_template_is_written_by_the_filter() -> None:
    project = Path(__file__).parents[3]
    written = [
        attribute
        for folder in ("services", "shared")
        for template in (project / folder).rglob("*.html")
        for attribute in re.findall(r'<time[^>]* datetime="([^"]*)"', template.read_text())
    ]
    assert written
    assert [attribute for attribute in written if not attribute.endswith("| machine_time }}")] == []
