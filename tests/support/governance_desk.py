"""Governance with its HTTP application and people of every kind, for tests of who may do what."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import httpx
from fastapi import FastAPI

from services.governance.adapters.sql_audit import audit_lines
from services.governance.bootstrap import Governance, bootstrap
from services.governance.commands.access import INSTALLATION, add_person
from services.governance.commands.directory import import_agencies
from services.governance.domain.auditing import AuditLine
from services.governance.domain.directory_import import parse_agencies
from services.governance.handlers import remember_and_reconcile
from services.governance.settings import GovernanceSettings
from shared.clock import SimulatedClock
from shared.events.catalog import DatasetRegistered, DatasetState
from shared.events.envelope import new_event
from shared.events.governance import GrantState
from shared.events.registry import DATASET_REGISTERED
from shared.http.app import build_app
from shared.http.settings import HTTPSettings
from shared.identity.signing_key import SigningKey
from shared.identity.viewer import Role, TokenScope
from shared.telemetry.metrics import Metrics
from tests.support.catalog_service import always_ready

DATASET = UUID(int=40)
AGENCIES = "code,name\nDOT,Department of Transportation\nDPH,Department of Public Health\n"
LIFETIME = timedelta(hours=12)

CAST: Mapping[str, Sequence[tuple[Role, str]]] = {
    "requester": [(Role.REQUESTER, "*")],
    "steward": [(Role.STEWARD, "DOT")],
    "officer": [(Role.AGENCY_DATA_OFFICER, "DOT")],
    "chief": [(Role.CHIEF_DATA_OFFICER, "*")],
    "operator": [(Role.OPERATOR, "*")],
    "administrator": [(Role.OPERATOR, "*"), (Role.CHIEF_DATA_OFFICER, "*")],
    "program": [(Role.SERVICE, "*")],
}
"""Who is there, and what each holds."""


@dataclass(slots=True)
class Desk:
    """Governance with its HTTP application, and people of every kind."""

    governance: Governance
    app: FastAPI
    client: httpx.AsyncClient
    people: dict[str, UUID] = field(default_factory=dict)
    agencies: dict[str, UUID] = field(default_factory=dict)

    async def bearer(self, who: str, scopes: Sequence[TokenScope] = ()) -> dict[str, str]:
        """The header of somebody's token; a program's has ``scopes``."""
        async with self.governance.service.store.unit_of_work() as work:
            token = await self.governance.sign_in.issue_token(
                work, self.people[who], label="test", lifetime=LIFETIME, scopes=scopes
            )
        return {"Authorization": f"Bearer {token}"}

    async def browser(self, who: str) -> httpx.AsyncClient:
        """A browser that is signed in as somebody."""
        token = (await self.bearer(who))["Authorization"].removeprefix("Bearer ")
        browser = self.visitor()
        signed_in = await browser.post("/sign-in", data={"token": token, "next": "/"})
        assert signed_in.status_code == 303, signed_in.text
        return browser

    def visitor(self) -> httpx.AsyncClient:
        """A browser of nobody."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    async def audit(self) -> list[AuditLine]:
        """Every line, newest first."""
        async with self.governance.service.store.read() as connection:
            return [one.line for one in await audit_lines(connection, limit=100)]


async def csrf_of(browser: httpx.AsyncClient, page: str = "/sign-in") -> str:
    """The token that forms of this browser carry."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', (await browser.get(page)).text)
    assert found is not None, page
    return found[1]


def record(clock: SimulatedClock, number: int = 40, **facts: object) -> DatasetState:
    """A record as the catalogue tells of it."""
    state = {
        "dataset_id": UUID(int=number),
        "source_id": "source",
        "identifier": f"record-{number}",
        "title": "Outcomes",
        "publisher_name": "Office",
        "access_level": "restricted public",
        "registered_at": clock.now(),
        "metadata_changed_at": clock.now(),
    }
    return DatasetState.model_validate(state | facts)


async def tell_of(governance: Governance, clock: SimulatedClock, *states: DatasetState) -> None:
    """Hand records to governance as the catalogue does."""
    events = [
        new_event(
            DATASET_REGISTERED,
            DatasetRegistered(dataset=state),
            subject=str(state.dataset_id),
            subjectversion=1,
            time=clock.now(),
        )
        for state in states
    ]
    async with governance.service.store.unit_of_work() as work:
        await remember_and_reconcile(events, work, governance.ports)


@asynccontextmanager
async def open_desk(url: str, clock: SimulatedClock, key: SigningKey) -> AsyncIterator[Desk]:
    """Governance over one database, with everybody of :data:`CAST` and one record."""
    built = bootstrap(GovernanceSettings(), database_url=url, clock=clock, signing_key=key)
    await built.service.store.open()
    app = build_app(
        title="Governance",
        routers=built.service.routers,
        authenticator=built.authenticator,
        signing_key=key,
        metrics=Metrics(),
        clock=clock,
        installation="Test Nutmeg",
        settings=HTTPSettings(),
        readiness=always_ready,
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        desk = Desk(built, app, client)
        await tell_of(built, clock, record(clock))
        async with built.service.store.unit_of_work() as work:
            await import_agencies(work, built.ports, parse_agencies(AGENCIES), by=INSTALLATION)
            found = await built.ports.directory.agencies(work)
            desk.agencies = {agency.code: agency.agency_id for agency in found}
            for who, grants in CAST.items():
                held = [
                    GrantState(role=role, agency_id=None if code == "*" else desk.agencies[code])
                    for role, code in grants
                ]
                await add_person(
                    work,
                    built.ports,
                    email=f"{who}@example.gov",
                    display_name=f"Person {who}",
                    grants=held,
                    by=INSTALLATION,
                )
            emails = [f"{who}@example.gov" for who in CAST]
            ids = await built.ports.directory.person_ids_by_email(work, emails)
            desk.people = {email.partition("@")[0]: person_id for email, person_id in ids.items()}
        yield desk
    await built.service.store.close()
