"""Quality over HTTP: how good a dataset is and why, alerts, measuring again, and profiles of files."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from fastapi import APIRouter, Request, Response

from services.quality.alerts.reader import AlertFilter, alerts_seen_by, may_see_alerts
from services.quality.evaluation.api.documents import dataset_document, summary_document
from services.quality.evaluation.commands.context import EvaluationContext
from services.quality.evaluation.commands.measuring import accept_baseline, measure_now
from services.quality.evaluation.reader import (
    DatasetFacts,
    history_of,
    read_dataset_quality,
    summaries,
    visible_facts,
)
from services.quality.profiling.reader import read_job
from shared.errors import NotFoundError
from shared.http.conditional import conditional_response
from shared.http.idempotency import Answer, act_once
from shared.http.viewing import ViewerDependency, access, require
from shared.identity.viewer import STEWARDING_ROLES, Viewer
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["build_api"]


Order = Callable[[UnitOfWork, EvaluationContext, UUID], Awaitable[None]]


def build_api(store: Store, context: EvaluationContext) -> APIRouter:
    """Return the routes below ``/api/v1/quality``."""
    router = APIRouter(prefix="/api/v1/quality", tags=["quality"])
    _add_reading(router, store, context)
    _add_acting(router, store, context)
    return router


def _add_reading(router: APIRouter, store: Store, context: EvaluationContext) -> None:
    @router.get("/datasets/{dataset_id}", dependencies=[access("public")])
    async def show_dataset(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """How good a dataset is: scores by dimension with reasons, freshness, profile, history, alerts."""
        async with store.read() as connection:
            facts = await visible_facts(connection, viewer, dataset_id)
            remembered = None if facts is None else await read_dataset_quality(connection, dataset_id)
            if facts is None or remembered is None:
                raise _no_such_dataset()
            job = await read_job(connection, dataset_id)
            history = await history_of(connection, dataset_id)
            alerts = None
            if may_see_alerts(viewer, facts.agency_id):
                alerts = await alerts_seen_by(connection, viewer, AlertFilter(dataset_id=dataset_id))
        quality, file = remembered
        document = dataset_document(
            facts,
            quality,
            file,
            job=job,
            history=history,
            alerts=alerts,
            now=context.clock.now(),
            calendar=context.calendar,
        )
        return conditional_response(request, document)

    @router.get("/summary", dependencies=[access("public")])
    async def show_summary(request: Request, viewer: ViewerDependency) -> Response:
        """How many datasets are fresh, late and stale, and how complete their descriptions are, by agency."""
        async with store.read() as connection:
            return conditional_response(request, summary_document(await summaries(connection, viewer)))


def _add_acting(router: APIRouter, store: Store, context: EvaluationContext) -> None:
    async def perform_action(order: Order, dataset_id: UUID, request: Request, viewer: Viewer) -> Response:
        facts = await _stewarded(store, viewer, dataset_id)

        async def act(work: UnitOfWork) -> Answer:
            await order(work, context, facts.dataset_id)
            where = f"/api/v1/quality/datasets/{facts.dataset_id}"
            return Answer(202, {"dataset_id": str(facts.dataset_id)}, {"Location": where})

        return await act_once(request, viewer, store, act)

    @router.post("/datasets/{dataset_id}/measure", status_code=202, dependencies=[access(*STEWARDING_ROLES)])
    async def measure(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Measure a dataset again now. The answer comes at once; the file is fetched after it."""
        return await perform_action(measure_now, dataset_id, request, viewer)

    @router.post("/datasets/{dataset_id}/baseline", status_code=202, dependencies=[access(*STEWARDING_ROLES)])
    async def accept(dataset_id: UUID, request: Request, viewer: ViewerDependency) -> Response:
        """Confirm that the dataset is meant to be as it is: what changed is no longer a degradation."""
        return await perform_action(accept_baseline, dataset_id, request, viewer)


async def _stewarded(store: Store, viewer: Viewer, dataset_id: UUID) -> DatasetFacts:
    async with store.read() as connection:
        facts = await visible_facts(connection, viewer, dataset_id)
    if facts is None:
        raise _no_such_dataset()
    require(viewer, *STEWARDING_ROLES, agency_id=facts.agency_id)
    return facts


def _no_such_dataset() -> NotFoundError:
    """The same words for an unknown and a hidden dataset: nothing is told of what is hidden."""
    return NotFoundError(
        "There is no dataset with this id that you may see.", what="dataset", field="dataset_id"
    )
