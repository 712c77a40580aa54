"""Matters, inbox lines, tellings and deliveries on SQLAlchemy: SQLite and PostgreSQL alike."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.domain.mail import ATTEMPTS_MAX, Sending, ToldMatter, longest_wait
from services.notify.domain.matters import ALERT_TOPICS, READ_ONCE_KINDS, Change, Matter, MatterState
from services.notify.domain.routing import Recipient
from services.notify.migrations.tables import DELIVERIES, INBOX_LINES, MATTERS, PEOPLE, TELLINGS
from services.notify.ports import Telling
from shared.errors import NotFoundError
from shared.jobs.parking import DEATHS_MAX
from shared.store.due_times import is_due, is_due_by
from shared.store.types import UTCDateTime
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = ["SqlMatterBook", "matter_of_row", "sending_of", "told_by_delivery"]

OPEN_DELIVERIES = ("queued", "deferred")
GROUP_WAIT_MAX = timedelta(hours=1)
"""As long as the settings let a matter wait for its neighbours."""


class SqlMatterBook:
    """Implements :class:`services.notify.ports.MatterBook`."""

    async def matters(self, work: UnitOfWork, matter_ids: Collection[UUID]) -> dict[UUID, Matter]:
        if not matter_ids:
            return {}
        rows = await work.connection.execute(_MATTERS, {"ids": list(matter_ids)})
        return {row.matter_id: matter_of_row(row) for row in rows}

    async def put_matters(self, work: UnitOfWork, matters: Sequence[Matter]) -> None:
        await upsert(work.connection, MATTERS, [_matter_row(matter) for matter in matters])

    async def put_in_inbox(self, work: UnitOfWork, readers: Mapping[UUID, Sequence[Recipient]]) -> None:
        now = work.clock.now()
        rows = [
            {"matter_id": matter_id, "person_id": one.person_id, "reason": one.reason, "put_at": now}
            for matter_id, recipients in readers.items()
            for one in recipients
        ]
        await upsert(work.connection, INBOX_LINES, rows, update=[])

    async def matters_of(self, work: UnitOfWork, person_id: UUID) -> list[Matter]:
        theirs = select(INBOX_LINES.c.matter_id).where(INBOX_LINES.c.person_id == person_id)
        told = select(TELLINGS.c.matter_id).where(TELLINGS.c.person_id == person_id)
        rows = await work.connection.execute(
            select(MATTERS).where(or_(MATTERS.c.matter_id.in_(theirs), MATTERS.c.matter_id.in_(told)))
        )
        return [matter_of_row(row) for row in rows]

    async def withdraw(self, work: UnitOfWork, person_id: UUID, matter_ids: Collection[UUID]) -> None:
        waiting = select(DELIVERIES.c.delivery_id).where(
            DELIVERIES.c.person_id == person_id, DELIVERIES.c.state.in_(OPEN_DELIVERIES)
        )
        unsent = or_(TELLINGS.c.delivery_id.is_(None), TELLINGS.c.delivery_id.in_(waiting))
        ids = list(matter_ids)
        await work.connection.execute(
            delete(INBOX_LINES).where(INBOX_LINES.c.person_id == person_id, INBOX_LINES.c.matter_id.in_(ids))
        )
        await work.connection.execute(
            delete(TELLINGS).where(TELLINGS.c.person_id == person_id, TELLINGS.c.matter_id.in_(ids), unsent)
        )
        # A message of which nothing is left tells nothing; one with other matters goes out without these.
        left = select(TELLINGS.c.delivery_id).where(TELLINGS.c.delivery_id.is_not(None))
        await work.connection.execute(
            delete(DELIVERIES).where(
                DELIVERIES.c.person_id == person_id,
                DELIVERIES.c.state.in_(OPEN_DELIVERIES),
                DELIVERIES.c.delivery_id.not_in(left),
            )
        )

    async def readers(self, work: UnitOfWork, matter_id: UUID) -> list[Recipient]:
        rows = await work.connection.execute(
            select(INBOX_LINES).where(INBOX_LINES.c.matter_id == matter_id).order_by(INBOX_LINES.c.person_id)
        )
        return [Recipient(row.person_id, row.reason) for row in rows]

    async def tell(self, work: UnitOfWork, tellings: Sequence[Telling]) -> None:
        rows = [
            {
                "telling_id": one.telling_id,
                "matter_id": one.matter_id,
                "person_id": one.person_id,
                "change": one.change.value,
                "reason": one.reason,
                "not_before": one.not_before,
                "delivery_id": None,
                "snapshot": None,
            }
            for one in tellings
        ]
        await upsert(work.connection, TELLINGS, rows, update=[])

    async def take_back(self, work: UnitOfWork, matter_id: UUID) -> set[UUID]:
        waiting = (TELLINGS.c.matter_id == matter_id) & TELLINGS.c.delivery_id.is_(None)
        rows = await work.connection.execute(select(TELLINGS.c.person_id, TELLINGS.c.change).where(waiting))
        never_heard = {row.person_id for row in rows if row.change == Change.OPENED}
        await work.connection.execute(delete(TELLINGS).where(waiting))
        return never_heard

    async def open_alerts_of(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> list[Matter]:
        if not dataset_ids:
            return []
        statement = (
            select(MATTERS)
            .where(
                MATTERS.c.dataset_id.in_(list(dataset_ids)),
                MATTERS.c.topic.in_(ALERT_TOPICS),
                MATTERS.c.state != MatterState.DONE.value,
            )
            .order_by(MATTERS.c.opened_at, MATTERS.c.matter_id)
        )
        return [matter_of_row(row) for row in await work.connection.execute(statement)]

    async def withdraw_unheard(self, work: UnitOfWork, matter_id: UUID, *, keep: UUID) -> None:
        untold = (TELLINGS.c.matter_id == matter_id) & TELLINGS.c.delivery_id.is_(None)
        opened = select(TELLINGS.c.person_id).where(untold, TELLINGS.c.change == Change.OPENED.value)
        unheard = [one for one in await work.connection.scalars(opened) if one != keep]
        if not unheard:
            return
        for table in (TELLINGS, INBOX_LINES):
            theirs = (table.c.matter_id == matter_id) & table.c.person_id.in_(unheard)
            await work.connection.execute(delete(table).where(theirs))

    async def acknowledge(
        self, work: UnitOfWork, matter_id: UUID, *, person_id: UUID, at: datetime
    ) -> Matter:
        matter = (await self.matters(work, [matter_id])).get(matter_id)
        if matter is None:
            raise NotFoundError(f"No matter has the id {matter_id}.", what="matter", field="matter_id")
        if matter.state is not MatterState.OPEN:
            return matter
        taken = replace(matter, state=MatterState.ACKNOWLEDGED, acknowledged_by=person_id, changed_at=at)
        await self.put_matters(work, [taken])
        return taken

    async def close(self, work: UnitOfWork, matter_id: UUID) -> bool:
        matter = (await self.matters(work, [matter_id])).get(matter_id)
        if matter is None:
            return False
        await self.put_matters(work, [replace(matter, state=MatterState.DONE, changed_at=work.clock.now())])
        await self.take_back(work, matter_id)
        return True

    async def neglected(self, work: UnitOfWork, *, told_before: datetime, limit: int) -> list[Matter]:
        told = (
            select(func.max(TELLINGS.c.not_before))
            .where(
                TELLINGS.c.matter_id == MATTERS.c.matter_id,
                TELLINGS.c.change.in_([Change.OPENED.value, Change.WORSENED.value]),
            )
            .scalar_subquery()
        )
        statement = (
            select(MATTERS)
            .where(
                MATTERS.c.state == MatterState.OPEN.value,
                MATTERS.c.severity == "error",
                MATTERS.c.topic.in_(ALERT_TOPICS),
                func.coalesce(MATTERS.c.passed_on_occurrence, 0) < MATTERS.c.occurrences,
                told <= told_before,
            )
            .order_by(MATTERS.c.opened_at, MATTERS.c.matter_id)
            .limit(limit)
            .with_for_update()
        )
        return [matter_of_row(row) for row in await work.connection.execute(statement)]

    async def mark_passed_on(self, work: UnitOfWork, matters: Sequence[Matter]) -> None:
        await work.connection.execute(
            update(MATTERS)
            .where(MATTERS.c.matter_id == bindparam("passed_on"))
            .values(passed_on_occurrence=bindparam("occurrence")),
            [{"passed_on": one.matter_id, "occurrence": one.occurrences} for one in matters],
        )

    async def prune(self, work: UnitOfWork, *, before: datetime, limit: int) -> int:
        is_over = or_(MATTERS.c.state == MatterState.DONE.value, MATTERS.c.kind.in_(sorted(READ_ONCE_KINDS)))
        matters = await _ids(
            work, select(MATTERS.c.matter_id).where(is_over, MATTERS.c.changed_at < before).limit(limit)
        )
        deliveries = await _ids(
            work,
            select(DELIVERIES.c.delivery_id).where(DELIVERIES.c.finished_at < before).limit(limit),
        )
        for table, column, ids in (
            (TELLINGS, TELLINGS.c.delivery_id, deliveries),
            (DELIVERIES, DELIVERIES.c.delivery_id, deliveries),
            (TELLINGS, TELLINGS.c.matter_id, matters),
            (INBOX_LINES, INBOX_LINES.c.matter_id, matters),
            (MATTERS, MATTERS.c.matter_id, matters),
        ):
            if ids:
                await work.connection.execute(delete(table).where(column.in_(ids)))
        return len(matters) + len(deliveries)

    async def due_people(self, work: UnitOfWork, now: datetime, limit: int) -> list[UUID]:
        rows = await work.connection.scalars(
            select(TELLINGS.c.person_id)
            .where(_is_to_tell(now))
            .group_by(TELLINGS.c.person_id)
            .order_by(func.min(TELLINGS.c.not_before))
            .limit(limit)
        )
        return list(rows)

    async def gather(
        self, work: UnitOfWork, person_ids: Sequence[UUID], now: datetime, *, channel: str
    ) -> None:
        rows = (
            await work.connection.execute(
                select(TELLINGS, MATTERS)
                .join(MATTERS, MATTERS.c.matter_id == TELLINGS.c.matter_id)
                .where(TELLINGS.c.person_id.in_(person_ids), TELLINGS.c.delivery_id.is_(None))
                .order_by(TELLINGS.c.not_before, TELLINGS.c.telling_id)
            )
        ).all()
        if not rows:
            return
        with_address = select(PEOPLE.c.person_id).where(
            PEOPLE.c.person_id.in_(person_ids), PEOPLE.c.email.is_not(None), PEOPLE.c.email != ""
        )
        reachable = set(await work.connection.scalars(with_address))
        deliveries = {row.person_id: uuid4() for row in rows}
        await work.connection.execute(
            insert(DELIVERIES),
            [
                _delivery_row(delivery_id, person_id, now, channel if person_id in reachable else None)
                for person_id, delivery_id in deliveries.items()
            ],
        )
        await work.connection.execute(
            update(TELLINGS)
            .where(TELLINGS.c.telling_id == bindparam("told"))
            .values(delivery_id=bindparam("in_delivery"), snapshot=bindparam("as_told")),
            [
                {
                    "told": row.telling_id,
                    "in_delivery": deliveries[row.person_id],
                    "as_told": _snapshot(matter_of_row(row)),
                }
                for row in rows
            ],
        )

    async def lease(
        self, work: UnitOfWork, now: datetime, *, lease_for: timedelta, limit: int
    ) -> list[Sending]:
        moments = _send_moments(now, lease_for)
        rows = (await work.connection.execute(_NEXT_TO_SEND, {**moments, "limit": limit})).all()
        if not rows:
            return []
        ids = [row.delivery_id for row in rows]
        await work.connection.execute(_LEASE, [{"leased": each, "until": now + lease_for} for each in ids])
        told = await told_by_delivery(work.connection, ids)
        return [sending_of(row, told.get(row.delivery_id, ())) for row in rows]

    async def release_leases(self, work: UnitOfWork) -> None:
        await work.connection.execute(
            update(DELIVERIES).where(DELIVERIES.c.leased_until.is_not(None)).values(leased_until=None)
        )

    async def settle(
        self,
        work: UnitOfWork,
        sending: Sending,
        *,
        state: str,
        result: str,
        next_attempt_at: datetime | None,
    ) -> None:
        await work.connection.execute(
            _SETTLE,
            {
                "settled": sending.delivery_id,
                "in_state": state,
                "tries": sending.attempts + 1,
                "words": result,
                "again_at": next_attempt_at,
                "at": None if next_attempt_at else work.clock.now(),
            },
        )

    async def give_back(self, work: UnitOfWork, delivery_id: UUID) -> None:
        await work.connection.execute(
            update(DELIVERIES)
            .where(DELIVERIES.c.delivery_id == delivery_id)
            .values(leased_until=None, deaths=DELIVERIES.c.deaths - 1)
        )

    async def count_due(self, connection: AsyncConnection, now: datetime, *, lease_for: timedelta) -> int:
        """Return how many tellings may be gathered and messages may be tried at ``now``."""
        tellings = await connection.scalar(select(func.count()).select_from(TELLINGS).where(_is_to_tell(now)))
        messages = await connection.scalar(_COUNT_TO_SEND, _send_moments(now, lease_for))
        return (tellings or 0) + (messages or 0)

    async def count_untold(self, connection: AsyncConnection) -> int:
        """Return how many tellings wait to be gathered, due or not."""
        waiting = await connection.scalar(
            select(func.count()).select_from(TELLINGS).where(TELLINGS.c.delivery_id.is_(None))
        )
        return waiting or 0


async def _ids(work: UnitOfWork, statement: Select[tuple[UUID]]) -> list[UUID]:
    return list(await work.connection.scalars(statement.with_for_update(skip_locked=True)))


def _is_to_tell(now: datetime) -> ColumnElement[bool]:
    return and_(TELLINGS.c.delivery_id.is_(None), is_due(TELLINGS.c.not_before, now, longest=GROUP_WAIT_MAX))


def _is_to_send() -> ColumnElement[bool]:
    """With the parameters that :func:`_send_moments` gives."""
    message = DELIVERIES.c
    now, lease_latest = (bindparam(name, type_=UTCDateTime) for name in ("now", "lease_latest"))
    # Each try waits longer than the one before.
    latest = {tries: bindparam(f"latest_{tries}", type_=UTCDateTime) for tries in range(ATTEMPTS_MAX)}
    wait_latest = case(latest, value=message.attempts, else_=now)
    return and_(
        message.state.in_(OPEN_DELIVERIES),
        message.deaths < DEATHS_MAX,
        is_due_by(message.next_attempt_at, now, latest=wait_latest),
        or_(message.leased_until.is_(None), is_due_by(message.leased_until, now, latest=lease_latest)),
    )


def _send_moments(now: datetime, lease_for: timedelta) -> dict[str, datetime]:
    latest = {f"latest_{tries}": now + longest_wait(tries) for tries in range(ATTEMPTS_MAX)}
    return {"now": now, "lease_latest": now + lease_for, **latest}


# Kept, since each is run for every message, and to build one takes longer than to run it.
_MATTERS = select(MATTERS).where(MATTERS.c.matter_id.in_(bindparam("ids", expanding=True))).with_for_update()
_COUNT_TO_SEND = select(func.count()).select_from(DELIVERIES).where(_is_to_send())
_NEXT_TO_SEND = (
    select(DELIVERIES, PEOPLE.c.email, PEOPLE.c.display_name)
    .outerjoin(PEOPLE, PEOPLE.c.person_id == DELIVERIES.c.person_id)
    .where(_is_to_send())
    .order_by(DELIVERIES.c.next_attempt_at)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True, of=DELIVERIES)
)
_LEASE = (
    update(DELIVERIES)
    .where(DELIVERIES.c.delivery_id == bindparam("leased"))
    .values(leased_until=bindparam("until"), deaths=DELIVERIES.c.deaths + 1)
)
_SETTLE = (
    update(DELIVERIES)
    .where(DELIVERIES.c.delivery_id == bindparam("settled"))
    .values(
        state=bindparam("in_state"),
        attempts=bindparam("tries"),
        result=bindparam("words"),
        next_attempt_at=bindparam("again_at"),
        leased_until=None,
        deaths=0,
        finished_at=bindparam("at"),
    )
)
_TOLD = (
    select(TELLINGS)
    .where(TELLINGS.c.delivery_id.in_(bindparam("ids", expanding=True)))
    .order_by(TELLINGS.c.not_before, TELLINGS.c.telling_id)
)


async def told_by_delivery(
    connection: AsyncConnection, delivery_ids: Collection[UUID]
) -> dict[UUID, tuple[ToldMatter, ...]]:
    """Return what each message tells, in order."""
    rows = await connection.execute(_TOLD, {"ids": list(delivery_ids)})
    told: dict[UUID, tuple[ToldMatter, ...]] = {}
    for row in rows:
        one = ToldMatter(_from_snapshot(row.snapshot), Change(row.change), row.reason)
        told[row.delivery_id] = (*told.get(row.delivery_id, ()), one)
    return told


def matter_of_row(row: Any) -> Matter:
    """Return the matter in a row of ``matters``."""
    return Matter(
        matter_id=row.matter_id,
        kind=row.kind,
        topic=row.topic,
        title=row.title,
        cause=row.cause,
        next_act=row.next_act,
        severity=row.severity,
        state=MatterState(row.state),
        opened_at=row.opened_at,
        changed_at=row.changed_at,
        version=row.version,
        dataset_id=row.dataset_id,
        agency_id=row.agency_id,
        details=tuple((name, expected, observed) for name, expected, observed in row.details),
        acknowledged_by=row.acknowledged_by,
        occurrences=row.occurrences,
        href=row.href,
        links=tuple((words, path) for words, path in row.links),
        requester_id=row.requester_id,
    )


def _matter_row(matter: Matter) -> dict[str, Any]:
    # Not asdict(): it copies every value in depth, which took longer than writing the row.
    row = {each.name: getattr(matter, each.name) for each in fields(matter)}
    lists = {name: [list(one) for one in getattr(matter, name)] for name in ("details", "links")}
    return {**row, "state": matter.state.value, **lists}


def _delivery_row(delivery_id: UUID, person_id: UUID, now: datetime, channel: str | None) -> dict[str, Any]:
    """Somebody without an address (``channel``: None) reads the inbox; that is all there is to deliver."""
    return {
        "delivery_id": delivery_id,
        "person_id": person_id,
        "channel": channel or "inbox",
        "state": "queued" if channel else "sent",
        "attempts": 0,
        "result": None if channel else "in the inbox",
        "created_at": now,
        "next_attempt_at": now if channel else None,
        "leased_until": None,
        "deaths": 0,
        "finished_at": None if channel else now,
    }


def _snapshot(matter: Matter) -> Any:
    return orjson.loads(orjson.dumps(_matter_row(matter)))


def _from_snapshot(document: Mapping[str, Any]) -> Matter:
    ids = {
        name: UUID(document[name]) if document[name] else None
        for name in ("matter_id", "dataset_id", "agency_id", "acknowledged_by", "requester_id")
    }
    moments = {name: datetime.fromisoformat(document[name]) for name in ("opened_at", "changed_at")}
    details = tuple((name, expected, observed) for name, expected, observed in document["details"])
    links = tuple((words, path) for words, path in document["links"])
    return Matter(
        **{
            **document,
            **ids,
            **moments,
            "state": MatterState(document["state"]),
            "details": details,
            "links": links,
        }
    )


def sending_of(row: Any, told: tuple[ToldMatter, ...]) -> Sending:
    """Return the message in a row of ``deliveries``, joined with ``people``."""
    return Sending(
        delivery_id=row.delivery_id,
        person_id=row.person_id,
        address=row.email,
        display_name=row.display_name or "",
        told=told,
        attempts=row.attempts,
        created_at=row.created_at,
    )
