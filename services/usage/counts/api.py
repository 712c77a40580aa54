"""Reading use over HTTP: of one dataset, the most used, and the report. Public, as far as datasets are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from services.usage.counts.domain.counter import COUNT_NAMES, Counts
from services.usage.counts.reader import (
    CountedDays,
    DatasetUse,
    Granularity,
    ReportRow,
    counted_days,
    dataset_use,
    most_used,
    report_rows,
    reported_agencies,
)
from shared.clock import Clock
from shared.http.conditional import conditional_response
from shared.http.csv_answers import csv_response
from shared.http.cursors import CursorDependency
from shared.http.known_values import require_known_values
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access
from shared.store.engine import Store

__all__ = ["build_use_api"]

DAYS_DEFAULT = 30
DAYS_MAX: Mapping[str, int] = {"day": 400, "hour": 31}
REPORT_DAYS_MAX = 3_700
REPORT_ROWS_MAX = 5_000
TOP_ROWS_MAX = 100
EARLIEST_DAY, LATEST_DAY = date(2000, 1, 1), date(2099, 12, 31)
STANDARD = "COUNTER R5.1"

FirstDay = Annotated[date | None, Query(alias="from", description="First day, UTC; 30 days by default.")]
LastDay = Annotated[date | None, Query(alias="to", description="Last day, UTC, inclusive; today by default.")]


def build_use_api(store: Store, clock: Clock) -> APIRouter:
    """Return the routes below ``/api/v1/usage`` that read."""
    router = APIRouter(prefix="/api/v1/usage", tags=["usage"], dependencies=[access("public")])

    @router.get("/datasets/{dataset_id}")
    async def show_use(
        dataset_id: Annotated[UUID, Path()],
        request: Request,
        viewer: ViewerDependency,
        granularity: Granularity = "day",
        first: FirstDay = None,
        last: LastDay = None,
    ) -> Response:
        """One dataset's use per day or hour. ``null`` means not counted, which is not zero."""
        now = clock.now()
        days = _days(first, last, now, days_max=DAYS_MAX[granularity])
        async with store.read() as connection:
            use = await dataset_use(
                connection,
                viewer,
                dataset_id,
                granularity=granularity,
                first=days[0],
                last=days[1],
                now=now,
            )
            counted = await counted_days(connection)
        if use is None:
            raise _no_such_dataset()
        return conditional_response(request, _use_document(use, granularity, days, counted))

    @router.get("/top")
    async def show_top(
        request: Request,
        viewer: ViewerDependency,
        days: Annotated[int, Query(ge=1, le=400)] = DAYS_DEFAULT,
        limit: Annotated[int, Query(ge=1, le=TOP_ROWS_MAX)] = 10,
    ) -> Response:
        """The most used datasets of the last days, today included."""
        last = _today(clock.now())
        first = last - timedelta(days=days - 1)
        async with store.read() as connection:
            rows = await most_used(connection, viewer, first=first, last=last, rows_max=limit)
            counted = await counted_days(connection)
        items = [_row_document(row) | {"uses": row.counts.uses if row.counts else None} for row in rows]
        document: dict[str, Any] = {"days": days, "items": items}
        document |= _range_document((first, last), counted)
        return conditional_response(request, document)

    _add_report(router, store, clock)
    return router


def _add_report(router: APIRouter, store: Store, clock: Clock) -> None:
    @router.get("/report")
    async def show_report(
        request: Request,
        viewer: ViewerDependency,
        cursors: CursorDependency,
        first: FirstDay = None,
        last: LastDay = None,
        agency: Annotated[str | None, Query(max_length=300, description="Id or name.")] = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=REPORT_ROWS_MAX)] = 1_000,
    ) -> Response:
        """COUNTER metrics per dataset, those without use too; as CSV with ``Accept: text/csv``."""
        days = _days(first, last, clock.now(), days_max=REPORT_DAYS_MAX)
        query = {"from": days[0].isoformat(), "to": days[1].isoformat(), "agency": agency}
        position = cursors.decode(cursor, query)
        after = None if position is None else (str(position[0]), UUID(str(position[1])))
        async with store.read() as connection:
            rows = await report_rows(
                connection,
                viewer,
                first=days[0],
                last=days[1],
                agency=agency,
                after=after,
                rows_max=limit + 1,
            )
            counted = await counted_days(connection)
            if agency is not None and not rows and after is None:
                require_known_values("agency", [agency], await reported_agencies(connection, viewer))
        next_cursor = None
        if len(rows) > limit:
            rows = rows[:limit]
            next_cursor = cursors.encode([rows[-1].title, str(rows[-1].dataset_id)], query)
        if _wants_csv(request):
            return _csv_response(rows, days, counted, _next_link(request, next_cursor))
        document: dict[str, Any] = {"standard": STANDARD, "data_type": "Dataset", "agency": agency}
        document |= _range_document(days, counted)
        document |= {"items": [_row_document(row) for row in rows], "next_cursor": next_cursor}
        return conditional_response(request, document)


def _today(now: datetime) -> date:
    return now.astimezone(UTC).date()


def _days(first: date | None, last: date | None, now: datetime, *, days_max: int) -> tuple[date, date]:
    """Return the range asked for. Raises the 422 problem for one that is backwards or too long."""
    last = last or _today(now)
    if not EARLIEST_DAY <= min(last, first or last) <= max(last, first or last) <= LATEST_DAY:
        raise _bad_range(
            "the range is out of the calendar kept here",
            f"Use days of {EARLIEST_DAY.year} to {LATEST_DAY.year}.",
        )
    first = first or last - timedelta(days=DAYS_DEFAULT - 1)
    if first > last:
        raise _bad_range("from lies after to", "Exchange them.")
    if (last - first).days >= days_max:
        raise _bad_range("the range is too long", f"Ask for at most {days_max} days at once.")
    return first, last


def _bad_range(detail: str, cure: str) -> ProblemError:
    problem = FieldProblem(detail, cure, parameter="from", code="range")
    return ProblemError(422, "validation", "The range cannot be used", cure, errors=[problem])


def _no_such_dataset() -> ProblemError:
    """The same words for an unknown and a hidden dataset: nothing is told of what is hidden."""
    return ProblemError(
        404, "not-found", "There is no such dataset", "No dataset that you may see has this id."
    )


def _metrics(counts: Counts | None) -> dict[str, int | None]:
    return dict.fromkeys(COUNT_NAMES) if counts is None else asdict(counts)


def _range_document(days: tuple[date, date], counted: CountedDays) -> dict[str, Any]:
    return {
        "from": days[0].isoformat(),
        "to": days[1].isoformat(),
        "counting_since": counted.days[0].isoformat() if counted.days else None,
        "counted_until": counted.until.isoformat() if counted.until else None,
    }


def _use_document(
    use: DatasetUse, granularity: Granularity, days: tuple[date, date], counted: CountedDays
) -> dict[str, Any]:
    return _range_document(days, counted) | {
        "dataset_id": str(use.dataset_id),
        "title": use.title,
        "granularity": granularity,
        "counted_since": use.counted_since.isoformat() if use.counted_since else None,
        "total": _metrics(use.total),
        "items": [
            {"window_start": window.start.isoformat()} | _metrics(window.counts) for window in use.windows
        ],
    }


def _row_document(row: ReportRow) -> dict[str, Any]:
    return {
        "dataset_id": str(row.dataset_id),
        "title": row.title,
        "agency": row.agency_name,
        "publisher": row.publisher_name,
        "counted_since": row.counted_since.isoformat() if row.counted_since else None,
    } | _metrics(row.counts)


def _wants_csv(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "text/csv" in accepted and "application/json" not in accepted


def _csv_response(
    rows: Sequence[ReportRow], days: tuple[date, date], counted: CountedDays, next_link: str | None
) -> Response:
    """One line per dataset; unknown numbers are empty. The next page is in a Link header (RFC 8288)."""
    lines: list[list[object]] = []
    facts = ["dataset_id", "title", "agency", "publisher", "data_type", "from", "to", "counted_since"]
    until = counted.until.isoformat() if counted.until else ""
    for row in rows:
        since = row.counted_since.isoformat() if row.counted_since else ""
        values = [row.dataset_id, row.title, row.agency_name, row.publisher_name]
        numbers = ["" if number is None else number for number in _metrics(row.counts).values()]
        lines.append([*values, "Dataset", days[0], days[1], since, *numbers, until])
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization, Cookie"}
    if next_link is not None:
        headers["Link"] = next_link
    return csv_response([*facts, *COUNT_NAMES, "counted_until"], lines, headers=headers)


def _next_link(request: Request, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    url = request.url.include_query_params(cursor=cursor)
    return f'<{url.path}?{url.query}>; rel="next"'
