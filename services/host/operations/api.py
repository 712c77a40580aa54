"""Operations over HTTP, for operators: status, dead letters, event paths, consumers. As the page shows."""

from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from services.host.operations.commands.parked_jobs import release_parked_job
from services.host.operations.domain import REASON_CHARACTERS_MAX, OperationsStatus, ParkedJobHealth
from services.host.operations.installation import OperatedInstallation
from services.host.operations.reader.dead_letters import (
    DeadLetterDetail,
    DeadLetterSummary,
    ReplayState,
    dead_letter_detail,
    dead_letter_summary,
)
from services.host.operations.reader.paths import EventPath, event_path
from services.host.operations.reader.status import operations_status
from shared.errors import NutmegError
from shared.events.topics import GROUPS, TOPICS
from shared.http.known_values import require_known_values
from shared.http.page_links import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, Page
from shared.http.security_contact import operator_notices
from shared.http.viewing import ViewerDependency, access
from shared.identity.viewer import Role

__all__ = ["build_operations_api"]

DRAIN_SECONDS_MAX = 600.0
IDS_MAX = 1_000


class ReplayOrder(BaseModel):
    """What to replay: these ids, or all open and failed ones of a topic and group, or all of them."""

    model_config = ConfigDict(extra="forbid")

    ids: list[UUID] | None = Field(default=None, max_length=IDS_MAX)
    topic: str | None = None
    group: str | None = None


class DiscardOrder(BaseModel):
    """What to discard: these ids, or all open and failed ones of a topic or group; and why."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    ids: list[UUID] | None = Field(default=None, max_length=IDS_MAX)
    topic: str | None = None
    group: str | None = None
    reason: str = Field(min_length=1, max_length=REASON_CHARACTERS_MAX)


class DiscardAnswer(BaseModel):
    """Ids that nobody has to handle any more."""

    discarded: list[str]


class ReplayAnswer(BaseModel):
    """Ids that the failing groups were asked to handle again."""

    requested: list[str]


class ParkedJobs(BaseModel):
    """``items`` holds the latest hundred of each queue; ``total`` counts all."""

    items: list[ParkedJobHealth]
    total: int


class DrainAnswer(BaseModel):
    """``idle`` tells that everything caused so far is done; else ``busy`` says what is not."""

    idle: bool
    busy: str | None = None


class HandlingDocument(BaseModel):
    """What a group made of an event. ``handled_at`` is null while it waits, or before this start."""

    group: str
    state: Literal["done", "waiting", "failed"]
    handled_at: datetime | None
    milliseconds: float | None = Field(description="From publishing to handling.")


class PathEventDocument(BaseModel):
    """One event on the path."""

    event_id: str
    type: str
    topic: str
    subject: str
    causation_id: str | None
    event_time: datetime
    published_at: datetime
    handlings: list[HandlingDocument]


class PathDocument(BaseModel):
    """All events of one correlation, in the order they were published."""

    correlation_id: str
    is_finished: bool
    events: list[PathEventDocument]


def build_operations_api(installation: OperatedInstallation) -> APIRouter:
    """Return the routes below ``/api/v1/ops``."""
    router = APIRouter(prefix="/api/v1/ops", tags=["operations"], dependencies=[access(Role.OPERATOR)])
    _add_status(router, installation)
    _add_dead_letters(router, installation)
    _add_parked_jobs(router, installation)
    return router


def _add_status(router: APIRouter, installation: OperatedInstallation) -> None:
    @router.get("/status")
    async def tell_status(request: Request) -> OperationsStatus:
        """Is it well? Lags, outboxes, recurring work, dead letters, index and deliveries in one answer."""
        return await operations_status(
            installation, version("nutmeg"), notices=operator_notices(request.app.state.http_settings)
        )

    @router.post("/drain")
    async def wait_until_done(
        timeout_seconds: Annotated[float, Query(gt=0, le=DRAIN_SECONDS_MAX)] = 60.0,
    ) -> DrainAnswer:
        """Answer once everything that was caused so far is published, handled and worked off."""
        try:
            await installation.wait_until_idle(timeout_seconds=timeout_seconds)
        except (TimeoutError, NutmegError) as error:
            return DrainAnswer(idle=False, busy=str(error))
        return DrainAnswer(idle=True)

    @router.post("/consumers/{group}/restart", status_code=204)
    async def start_again(group: str) -> None:
        """Start a consumer that stopped on purpose, with a fresh budget of dead letters."""
        installation.restart_consumer(group)

    @router.get("/paths/{correlation_id}")
    async def tell_path(correlation_id: UUID) -> PathDocument:
        """The way of one event: what followed from it, who handled it, and how long that took."""
        return _path_document(str(correlation_id), await event_path(installation, correlation_id))


def _add_parked_jobs(router: APIRouter, installation: OperatedInstallation) -> None:
    @router.get("/parked-jobs")
    async def list_parked_jobs() -> ParkedJobs:
        """Jobs that nobody takes up by itself, because two processes in a row died on them."""
        status = await operations_status(installation, version("nutmeg"))
        return ParkedJobs(items=status.parked_jobs, total=status.parked_job_count)

    @router.post("/parked-jobs/{queue}/{job_id}/release", status_code=204)
    async def release(queue: Annotated[str, Path(max_length=120)], job_id: UUID) -> None:
        """Make a parked job due again, as if nobody had tried it."""
        await release_parked_job(installation, queue, job_id)


def _check_place(topic: str | None, group: str | None) -> None:
    """Raise the 422 problem for a topic or group that there is not."""
    if topic is not None:
        require_known_values("topic", [topic], TOPICS)
    if group is not None:
        require_known_values("group", [group], GROUPS)


def _add_dead_letters(router: APIRouter, installation: OperatedInstallation) -> None:
    @router.get("/dead-letters")
    async def list_dead_letters(
        topic: Annotated[str | None, Query(max_length=120)] = None,
        group: Annotated[str | None, Query(max_length=120)] = None,
        state: ReplayState | None = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_ITEMS_MAX)] = PAGE_ITEMS_DEFAULT,
        cursor: Annotated[UUID | None, Query()] = None,
    ) -> Page[DeadLetterSummary]:
        """Records that could not be handled, the latest first."""
        _check_place(topic, group)
        page = await installation.dead_letters.list(
            topic=topic,
            group=group,
            state=state,
            limit=limit,
            cursor=None if cursor is None else str(cursor),
        )
        return Page(
            items=[dead_letter_summary(view) for view in page.items],
            next_cursor=page.next_cursor,
            total=page.total,
        )

    @router.post("/dead-letters/discard")
    async def discard(order: DiscardOrder, viewer: ViewerDependency) -> DiscardAnswer:
        """Decide that dead letters are never handled. Who, when and why is kept with each."""
        discarded = await installation.dead_letters.discard(
            None if order.ids is None else [str(dead_letter_id) for dead_letter_id in order.ids],
            topic=order.topic,
            group=order.group,
            reason=order.reason,
            by=viewer.person_id,
        )
        return DiscardAnswer(discarded=discarded)

    @router.post("/dead-letters/replay", status_code=202)
    async def replay(order: ReplayOrder, viewer: ViewerDependency) -> ReplayAnswer:
        """Have dead letters handled again, by the group that failed and by no other."""
        _check_place(order.topic, order.group)
        requested = await installation.dead_letters.replay(
            None if order.ids is None else [str(dead_letter_id) for dead_letter_id in order.ids],
            topic=order.topic,
            group=order.group,
            by=viewer.person_id,
        )
        return ReplayAnswer(requested=requested)

    @router.get("/dead-letters/{dead_letter_id}")
    async def show_dead_letter(dead_letter_id: UUID) -> DeadLetterDetail:
        """One record with its reason, its headers and its value."""
        return await dead_letter_detail(installation, dead_letter_id)


def _path_document(correlation_id: str, path: EventPath) -> PathDocument:
    events = [
        PathEventDocument(
            event_id=event.record.event_id,
            type=event.record.event_type,
            topic=event.record.place.topic,
            subject=event.record.subject,
            causation_id=event.record.causation_id,
            event_time=event.record.event_time,
            published_at=event.record.published_at,
            handlings=[
                HandlingDocument(
                    group=handling.group,
                    state=handling.state,
                    handled_at=handling.at,
                    milliseconds=None
                    if handling.at is None
                    else max(0.0, (handling.at - event.record.published_at).total_seconds() * 1_000),
                )
                for handling in event.handlings
            ],
        )
        for event in path.events
    ]
    return PathDocument(correlation_id=correlation_id, is_finished=path.is_finished, events=events)
