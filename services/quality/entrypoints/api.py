"""Quality over HTTP: how good a dataset is and why, alerts, measuring again, and profiles of files."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from services.quality.adapters.sql_jobs import read_job
from services.quality.adapters.sql_reading import (
    AlertFilter,
    DatasetFacts,
    alert_seen_by,
    alerts_seen_by,
    history_of,
    may_see_alerts,
    summaries,
    visible_facts,
)
from services.quality.adapters.sql_standings import read_standing
from services.quality.commands.measuring import accept_baseline, measure_now
from services.quality.domain.findings import AlertKind
from services.quality.entrypoints.documents import (
    alert_document,
    dataset_document,
    profile_document,
    summary_document,
)
from services.quality.ports import ProfileError, ProfilerUnavailableError, QualityPorts
from services.quality.settings import QualitySettings
from shared.http.conditional import conditional_response
from shared.http.cursors import CursorDependency
from shared.http.idempotency import Answer, act_once
from shared.http.problems import FieldProblem, ProblemError
from shared.http.viewing import ViewerDependency, access, require
from shared.identity.viewer import Role, TokenScope, Viewer
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["build_api"]

ALERTS_PER_PAGE_MAX = 200
_STEWARDING = (Role.STEWARD, Role.AGENCY_DATA_OFFICER, Role.CHIEF_DATA_OFFICER, Role.OPERATOR)

AlertStateWord = Literal["open", "acknowledged", "resolved"]
Order = Callable[[UnitOfWork, QualityPorts, UUID], Awaitable[None]]


def build_api(store: Store, ports: QualityPorts, settings: QualitySettings) -> APIRouter:
    """Return the routes below ``/api/v1/quality``."""
    router = APIRouter(prefix="/api/v1/quality", tags=["quality"])
    _add_reading(router, store, ports)
    _add_alerts(router, store)
    _add_acting(router, store, ports)
    _add_profiling(router, ports, settings)
    return router


def _add_reading(router: APIRouter, store: Store, ports: QualityPorts) -> None:
    @router.get("/datasets/{dataset_id}", dependencies=[access("public")])
    async def show_dataset(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """How good a dataset is: scores by dimension with reasons, freshness, profile, history, alerts."""
        async with store.read() as connection:
            facts = await visible_facts(connection, viewer, dataset_id)
            found = None if facts is None else await read_standing(connection, dataset_id)
            if facts is None or found is None:
                raise _no_such("dataset", "dataset_id")
            job = await read_job(connection, dataset_id)
            history = await history_of(connection, dataset_id)
            alerts = None
            if may_see_alerts(viewer, facts.agency_id):
                alerts = await alerts_seen_by(connection, viewer, AlertFilter(dataset_id=dataset_id))
        standing, file = found
        document = dataset_document(
            facts,
            standing,
            file,
            job=job,
            history=history,
            alerts=alerts,
            now=ports.clock.now(),
            calendar=ports.calendar,
        )
        return conditional_response(request, document)

    @router.get("/summary", dependencies=[access("public")])
    async def show_summary(request: Request, viewer: ViewerDependency) -> Response:
        """How many datasets are fresh, late and stale, and how complete their descriptions are, by agency."""
        async with store.read() as connection:
            return conditional_response(request, summary_document(await summaries(connection, viewer)))


def _add_alerts(router: APIRouter, store: Store) -> None:
    @router.get("/alerts", dependencies=[access(*_STEWARDING, TokenScope.EVENTS)])
    async def list_alerts(
        request: Request,
        viewer: ViewerDependency,
        cursors: CursorDependency,
        state: Annotated[AlertStateWord | None, Query()] = None,
        kind: Annotated[AlertKind | None, Query()] = None,
        agency: Annotated[UUID | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=ALERTS_PER_PAGE_MAX)] = 50,
        cursor: Annotated[str | None, Query()] = None,
    ) -> Response:
        """Alerts of your agency, or of all if you answer for all; the latest change first."""
        query = {"list": "alerts", "state": state, "kind": kind, "agency": str(agency) if agency else None}
        position = cursors.decode(cursor, query)
        after = None if position is None else (datetime.fromisoformat(position[0]), UUID(position[1]))
        wanted = AlertFilter(state=state, kind=kind, agency_id=agency)
        async with store.read() as connection:
            found = await alerts_seen_by(connection, viewer, wanted, after=after, count_max=limit + 1)
        page, next_cursor = found[:limit], None
        if len(found) > limit:
            last = page[-1].state
            next_cursor = cursors.encode([last.changed_at.isoformat(), str(last.alert_id)], query)
        return conditional_response(
            request, {"items": [alert_document(one) for one in page], "next_cursor": next_cursor}
        )

    @router.get("/alerts/{alert_id}", dependencies=[access(*_STEWARDING, TokenScope.EVENTS)])
    async def show_alert(alert_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """One alert with its evidence."""
        async with store.read() as connection:
            found = await alert_seen_by(connection, viewer, alert_id)
        if found is None:
            raise _no_such("alert", "alert_id")
        return conditional_response(request, alert_document(found))


def _add_acting(router: APIRouter, store: Store, ports: QualityPorts) -> None:
    async def carry_out(order: Order, dataset_id: UUID, request: Request, viewer: Viewer) -> Response:
        facts = await _stewarded(store, viewer, dataset_id)

        async def act(work: UnitOfWork) -> Answer:
            await order(work, ports, facts.dataset_id)
            where = f"/api/v1/quality/datasets/{facts.dataset_id}"
            return Answer(202, {"dataset_id": str(facts.dataset_id)}, {"Location": where})

        return await act_once(request, viewer, store, act)

    @router.post("/datasets/{dataset_id}/measure", status_code=202, dependencies=[access(*_STEWARDING)])
    async def measure(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Measure a dataset again now. The answer comes at once; the file is fetched after it."""
        return await carry_out(measure_now, dataset_id, request, viewer)

    @router.post("/datasets/{dataset_id}/baseline", status_code=202, dependencies=[access(*_STEWARDING)])
    async def accept(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Confirm that the dataset is meant to be as it is: what changed is no longer a degradation."""
        return await carry_out(accept_baseline, dataset_id, request, viewer)


def _add_profiling(router: APIRouter, ports: QualityPorts, settings: QualitySettings) -> None:
    @router.post("/profile", dependencies=[access(*_STEWARDING, body_bytes_max=settings.upload_bytes_max)])
    async def profile_upload(request: Request) -> Response:
        """Profile the CSV file that is the request's body. Nothing of it is kept."""
        body = await request.body()
        if not body:
            raise _unprofiled("The request has no body.", "Send the file as the request's body.")
        try:
            profile = await ports.profiler.profile(body, request.headers.get("content-type"), ports.limits)
        except ProfileError as error:
            raise _unprofiled(str(error), "Send a table as CSV in UTF-8, with one header row.") from error
        except ProfilerUnavailableError as error:
            raise ProblemError(
                503,
                "unavailable",
                "Files cannot be profiled just now",
                "Try again in a minute.",
                headers={"Retry-After": "60"},
            ) from error
        return conditional_response(request, profile_document(profile), cache_control="no-store")


async def _stewarded(store: Store, viewer: Viewer, dataset_id: UUID) -> DatasetFacts:
    async with store.read() as connection:
        facts = await visible_facts(connection, viewer, dataset_id)
    if facts is None:
        raise _no_such("dataset", "dataset_id")
    require(viewer, *_STEWARDING, agency_id=facts.agency_id)
    return facts


def _no_such(what: str, parameter: str) -> ProblemError:
    detail = f"There is no {what} with this id that you may see."
    cure = f"Use the id of a known {what}."
    return ProblemError(
        404,
        "not-found",
        f"There is no such {what}",
        detail,
        errors=[FieldProblem(detail, cure, parameter=parameter, code="unknown")],
    )


def _unprofiled(detail: str, cure: str) -> ProblemError:
    return ProblemError(
        422,
        "unreadable-file",
        "The file cannot be profiled",
        detail,
        errors=[FieldProblem(detail, cure, pointer="#", code="unreadable")],
    )
