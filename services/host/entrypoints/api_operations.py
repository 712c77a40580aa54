"""Operations over HTTP, for operators: status, dead letters, event paths, consumers. As the page shows."""

from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from services.host.dead_letter_words import outcome_words
from services.host.event_paths import EventPath, path_of
from services.host.operations import (
    Operated,
    OperationsStatus,
    ParkedJobHealth,
    operations_status,
    release_parked_job,
)
from shared.bounded_json import InvalidJSONError, JSONBoundError, loads
from shared.consuming.dead_letters import DeadLetterView
from shared.consuming.replays import ReplayState
from shared.errors import NutmegError
from shared.events.envelope import EVENT_LIMITS
from shared.events.topics import GROUPS, TOPICS, topic_named
from shared.http.known_values import require_known_values
from shared.http.page_links import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, Page
from shared.http.problems import FieldProblem, ProblemError
from shared.http.security_contact import operator_notices
from shared.http.viewing import ViewerDependency, access
from shared.identity.viewer import Role

__all__ = [
    "REASON_CHARACTERS_MAX",
    "DeadLetterDetail",
    "build_operations_api",
    "dead_letter_detail",
    "event_path_or_problem",
]

DRAIN_SECONDS_MAX = 600.0
IDS_MAX = 1_000
REASON_CHARACTERS_MAX = 1_000
VALUE_CHARACTERS_MAX = 64 * 1024


class DeadLetterSummary(BaseModel):
    """A record that a group could not handle, and what became of it."""

    id: str
    topic: str
    partition: int
    offset: int
    key: str
    group: str
    reason: str
    error_type: str
    detail: str
    attempts: int
    first_at: datetime
    last_at: datetime
    state: str
    state_detail: str | None
    outcome: str = Field(description="What became of it, in words.")


class DeadLetterActDocument(BaseModel):
    """What somebody did about a dead letter. ``person_id`` is null for a command without a person."""

    act: Literal["replay", "discard"]
    person_id: UUID | None
    reason: str | None
    happened_at: datetime


class DeadLetterDetail(DeadLetterSummary):
    """With the record itself. Topics with personal data keep theirs: ``value`` is then null."""

    traceback: str
    version: str
    published_at: datetime
    headers: dict[str, str]
    value: Any
    history: list[DeadLetterActDocument]


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


def build_operations_api(operated: Operated) -> APIRouter:
    """Return the routes below ``/api/v1/ops``."""
    router = APIRouter(prefix="/api/v1/ops", tags=["operations"], dependencies=[access(Role.OPERATOR)])
    _add_status(router, operated)
    _add_dead_letters(router, operated)
    _add_parked_jobs(router, operated)
    return router


def _add_status(router: APIRouter, operated: Operated) -> None:
    @router.get("/status")
    async def tell_status(request: Request) -> OperationsStatus:
        """Is it well? Lags, outboxes, recurring work, dead letters, index and deliveries in one answer."""
        return await operations_status(
            operated, version("nutmeg"), notices=operator_notices(request.app.state.http_settings)
        )

    @router.post("/drain")
    async def wait_until_done(
        timeout_seconds: Annotated[float, Query(gt=0, le=DRAIN_SECONDS_MAX)] = 60.0,
    ) -> DrainAnswer:
        """Answer once everything that was caused so far is published, handled and worked off."""
        try:
            await operated.wait_until_idle(timeout_seconds=timeout_seconds)
        except (TimeoutError, NutmegError) as error:
            return DrainAnswer(idle=False, busy=str(error))
        return DrainAnswer(idle=True)

    @router.post("/consumers/{group}/restart", status_code=204)
    async def start_again(group: str) -> None:
        """Start a consumer that stopped on purpose, with a fresh budget of dead letters."""
        operated.restart_consumer(group)

    @router.get("/paths/{correlation_id}")
    async def tell_path(correlation_id: UUID) -> PathDocument:
        """The way of one event: what followed from it, who handled it, and how long that took."""
        return _path_document(str(correlation_id), await event_path_or_problem(operated, correlation_id))


def _add_parked_jobs(router: APIRouter, operated: Operated) -> None:
    @router.get("/parked-jobs")
    async def list_parked_jobs() -> ParkedJobs:
        """Jobs that nobody takes up by itself, because two processes in a row died on them."""
        status = await operations_status(operated, version("nutmeg"))
        return ParkedJobs(items=status.parked_jobs, total=status.parked_job_count)

    @router.post("/parked-jobs/{queue}/{job_id}/release", status_code=204)
    async def release(queue: Annotated[str, Path(max_length=120)], job_id: UUID) -> None:
        """Make a parked job due again, as if nobody had tried it."""
        await release_parked_job(operated, queue, job_id)


def _check_place(topic: str | None, group: str | None) -> None:
    """Raise the 422 problem for a topic or group that there is not."""
    if topic is not None:
        require_known_values("topic", [topic], TOPICS)
    if group is not None:
        require_known_values("group", [group], GROUPS)


def _add_dead_letters(router: APIRouter, operated: Operated) -> None:
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
        page = await operated.dead_letters.list(
            topic=topic,
            group=group,
            state=state,
            limit=limit,
            cursor=None if cursor is None else str(cursor),
        )
        return Page(
            items=[DeadLetterSummary(**_summary(view)) for view in page.items],
            next_cursor=page.next_cursor,
            total=page.total,
        )

    @router.post("/dead-letters/discard")
    async def discard(order: DiscardOrder, viewer: ViewerDependency) -> DiscardAnswer:
        """Decide that dead letters are never handled. Who, when and why is kept with each."""
        discarded = await operated.dead_letters.discard(
            None if order.ids is None else [str(one) for one in order.ids],
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
        requested = await operated.dead_letters.replay(
            None if order.ids is None else [str(one) for one in order.ids],
            topic=order.topic,
            group=order.group,
            by=viewer.person_id,
        )
        return ReplayAnswer(requested=requested)

    @router.get("/dead-letters/{dead_letter_id}")
    async def show_dead_letter(dead_letter_id: UUID) -> DeadLetterDetail:
        """One record with its reason, its headers and its value."""
        return await dead_letter_detail(operated, dead_letter_id)


async def dead_letter_detail(operated: Operated, dead_letter_id: UUID) -> DeadLetterDetail:
    """Return one dead letter. Raises ``NotFoundError``."""
    view = await operated.dead_letters.show(str(dead_letter_id))
    source = view.letter.source
    is_private = topic_named(source.topic).personal_data
    return DeadLetterDetail(
        **_summary(view),
        traceback=view.letter.traceback,
        version=view.letter.version,
        published_at=source.published_at,
        headers={name: raw.decode(errors="replace") for name, raw in source.headers},
        value=None if is_private else _readable(source.value),
        history=[
            DeadLetterActDocument(
                act=one.act, person_id=one.person_id, reason=one.reason, happened_at=one.happened_at
            )
            for one in await operated.dead_letters.history(view)
        ],
    )


async def event_path_or_problem(operated: Operated, correlation_id: UUID) -> EventPath:
    """Return an event's path. Raises the 404 problem if the log has nothing of it."""
    path = await path_of(operated.log, str(correlation_id), operated.groups)
    if path is None:
        raise ProblemError(
            404,
            "not-found",
            "Nothing is known of this event",
            "The log holds no event with this correlation id. It may be past its retention.",
            errors=[
                FieldProblem(
                    "unknown correlation id",
                    "Use the correlationid of an event, as the changes feed and the log lines give it.",
                    parameter="correlation_id",
                    code="unknown",
                )
            ],
        )
    return path


def _summary(view: DeadLetterView) -> dict[str, Any]:
    letter = view.letter
    return {
        "id": letter.id,
        "topic": letter.source.topic,
        "partition": letter.source.partition,
        "offset": letter.source.offset,
        "key": letter.source.key,
        "group": letter.group,
        "reason": letter.reason,
        "error_type": letter.error_type,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "first_at": letter.first_at,
        "last_at": letter.last_at,
        "state": str(view.state),
        "state_detail": view.detail,
        "outcome": outcome_words(view),
    }


def _readable(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return loads(value, EVENT_LIMITS)
    except (InvalidJSONError, JSONBoundError):
        return value[:VALUE_CHARACTERS_MAX].decode(errors="replace")


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
