"""The few facts about datasets that every service filters with, learnt from ``catalog.datasets``.

Each service keeps its own copy in its own database: no call to the catalogue, no shared table.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    and_,
    false,
    select,
)

from shared.consuming.handling import Outcome
from shared.events.catalog import DatasetChanged, DatasetRegistered, DatasetRetired, DatasetState
from shared.events.envelope import Event
from shared.identity.rules import AllOf, AnyOf, HoldsRole, IsPerson
from shared.identity.sql_rules import condition
from shared.identity.viewer import VISIBLE, Role, Viewer
from shared.store.types import UTCDateTime
from shared.store.unit_of_work import UnitOfWork
from shared.store.upsert import upsert

__all__ = [
    "DATASET_EVENTS",
    "KnownDatasets",
    "answered_for_by",
    "dataset_of",
    "known_datasets_table",
    "visible_to",
]

_ANSWERING_ROLES = (Role.STEWARD, Role.AGENCY_DATA_OFFICER, Role.CHIEF_DATA_OFFICER)

ANSWERS_FOR = AnyOf(
    (
        HoldsRole((Role.AGENCY_DATA_OFFICER, Role.CHIEF_DATA_OFFICER), agency="agency_id"),
        AllOf((HoldsRole((Role.STEWARD,)), IsPerson("steward_id"))),
    )
)
"""Whose a dataset is to look after: its steward's, its agency's data officers', the chief data officer's."""

IDENTIFIERS_ASKED_MAX = 500
"""More than so many are compared here: the database would read the whole table for each portion."""

DATASET_EVENTS = (DatasetRegistered, DatasetChanged, DatasetRetired)


def known_datasets_table(metadata: MetaData) -> Table:
    """Add the read model to a service's metadata; its first migration creates it."""
    return Table(
        "known_datasets",
        metadata,
        Column("dataset_id", Uuid, primary_key=True),
        Column("source_id", String(200), nullable=False),
        Column("identifier", Text, nullable=False),
        Column("title", Text, nullable=False),
        Column("publisher_name", Text, nullable=True),
        Column("agency_id", Uuid, nullable=True, index=True),
        Column("agency_name", Text, nullable=True),
        Column("steward_id", Uuid, nullable=True, index=True),
        Column("visibility", String(20), nullable=False),
        Column("access_level", String(30), nullable=False),
        Column("landing_page", Text, nullable=True),
        Column("retired", Boolean, nullable=False),
        Column("changed_at", UTCDateTime, nullable=False),
    )


def dataset_of(event: Event) -> DatasetState | None:
    """Return the ``DatasetState`` in any dataset event; ``None`` for a tombstone."""
    if isinstance(event.data, DATASET_EVENTS):
        return event.data.dataset
    return None


class KnownDatasets:
    """A service's copy of the facts. ``table`` comes from :func:`known_datasets_table`."""

    def __init__(self, table: Table) -> None:
        self.table = table

    async def remember(self, batch: Sequence[Event], work: UnitOfWork) -> list[Outcome]:
        """Write the newest state of each dataset of the batch, in one statement; forget tombstoned ones."""
        newest: dict[UUID, dict[str, Any]] = {}
        gone: set[UUID] = set()
        for event in batch:
            dataset = dataset_of(event)
            if dataset is None:
                gone.add(UUID(event.subject))
                newest.pop(UUID(event.subject), None)
                continue
            newest[dataset.dataset_id] = _row(dataset, event)
        await upsert(work.connection, self.table, list(newest.values()))
        if gone:
            await work.connection.execute(self.table.delete().where(self.table.c.dataset_id.in_(gone)))
        return [Outcome.APPLIED] * len(batch)

    async def unknown(self, identifiers: Collection[str], work: UnitOfWork) -> set[str]:
        """Return those identifiers of publishers that no dataset has."""
        column = self.table.c.identifier
        statement = select(column)
        if len(identifiers) <= IDENTIFIERS_ASKED_MAX:
            statement = statement.where(column.in_(list(identifiers)))
        known = set((await work.connection.scalars(statement)).all())
        return set(identifiers) - known

    def visible_to(self, viewer: Viewer) -> ColumnElement[bool]:
        """Return the condition that every query on datasets carries; see :func:`visible_to`."""
        return visible_to(viewer, self.table)


def visible_to(viewer: Viewer, table: Table) -> ColumnElement[bool]:
    """Return the condition that every query on datasets carries: what ``viewer`` may see, retired ones never.

    ``table`` needs the columns ``visibility``, ``agency_id`` and ``retired``.
    """
    return and_(table.c.retired == false(), condition(VISIBLE, viewer, table.c))


def answered_for_by(viewer: Viewer, table: Table) -> ColumnElement[bool] | None:
    """Return the condition of the datasets that ``viewer`` answers for; None for somebody who does for none.

    A steward answers for their own datasets, a data officer for those of the agency, the chief data officer
    for all. Retired ones are never among them. ``table`` has ``agency_id``, ``steward_id`` and ``retired``.
    """
    if viewer.person_id is None or viewer.roles.isdisjoint(_ANSWERING_ROLES):
        return None
    return and_(table.c.retired == false(), condition(ANSWERS_FOR, viewer, table.c))


def _row(dataset: DatasetState, event: Event) -> dict[str, Any]:
    return {
        "dataset_id": dataset.dataset_id,
        "source_id": dataset.source_id,
        "identifier": dataset.identifier,
        "title": dataset.title,
        "publisher_name": dataset.publisher_name,
        "agency_id": dataset.agency_id,
        "agency_name": dataset.agency_name,
        "steward_id": dataset.steward_id,
        "visibility": dataset.visibility,
        "access_level": dataset.access_level,
        "landing_page": dataset.landing_page,
        "retired": isinstance(event.data, DatasetRetired),
        "changed_at": event.time,
    }
