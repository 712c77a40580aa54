"""Pages that show every component with usual, empty, very long and very many contents, and their app."""

import itertools
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.middleware.base import RequestResponseEndpoint

from shared.identity.viewer import ANONYMOUS, Grant, Role, Viewer
from shared.web.charts import Point, Score, month_points
from shared.web.elements import Facet, FacetOption, Hop, Problem, Step
from shared.web.static_files import mount_static
from shared.web.templating import build_templates

NOW = datetime(2026, 3, 15, 9, 30, tzinfo=UTC)

LONG_TITLE = (
    "Number of emergency department visits and inpatient hospital stays for asthma, by town of residence, "
    "age group, race and ethnicity, payer and calendar year, with age-adjusted rates for each 10,000 people, "
    "confidence intervals, suppression of small cells, and the flags that say where a rate is unsafe"
)

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_DOWNLOADS = (412, 388, 505, 471, 0, None, 690, 733, 702, 941, 1_204, 2_380)


def months() -> list[Point]:
    firsts = [date(2025, month, 1) for month in range(4, 13)] + [date(2026, month, 1) for month in (1, 2, 3)]
    return month_points(dict(zip(firsts, _DOWNLOADS, strict=True)), last_month=NOW.date())


def facet_groups() -> list[Facet]:
    agencies = [
        FacetOption(
            f"Department of Public Matter {position}",
            400 - 9 * position,
            f"?agency={position}",
            position == 2,
        )
        for position in range(40)
    ]
    formats = [
        FacetOption("CSV", 212, "?format=csv", is_chosen=True),
        FacetOption("GeoJSON", 18, "?format=geojson"),
    ]
    long_one = [FacetOption(LONG_TITLE, 1, "?theme=long"), FacetOption("Health", None, "?theme=health")]
    return [
        Facet("Agency", agencies),
        Facet("Format", formats),
        Facet("Theme", long_one),
        Facet("Licence", []),
    ]


def steps() -> list[Step]:
    return [
        Step("Asked", "done", "By R. Alvarez, University Research Office", datetime(2026, 3, 2, tzinfo=UTC)),
        Step("Returned once", "stopped", LONG_TITLE, datetime(2026, 3, 4, tzinfo=UTC), "Returned"),
        Step("With the data officer", "current", "An answer is due by 20 March 2026"),
        Step("Agreement signed", "todo"),
    ]


def hops() -> list[Hop]:
    return [
        Hop("Catalog", "dataset changed", "done", 0.0),
        Hop("Log", "catalog.datasets, offset 1,204", "done", 3.1),
        Hop("Quality", "measured, alert opened", "done", 41.72),
        Hop("Notify", "delivery planned", "failed", 5.0),
        Hop("Inbox", LONG_TITLE[:80], "waiting"),
    ]


def problem() -> Problem:
    return Problem(
        title="This request cannot be sent yet",
        status=422,
        detail="Two fields need correcting before anyone can look at it.",
        kept="Your answers were kept as a draft.",
        errors=[("Purpose", "is empty.", "Say in one sentence what you will do with the data.")],
        next_steps=[
            ("Correct the request", "/sharing-requests/1/edit"),
            ("Ask the data officer for help", ""),
        ],
        request_id="0f8c2f9e",
    )


def style_guide_context() -> dict[str, Any]:
    return {
        "long_title": LONG_TITLE,
        "months": months(),
        "long_points": [
            Point(LONG_TITLE, 40),
            Point("Hartford", 1_204_551, is_accented=True),
            Point("Bolton", None),
        ],
        "scores": [
            Score(
                "Completeness", 0.82, "9 of 11 wanted fields are filled in; licence and contact are missing."
            ),
            Score("Currentness", 1.0, "Updated 2 days ago; promised monthly."),
            Score("Accuracy", None, "No one has written a check for this dataset yet."),
            Score("Consistency", 0.0),
        ],
        "facet_groups": facet_groups(),
        "step_list": steps(),
        "hop_list": hops(),
    }


def build_style_guide() -> FastAPI:
    """Serve the style guide under /style-guide, a problem under /problem, behind a strict policy."""
    templates = build_templates(Path(__file__).parent / "templates")
    app = FastAPI()
    app.state.now = lambda: NOW
    app.state.is_demo = True
    app.state.installation_name = "State Data Catalogue"
    app.state.footer_facts = lambda: [("Events behind", "0.2 s"), ("Outbox", "empty"), ("Version", None)]
    mount_static(app)

    @app.middleware("http")
    async def sign_in(request: Request, call_next: RequestResponseEndpoint) -> Response:
        request.state.viewer = ANONYMOUS
        if "public" not in request.query_params:
            grants = frozenset({Grant(Role.OPERATOR)})
            request.state.viewer = Viewer(person_id=UUID(int=7), grants=grants)
            request.state.csrf_token = "token-1"
        response = await call_next(request)
        response.headers["content-security-policy"] = CONTENT_SECURITY_POLICY
        return response

    @app.get("/style-guide")
    async def show_style_guide(request: Request) -> HTMLResponse:
        return templates.render(request, "style-guide.html", **style_guide_context())

    @app.get("/problem")
    async def show_problem(request: Request) -> HTMLResponse:
        return templates.render(request, "problem.html", status_code=422, problem=problem())

    polls = itertools.count(1)

    @app.get("/path")
    async def show_path(request: Request) -> HTMLResponse:
        return templates.render(request, "path-guide.html", hops=hops())

    @app.get("/path/part")
    async def show_path_part(request: Request) -> HTMLResponse:
        is_finished = next(polls) >= 2
        last = Hop("Inbox", "delivered", "done" if is_finished else "waiting", 2.5 if is_finished else None)
        path = [*hops()[:3], last]
        return templates.render(request, "path-part.html", hops=path, is_finished=is_finished)

    @app.get("/search/results")
    async def show_results(request: Request) -> HTMLResponse:
        return templates.render(request, "search-guide.html", **style_guide_context())

    return app
