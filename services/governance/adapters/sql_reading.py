"""What governance's pages and API read: always as one viewer, never more than that viewer may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.governance.adapters.sql_requests import request_of
from services.governance.domain.agencies import IMPORT_RULE
from services.governance.domain.sharing import SharingRequest
from services.governance.migrations.tables import (
    AGENCIES,
    AGENCY_ALIASES,
    GRANTS,
    KNOWN_DATASETS,
    OPEN_PUBLISHERS,
    PEOPLE,
    SHARING_REQUESTS,
    TOKENS,
)
from shared.datasets.read_model import KnownDatasets, visible_to
from shared.identity.rules import Rule
from shared.identity.sharing_rights import MAY_SEE
from shared.identity.sql_rules import condition
from shared.identity.viewer import Viewer

__all__ = [
    "DirectoryAgencyView",
    "OpenPublisher",
    "PersonView",
    "RequestedDatasetView",
    "TokenView",
    "agency_views",
    "open_publishers",
    "open_token_views",
    "people_views",
    "requests_seen_by",
    "visible_dataset",
]

REQUESTS_MAX = 200


@dataclass(frozen=True, slots=True)
class DirectoryAgencyView:
    """An agency with its spellings."""

    agency_id: UUID
    code: str
    name: str
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequestedDatasetView:
    """What governance knows of a dataset that the viewer may see."""

    dataset_id: UUID
    title: str
    agency_id: UUID | None
    agency_name: str | None
    access_level: str
    landing_page: str | None


@dataclass(frozen=True, slots=True)
class OpenPublisher:
    """A spelling that a person has to settle. Candidates are (agency id, name, similarity 0 to 100)."""

    spelling: str
    datasets: int
    candidates: tuple[tuple[UUID, str, float], ...]
    first_seen_at: datetime


@dataclass(frozen=True, slots=True)
class PersonView:
    """A person as an operator sees them. Grants are (role, agency code or ``*``)."""

    person_id: UUID
    email: str | None
    display_name: str
    grants: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token that was issued. Its secret part is never kept."""

    token_id: str
    person_id: UUID
    label: str
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    issued_by: UUID | None
    scopes: tuple[str, ...]


async def visible_dataset(
    connection: AsyncConnection, viewer: Viewer, dataset_id: UUID
) -> RequestedDatasetView | None:
    """Return the dataset, or ``None`` if there is none that ``viewer`` may see."""
    known = KnownDatasets(KNOWN_DATASETS)
    statement = select(KNOWN_DATASETS).where(
        KNOWN_DATASETS.c.dataset_id == dataset_id, known.visible_to(viewer)
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    return RequestedDatasetView(
        row.dataset_id, row.title, row.agency_id, row.agency_name, row.access_level, row.landing_page
    )


async def requests_seen_by(
    connection: AsyncConnection, viewer: Viewer, *, rule: Rule = MAY_SEE, status: str | None = None
) -> list[SharingRequest]:
    """Return requests, newest change first, at most 200: all that one may see, or by a narrower rule."""
    statement = (
        select(SHARING_REQUESTS)
        .where(_scope(viewer), condition(rule, viewer, SHARING_REQUESTS.c))
        .order_by(SHARING_REQUESTS.c.changed_at.desc(), SHARING_REQUESTS.c.request_id)
        .limit(REQUESTS_MAX)
    )
    if status is not None:
        statement = statement.where(SHARING_REQUESTS.c.status == status)
    return [request_of(row) for row in await connection.execute(statement)]


async def request_seen_by(
    connection: AsyncConnection, viewer: Viewer, request_id: UUID
) -> SharingRequest | None:
    """Return one request if the viewer may see it."""
    statement = select(SHARING_REQUESTS).where(SHARING_REQUESTS.c.request_id == request_id, _scope(viewer))
    row = (await connection.execute(statement)).one_or_none()
    return request_of(row) if row is not None else None


async def agency_views(connection: AsyncConnection, viewer: Viewer) -> list[DirectoryAgencyView]:
    """Return every agency with its spellings, by name.

    A spelling that was found in records is left out where ``viewer`` sees none of them.
    """
    aliases: dict[UUID, list[str]] = {}
    statement = select(AGENCY_ALIASES).order_by(AGENCY_ALIASES.c.spelling)
    if not viewer.sees_all_agencies:
        seen = select(KNOWN_DATASETS.c.publisher_name).where(visible_to(viewer, KNOWN_DATASETS))
        is_told = or_(AGENCY_ALIASES.c.rule == IMPORT_RULE, AGENCY_ALIASES.c.spelling.in_(seen))
        statement = statement.where(is_told)
    for row in await connection.execute(statement):
        aliases.setdefault(row.agency_id, []).append(row.spelling)
    rows = await connection.execute(select(AGENCIES).order_by(AGENCIES.c.name))
    return [
        DirectoryAgencyView(row.agency_id, row.code, row.name, tuple(aliases.get(row.agency_id, ())))
        for row in rows
    ]


async def open_publishers(connection: AsyncConnection, viewer: Viewer) -> list[OpenPublisher]:
    """Return the spellings nobody has settled, those with most datasets first.

    Who does not see all records is told of those spellings, and counts, that records which they see have.
    """
    counted = (
        select(KNOWN_DATASETS.c.publisher_name, func.count().label("datasets"))
        .where(visible_to(viewer, KNOWN_DATASETS))
        .group_by(KNOWN_DATASETS.c.publisher_name)
        .subquery()
    )
    statement = (
        select(OPEN_PUBLISHERS, func.coalesce(counted.c.datasets, 0).label("datasets"))
        .outerjoin(counted, counted.c.publisher_name == OPEN_PUBLISHERS.c.spelling)
        .order_by(func.coalesce(counted.c.datasets, 0).desc(), OPEN_PUBLISHERS.c.spelling)
    )
    if not viewer.sees_all_agencies:
        statement = statement.where(counted.c.datasets > 0)
    return [
        OpenPublisher(
            row.spelling,
            row.datasets,
            tuple((UUID(one["agency_id"]), one["name"], one["similarity"]) for one in row.candidates),
            row.first_seen_at,
        )
        for row in await connection.execute(statement)
    ]


async def people_views(connection: AsyncConnection) -> list[PersonView]:
    """Return every person with their grants, by name. Personal data: for operators and officers only."""
    grants: dict[UUID, list[tuple[str, str]]] = {}
    statement = select(GRANTS.c.person_id, GRANTS.c.role, AGENCIES.c.code).outerjoin(
        AGENCIES, AGENCIES.c.agency_id == GRANTS.c.agency_id
    )
    for row in await connection.execute(statement.order_by(GRANTS.c.role, AGENCIES.c.code)):
        grants.setdefault(row.person_id, []).append((row.role, row.code or "*"))
    rows = await connection.execute(
        select(PEOPLE).where(PEOPLE.c.erased == false()).order_by(PEOPLE.c.display_name)
    )
    return [
        PersonView(row.person_id, row.email, row.display_name, tuple(grants.get(row.person_id, ())))
        for row in rows
    ]


async def display_names(connection: AsyncConnection, person_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return what to call these people on a page; the erased are left out."""
    rows = await connection.execute(
        select(PEOPLE.c.person_id, PEOPLE.c.display_name).where(
            PEOPLE.c.person_id.in_(list(person_ids)), PEOPLE.c.erased == false()
        )
    )
    return {row.person_id: row.display_name for row in rows}


async def open_token_views(connection: AsyncConnection, person_id: UUID | None) -> list[TokenView]:
    """Return issued tokens, newest first; of one person if given."""
    statement = select(TOKENS).order_by(TOKENS.c.issued_at.desc()).limit(1_000)
    if person_id is not None:
        statement = statement.where(TOKENS.c.person_id == person_id)
    return [_token_view(row) for row in await connection.execute(statement)]


def _token_view(row: Any) -> TokenView:
    return TokenView(
        row.token_id,
        row.person_id,
        row.label,
        row.issued_at,
        row.expires_at,
        row.revoked_at,
        row.issued_by,
        tuple(row.scopes),
    )


def _scope(viewer: Viewer) -> ColumnElement[bool]:
    return condition(MAY_SEE, viewer, SHARING_REQUESTS.c)
