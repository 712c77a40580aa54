"""The overview of quality: how the agencies do, and what needs a person."""

from pathlib import Path

from fastapi import APIRouter, Request, Response

from services.quality.alerts.reader import AlertFilter, alerts_seen_by
from services.quality.evaluation.reader import AgencySummary, summaries
from shared.http.viewing import ViewerDependency, access
from shared.store.engine import Store
from shared.web.elements import Kind, TableColumn
from shared.web.templating import build_templates

__all__ = ["build_pages"]

TEMPLATES = Path(__file__).parent / "templates"
ALERTS_SHOWN_MAX = 50
SEVERITY_KINDS: dict[str, Kind] = {"error": "bad", "warning": "warn", "info": "info"}
FRESHNESS_WORDS = (
    ("ok", "as fresh as promised"),
    ("late", "late"),
    ("stale", "stale"),
    ("not-applicable", "updated as needed"),
    ("not-known", "not known"),
)
SCORE_WORDS = (
    ("overall", "Overall"),
    ("metadata", "Description complete"),
    ("freshness", "As fresh as promised"),
    ("profile", "Cells filled in"),
)
COLUMNS = (
    "Agency",
    *(TableColumn(words, is_numeric=True) for words in (*dict(SCORE_WORDS).values(), "Datasets")),
)


def build_pages(store: Store) -> APIRouter:
    """Return the page routes."""
    templates = build_templates(TEMPLATES)
    router = APIRouter(include_in_schema=False)

    @router.get("/quality", dependencies=[access("public")])
    async def show_overview(request: Request, viewer: ViewerDependency) -> Response:
        async with store.read() as connection:
            agencies = await summaries(connection, viewer)
            alerts = []
            if viewer.sees_government:
                alerts = await alerts_seen_by(
                    connection, viewer, AlertFilter(state="open"), count_max=ALERTS_SHOWN_MAX
                )
        return templates.render(
            request,
            "quality.html",
            datasets=sum(agency.datasets for agency in agencies),
            freshness=_freshness(agencies),
            columns=COLUMNS,
            agencies=[(agency, _scores(agency)) for agency in agencies],
            alerts=alerts,
            kinds=SEVERITY_KINDS,
        )

    return router


def _freshness(agencies: list[AgencySummary]) -> list[tuple[str, int]]:
    return [
        (words, sum(agency.freshness.get(status, 0) for agency in agencies))
        for status, words in FRESHNESS_WORDS
    ]


def _scores(agency: AgencySummary) -> list[int | None]:
    scores = (agency.scores.get(kind) for kind, _ in SCORE_WORDS)
    return [None if score is None else round(score * 100) for score in scores]
