"""Governance on its own store: imports, spellings, rights and requests, with the events that they leave."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import jwt
import pytest
from sqlalchemy import select

from services.governance.adapters.sql_reading import (
    open_publishers,
    open_token_views,
    people_views,
    requests_seen_by,
)
from services.governance.bootstrap import Governance, bootstrap
from services.governance.commands.access import (
    INSTALLATION,
    end_session,
    erase_person,
    revoke_tokens,
    take_grant,
)
from services.governance.commands.directory import (
    import_agencies,
    import_people,
    import_stewardships,
    settle_publisher,
)
from services.governance.commands.sharing import ask_for_data, decide_on_request
from services.governance.domain.directory_import import parse_agencies, parse_people, parse_stewardships
from services.governance.domain.sharing import Action, NewRequest
from services.governance.handlers import remember_and_reconcile
from services.governance.migrations.tables import DELIVERY, PEOPLE, PRINCIPALS
from services.governance.ports import SESSION_LABEL
from services.governance.settings import GovernanceSettings
from shared.clock import SimulatedClock
from shared.errors import NotFoundError
from shared.events.catalog import DatasetRegistered, DatasetState
from shared.events.envelope import Event, decode, new_event
from shared.events.governance import AgencyChanged, PersonChanged, SharingRequestApproved, StewardshipChanged
from shared.events.registry import DATASET_REGISTERED
from shared.identity.signing_key import SigningKey
from shared.identity.tokens import AuthenticationError
from shared.identity.viewer import EVERYTHING, Grant, Role, Viewer
from tests.support.databases import Databases

AGENCIES_CSV = (
    "code,name,data_officer_email\n"
    "DOT,Department of Transportation,dot@example.gov\n"
    "DPH,Department of Public Health,dph@example.gov\n"
)


@pytest.fixture
async def governance(
    tmp_path: Path, clock: SimulatedClock, databases: Databases
) -> AsyncIterator[Governance]:
    built = bootstrap(
        GovernanceSettings(),
        database_url=await databases.url("governance"),
        clock=clock,
        signing_key=SigningKey.load_or_create(tmp_path / "signing-key"),
    )
    await built.service.store.open()
    yield built
    await built.service.store.close()


async def emitted(governance: Governance) -> list[Event]:
    """Every event in the outbox, in order."""
    async with governance.service.store.read() as connection:
        rows = await connection.execute(select(DELIVERY.outbox).order_by(DELIVERY.outbox.c.id))
        return [decode([(name, text.encode()) for name, text in row.headers], row.value) for row in rows]


def registered(clock: SimulatedClock, publisher: str, identifier: str = "one") -> Event:
    state = DatasetState(
        dataset_id=uuid4(),
        source_id="source",
        identifier=identifier,
        title="Counts",
        publisher_name=publisher,
        registered_at=clock.now(),
        metadata_changed_at=clock.now(),
    )
    return new_event(
        DATASET_REGISTERED,
        DatasetRegistered(dataset=state),
        subject=str(state.dataset_id),
        subjectversion=1,
        time=clock.now(),
    )


async def agency_id(governance: Governance, code: str) -> UUID:
    async with governance.service.store.unit_of_work() as work:
        agencies = await governance.ports.directory.agencies(work)
    return next(agency.agency_id for agency in agencies if agency.code == code)


async def with_agencies(governance: Governance) -> None:
    async with governance.service.store.unit_of_work() as work:
        await import_agencies(work, governance.ports, parse_agencies(AGENCIES_CSV), by=INSTALLATION)


async def test_importing_the_same_agencies_twice_tells_them_once(governance: Governance) -> None:
    await with_agencies(governance)
    first = await emitted(governance)
    await with_agencies(governance)
    assert await emitted(governance) == first
    assert [type(event.data).__name__ for event in first] == ["AgencyChanged", "PersonChanged"] * 2
    officer = first[1].payload(PersonChanged).person
    assert [grant.role for grant in officer.grants] == [Role.AGENCY_DATA_OFFICER]


async def test_a_person_of_an_unknown_agency_is_refused_with_the_line(governance: Governance) -> None:
    await with_agencies(governance)
    rows = "email,display_name,role,agency_code\na@example.gov,A,steward,NONE\nb@example.gov,B,steward,DOT\n"
    async with governance.service.store.unit_of_work() as work:
        report = await import_people(work, governance.ports, parse_people(rows), by=INSTALLATION)
    assert (report.rows, report.changed) == (2, 1)
    assert [(problem.line, problem.field) for problem in report.problems] == [(2, "agency_code")]


async def test_stewardships_make_stewards_and_are_told_once_with_rising_versions(
    governance: Governance,
) -> None:
    await with_agencies(governance)
    header = "identifier,agency_code,steward_email,update_frequency\n"
    for frequency in ("Weekly", "Weekly", "Monthly"):
        async with governance.service.store.unit_of_work() as work:
            await import_stewardships(
                work,
                governance.ports,
                parse_stewardships(f"{header}one,DOT,s@example.gov,{frequency}\n"),
                by=INSTALLATION,
            )
    told = [event for event in await emitted(governance) if isinstance(event.data, StewardshipChanged)]
    assert [event.subjectversion for event in told] == [1, 2]
    newest = told[-1].payload(StewardshipChanged).stewardship
    assert newest.accrual_periodicity == "R/P1M"
    async with governance.service.store.read() as connection:
        people = {person.email: person for person in await people_views(connection)}
    assert newest.steward_id == people["s@example.gov"].person_id
    assert people["s@example.gov"].grants == (("steward", "DOT"),)


def id_of(token: str) -> str:
    claims: dict[str, str] = jwt.decode(token, options={"verify_signature": False})
    return claims["jti"]


async def person_named(governance: Governance, email: str) -> UUID:
    async with governance.service.store.read() as connection:
        return next(one.person_id for one in await people_views(connection) if one.email == email)


async def test_a_name_that_a_person_gave_is_not_replaced_by_one_made_up(governance: Governance) -> None:
    people = "email,display_name,role,agency_code\nada@example.gov,Ada Reed,steward,DOT\n"
    stewardships = "identifier,agency_code,steward_email\nroads,DOT,ada@example.gov\n"
    for _ in range(2):
        async with governance.service.store.unit_of_work() as work:
            await import_agencies(work, governance.ports, parse_agencies(AGENCIES_CSV), by=INSTALLATION)
            await import_people(work, governance.ports, parse_people(people), by=INSTALLATION)
            await import_stewardships(
                work, governance.ports, parse_stewardships(stewardships), by=INSTALLATION
            )
    async with governance.service.store.read() as connection:
        names = {one.email: one.display_name for one in await people_views(connection)}
    assert names["ada@example.gov"] == "Ada Reed"
    assert names["dot@example.gov"] == "DOT agency data officer"
    told = [event for event in await emitted(governance) if isinstance(event.data, PersonChanged)]
    assert len(told) == len(names)


async def test_a_grant_that_is_taken_away_is_gone_here_and_told(governance: Governance) -> None:
    async with governance.service.store.unit_of_work() as work:
        await import_agencies(work, governance.ports, parse_agencies(AGENCIES_CSV), by=INSTALLATION)
        agency = next(one for one in await governance.ports.directory.agencies(work) if one.code == "DOT")
    person_id = await person_named(governance, "dot@example.gov")
    async with governance.service.store.unit_of_work() as work:
        token = await governance.sign_in.issue_token(work, person_id, label="a", lifetime=timedelta(days=1))
        await take_grant(work, governance.ports, person_id, Role.AGENCY_DATA_OFFICER, agency.agency_id)
    assert (await governance.authenticator.authenticate(token)).grants == frozenset()
    assert (await emitted(governance))[-1].payload(PersonChanged).person.grants == []
    with pytest.raises(NotFoundError, match="does not hold"):
        async with governance.service.store.unit_of_work() as work:
            await take_grant(work, governance.ports, person_id, Role.AGENCY_DATA_OFFICER, agency.agency_id)


async def test_more_revoked_tokens_than_can_be_told_never_become_valid_again(
    governance: Governance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.governance.adapters.sql_directory.REVOKED_TOKENS_MAX", 2)
    async with governance.service.store.unit_of_work() as work:
        await import_agencies(work, governance.ports, parse_agencies(AGENCIES_CSV), by=INSTALLATION)
    person_id = await person_named(governance, "dot@example.gov")
    tokens = []
    for _ in range(4):
        async with governance.service.store.unit_of_work() as work:
            token = await governance.sign_in.issue_token(
                work, person_id, label="a", lifetime=timedelta(days=9)
            )
            await revoke_tokens(work, governance.ports, person_id, id_of(token))
        tokens.append(token)
    for token in tokens:
        with pytest.raises(AuthenticationError, match="revoked"):
            await governance.authenticator.authenticate(token)
    assert len((await emitted(governance))[-1].payload(PersonChanged).person.revoked_token_ids) <= 2


async def test_signing_out_ends_a_session_but_no_token_of_a_program(governance: Governance) -> None:
    async with governance.service.store.unit_of_work() as work:
        await import_agencies(work, governance.ports, parse_agencies(AGENCIES_CSV), by=INSTALLATION)
    person_id = await person_named(governance, "dot@example.gov")
    tokens = {}
    for label in (SESSION_LABEL, "nightly export"):
        async with governance.service.store.unit_of_work() as work:
            tokens[label] = await governance.sign_in.issue_token(
                work, person_id, label=label, lifetime=timedelta(hours=1)
            )
        token_id = id_of(tokens[label])
        async with governance.service.store.unit_of_work() as work:
            await end_session(work, governance.ports, person_id, token_id)
    with pytest.raises(AuthenticationError, match="revoked"):
        await governance.authenticator.authenticate(tokens[SESSION_LABEL])
    assert (await governance.authenticator.authenticate(tokens["nightly export"])).person_id == person_id


async def test_what_is_known_of_expired_tokens_and_codes_goes_after_a_month(
    governance: Governance, clock: SimulatedClock
) -> None:
    async with governance.service.store.unit_of_work() as work:
        await import_agencies(work, governance.ports, parse_agencies(AGENCIES_CSV), by=INSTALLATION)
    person_id = await person_named(governance, "dot@example.gov")
    async with governance.service.store.unit_of_work() as work:
        await governance.sign_in.issue_token(work, person_id, label="a", lifetime=timedelta(days=1))
        await governance.sign_in.issue_token(work, person_id, label="b", lifetime=timedelta(days=90))
        await governance.sign_in.issue_code(work, person_id, lifetime=timedelta(days=1), uses_max=1)
    clock.advance(timedelta(days=32))
    async with governance.service.store.unit_of_work() as work:
        assert await governance.ports.directory.forget_tokens(work) == 2
    async with governance.service.store.read() as connection:
        assert [one.label for one in await open_token_views(connection, person_id)] == ["b"]


async def test_a_known_spelling_becomes_an_alias_and_an_unknown_one_is_listed(
    governance: Governance, clock: SimulatedClock
) -> None:
    await with_agencies(governance)
    before = len(await emitted(governance))
    batch = [registered(clock, "CT Dept. of Transportations"), registered(clock, "City of Stamford", "two")]
    async with governance.service.store.unit_of_work() as work:
        await remember_and_reconcile(batch, work, governance.ports)
    (told,) = (await emitted(governance))[before:]
    assert told.payload(AgencyChanged).agency.aliases == ["CT Dept. of Transportations"]
    async with governance.service.store.read() as connection:
        (listed,) = await open_publishers(connection, EVERYTHING)
    assert (listed.spelling, listed.datasets) == ("City of Stamford", 1)

    agency = await agency_id(governance, "DPH")
    async with governance.service.store.unit_of_work() as work:
        await settle_publisher(
            work, governance.ports, spelling="City of Stamford", agency_id=agency, by=INSTALLATION
        )
    async with governance.service.store.read() as connection:
        assert await open_publishers(connection, EVERYTHING) == []


async def test_a_request_is_decided_by_the_agency_and_leaves_its_steps(
    governance: Governance, clock: SimulatedClock
) -> None:
    await with_agencies(governance)
    agency = await agency_id(governance, "DPH")
    requester = Viewer(uuid4(), frozenset({Grant(Role.REQUESTER)}))
    officer = Viewer(uuid4(), frozenset({Grant(Role.AGENCY_DATA_OFFICER, agency)}))
    assert requester.person_id is not None
    async with governance.service.store.unit_of_work() as work:
        request = await ask_for_data(
            work,
            governance.ports,
            NewRequest("to study outcomes", "2024"),
            dataset_id=uuid4(),
            dataset_title="Extract",
            agency_id=agency,
            requester_id=requester.person_id,
        )
    async with governance.service.store.unit_of_work() as work:
        await decide_on_request(
            work, governance.ports, request.request_id, Action.APPROVE, viewer=officer, reason="Go ahead."
        )
    last = (await emitted(governance))[-1]
    told = last.payload(SharingRequestApproved).request
    assert (last.subjectversion, told.decision_reason, told.decided_by) == (2, "Go ahead.", officer.person_id)
    assert b"@" not in told.model_dump_json().encode()
    async with governance.service.store.read() as connection:
        for viewer, seen in ((requester, 1), (officer, 1), (Viewer(uuid4()), 0)):
            assert len(await requests_seen_by(connection, viewer)) == seen


async def test_an_erased_person_is_gone_here_and_tombstoned(governance: Governance) -> None:
    await with_agencies(governance)
    async with governance.service.store.read() as connection:
        person = (await people_views(connection))[0]
    async with governance.service.store.unit_of_work() as work:
        await erase_person(work, governance.ports, person.person_id)
    last = (await emitted(governance))[-1]
    assert (last.subject, last.data, last.subjectversion) == (str(person.person_id), None, 2)
    async with governance.service.store.read() as connection:
        kept = (await connection.execute(select(PEOPLE).where(PEOPLE.c.person_id == person.person_id))).one()
        assert (kept.email, kept.display_name, kept.version) == (None, None, 2)
        principals = await connection.execute(
            select(PRINCIPALS).where(PRINCIPALS.c.person_id == str(person.person_id))
        )
        assert principals.all() == []
