"""What people ask governance to do: import the directory, settle a publisher, ask for data, decide.

Each command runs inside one unit of work: state, audit line and event are committed together.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from services.governance.domain.agencies import AgencyName
from services.governance.domain.auditing import ALL_TOKENS, AuditLine, DirectoryAct, goes_beyond
from services.governance.domain.directory_import import (
    AgencyRow,
    Parsed,
    PersonRow,
    RowProblem,
    StewardshipRow,
)
from services.governance.domain.sharing import (
    Action,
    ChangedMeanwhileError,
    FormSentBeforeError,
    NewRequest,
    SharingRequest,
    act,
    request_id_of_form,
    submit,
)
from services.governance.ports import GovernancePorts
from shared.errors import NotAllowedError, NotFoundError
from shared.events.governance import (
    AgencyChanged,
    AgencyState,
    GrantState,
    PersonChanged,
    PersonState,
    SharingRequestApproved,
    SharingRequestDenied,
    SharingRequestReturned,
    SharingRequestState,
    SharingRequestSubmitted,
    SharingRequestWithdrawn,
    StewardshipChanged,
    StewardshipState,
)
from shared.events.registry import (
    AGENCY_CHANGED,
    PERSON_CHANGED,
    SHARING_REQUEST_APPROVED,
    SHARING_REQUEST_DENIED,
    SHARING_REQUEST_RETURNED,
    SHARING_REQUEST_SUBMITTED,
    SHARING_REQUEST_WITHDRAWN,
    STEWARDSHIP_CHANGED,
)
from shared.identity.principals import write_principals
from shared.identity.sharing_rights import MAY_SEE
from shared.identity.viewer import Grant, Role, Viewer
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "INSTALLATION",
    "ImportReport",
    "add_person",
    "ask_for_data",
    "decide_on_request",
    "end_session",
    "erase_person",
    "import_agencies",
    "import_people",
    "import_stewardships",
    "note_letting_in",
    "note_link_used",
    "publish_agency",
    "revoke_tokens",
    "settle_publisher",
    "take_grant",
]

INSTALLATION = Viewer()
"""Who acts where no person does: the first start, and what a command does in a data directory."""

_LETTING_IN_BEYOND = (Role.CHIEF_DATA_OFFICER, Role.OPERATOR)

_STEP_EVENTS = {
    Action.RETURN: (SHARING_REQUEST_RETURNED, SharingRequestReturned),
    Action.APPROVE: (SHARING_REQUEST_APPROVED, SharingRequestApproved),
    Action.DENY: (SHARING_REQUEST_DENIED, SharingRequestDenied),
    Action.RESUBMIT: (SHARING_REQUEST_SUBMITTED, SharingRequestSubmitted),
    Action.WITHDRAW: (SHARING_REQUEST_WITHDRAWN, SharingRequestWithdrawn),
}


@dataclass(slots=True)
class ImportReport:
    """What an import did: rows read, records changed, rows refused."""

    rows: int = 0
    changed: int = 0
    problems: list[RowProblem] = field(default_factory=list)


async def import_agencies(
    work: UnitOfWork, ports: GovernancePorts, parsed: Parsed[AgencyRow], *, by: Viewer = INSTALLATION
) -> ImportReport:
    """Create or change agencies, and give each data officer's mailbox the role for that agency."""
    report = ImportReport(rows=len(parsed.rows), problems=list(parsed.problems))
    for row in parsed.rows:
        aliases = dict.fromkeys(row.aliases, "import")
        put = await ports.directory.put_agency(work, code=row.code, name=row.name, aliases=aliases)
        if put is not None:
            report.changed += 1
            publish_agency(work, *put)
        if row.data_officer_email:
            agency = next(one for one in await ports.directory.agencies(work) if one.code == row.code)
            await add_person(
                work,
                ports,
                email=row.data_officer_email,
                display_name=f"{row.code} agency data officer",
                keeps_name=True,
                grants=[GrantState(role=Role.AGENCY_DATA_OFFICER, agency_id=agency.agency_id)],
                by=by,
            )
    return report


async def import_people(
    work: UnitOfWork, ports: GovernancePorts, parsed: Parsed[PersonRow], *, by: Viewer = INSTALLATION
) -> ImportReport:
    """Create people and add their grants. A row with an unknown agency code is refused."""
    report = ImportReport(rows=len(parsed.rows), problems=list(parsed.problems))
    codes = {agency.code: agency.agency_id for agency in await ports.directory.agencies(work)}
    for row in parsed.rows:
        if row.agency_code is not None and row.agency_code not in codes:
            report.problems.append(_unknown_agency(row.line, row.agency_code))
            continue
        agency_id = codes[row.agency_code] if row.agency_code else None
        grant = GrantState(role=row.role, agency_id=agency_id)
        if await add_person(
            work, ports, email=row.email, display_name=row.display_name, grants=[grant], by=by
        ):
            report.changed += 1
    return report


async def import_stewardships(
    work: UnitOfWork, ports: GovernancePorts, parsed: Parsed[StewardshipRow], *, by: Viewer = INSTALLATION
) -> ImportReport:
    """Create or change who answers for which dataset. Unknown stewards become people with that role."""
    report = ImportReport(rows=len(parsed.rows), problems=list(parsed.problems))
    codes = {agency.code: agency.agency_id for agency in await ports.directory.agencies(work)}
    usable: list[StewardshipRow] = []
    for row in parsed.rows:
        if row.agency_code is not None and row.agency_code not in codes:
            report.problems.append(_unknown_agency(row.line, row.agency_code))
            continue
        usable.append(row)
    stewards = await _put_stewards(work, ports, usable, codes, by)
    states = [
        StewardshipState(
            identifier=row.identifier,
            agency_id=codes[row.agency_code] if row.agency_code else None,
            steward_id=stewards.get(row.steward_email or ""),
            accrual_periodicity=row.accrual_periodicity,
            data_updated_on=row.data_updated_on,
            access_level=row.access_level,
            visibility=row.visibility,
        )
        for row in usable
    ]
    for state, version in await ports.directory.put_stewardships(work, states):
        report.changed += 1
        work.emit(
            STEWARDSHIP_CHANGED,
            StewardshipChanged(stewardship=state),
            subject=state.identifier,
            subjectversion=version,
        )
    return report


async def add_person(
    work: UnitOfWork,
    ports: GovernancePorts,
    *,
    email: str,
    display_name: str,
    grants: Sequence[GrantState],
    keeps_name: bool = False,
    by: Viewer = INSTALLATION,
) -> bool:
    """Create a person or add grants; tell it if anything changed, and return whether it did.

    With ``keeps_name``, a person who is known already keeps their name: the given one is made up. ``by`` is
    who does it, for the audit.
    """
    put = await ports.directory.put_person(
        work, email=email, display_name=display_name, grants=grants, keeps_name=keeps_name
    )
    if put is None:
        return False
    await _tell_person(work, ports, *put)
    if grants:
        await _note(
            work,
            ports,
            DirectoryAct.GRANTED,
            by,
            put[0].person_id,
            is_beyond=_is_beyond(by, [Grant(Role(one.role), one.agency_id) for one in grants]),
            roles=[_role_words(one.role, one.agency_id) for one in grants],
        )
    return True


async def note_letting_in(
    work: UnitOfWork,
    ports: GovernancePorts,
    act: DirectoryAct,
    person_id: UUID,
    *,
    by: Viewer,
    **details: str | int,
) -> None:
    """Write down that somebody was let in, and whether the rights go beyond those of who did it.

    A program may let in nobody with more rights than its own; raises ``NotAllowedError``.
    """
    is_beyond = _is_beyond(by, await ports.directory.grants_of(work, person_id))
    if is_beyond and not by.has(*_LETTING_IN_BEYOND):
        raise NotAllowedError(
            "A program lets in nobody with more rights than its own.", fix="An operator may."
        )
    await _note(work, ports, act, by, person_id, is_beyond=is_beyond, **details)


async def note_link_used(
    work: UnitOfWork, ports: GovernancePorts, person_id: UUID, *, made_by: UUID | None
) -> None:
    """Write down that a person came in by a link, and who made it."""
    maker = None if made_by is None else str(made_by)
    await _note(work, ports, DirectoryAct.LINK_USED, Viewer(person_id), person_id, made_by=maker)


async def revoke_tokens(
    work: UnitOfWork,
    ports: GovernancePorts,
    person_id: UUID,
    token_id: str | None,
    *,
    by: Viewer = INSTALLATION,
) -> None:
    """Revoke one token, or all issued so far, everywhere. Raises ``NotFoundError`` for an unknown person."""
    await _tell_person(work, ports, *await ports.directory.revoke_tokens(work, person_id, token_id))
    await _note(work, ports, DirectoryAct.TOKENS_REVOKED, by, person_id, token=token_id or ALL_TOKENS)


async def take_grant(
    work: UnitOfWork,
    ports: GovernancePorts,
    person_id: UUID,
    role: Role,
    agency_id: UUID | None,
    *,
    by: Viewer = INSTALLATION,
) -> None:
    """Take one grant away, everywhere. Raises ``NotFoundError`` for an unknown person or grant."""
    await _tell_person(work, ports, *await ports.directory.take_grant(work, person_id, role, agency_id))
    await _note(work, ports, DirectoryAct.GRANT_TAKEN, by, person_id, roles=[_role_words(role, agency_id)])


async def end_session(work: UnitOfWork, ports: GovernancePorts, person_id: UUID, token_id: str) -> None:
    """Revoke the token of a browser that signed in by a link; a token that was pasted in lives on."""
    if await ports.directory.is_session(work, person_id, token_id):
        await _tell_person(work, ports, *await ports.directory.revoke_tokens(work, person_id, token_id))


async def erase_person(
    work: UnitOfWork, ports: GovernancePorts, person_id: UUID, *, by: Viewer = INSTALLATION
) -> None:
    """Remove a person here and, by a tombstone, everywhere. Raises ``NotFoundError``."""
    version = await ports.directory.erase_person(work, person_id)
    await write_principals(work, ports.principals, [], erased=[person_id])
    work.emit_tombstone(
        PERSON_CHANGED, subject=str(person_id), partition_key=str(person_id), subjectversion=version
    )
    await _note(work, ports, DirectoryAct.ERASED, by, person_id)


async def settle_publisher(
    work: UnitOfWork, ports: GovernancePorts, *, spelling: str, agency_id: UUID
) -> None:
    """Take a person's word for what a spelling means. Raises ``NotFoundError`` for an unknown agency."""
    agencies = await ports.directory.agencies(work)
    agency = next((one for one in agencies if one.agency_id == agency_id), None)
    if agency is None:
        raise NotFoundError(f"No agency has the id {agency_id}.", what="agency", field="agency_id")
    put = await ports.directory.put_agency(
        work, code=agency.code, name=agency.name, aliases={spelling: "a person"}
    )
    if put is not None:
        publish_agency(work, *put)


async def ask_for_data(
    work: UnitOfWork,
    ports: GovernancePorts,
    content: NewRequest,
    *,
    dataset_id: UUID,
    dataset_title: str,
    agency_id: UUID | None,
    requester_id: UUID,
    form_key: str | None = None,
) -> SharingRequest:
    """Open a sharing request and tell it.

    A form that carries a key opens one request however often it is sent: again, the request that it opened
    is returned. Raises ``FormSentBeforeError`` if it says something else by now.
    """
    request_id = uuid4() if form_key is None else request_id_of_form(form_key, requester_id)
    known = None if form_key is None else await ports.requests.find(work, request_id)
    if known is not None:
        if (known.dataset_id, known.content) != (dataset_id, content):
            raise FormSentBeforeError(request_id, dataset_id)
        return known
    request = submit(
        content,
        request_id=request_id,
        dataset_id=dataset_id,
        dataset_title=dataset_title,
        agency_id=agency_id,
        requester_id=requester_id,
        now=ports.clock.now(),
    )
    event = work.emit(
        SHARING_REQUEST_SUBMITTED,
        SharingRequestSubmitted(request=_state(request)),
        subject=str(request.request_id),
        subjectversion=request.version,
    )
    await ports.requests.add(work, request, event_id=event.id)
    return request


async def decide_on_request(
    work: UnitOfWork,
    ports: GovernancePorts,
    request_id: UUID,
    action: Action,
    *,
    viewer: Viewer,
    reason: str | None = None,
    content: NewRequest | None = None,
    version: int | None = None,
) -> SharingRequest:
    """Carry a request one step further and tell it.

    ``version`` is the one that the person has read, if it is known. Raises ``NotFoundError``,
    ``ChangedMeanwhileError``, and what :func:`services.governance.domain.sharing.act` does.
    """
    if viewer.person_id is None:
        raise NotAllowedError("A step needs a person.", fix="Sign in.")
    before = await ports.requests.locked(work, request_id)
    if version is not None and before.version != version and MAY_SEE.holds(viewer, before):
        raise ChangedMeanwhileError
    after = act(before, action, viewer=viewer, now=ports.clock.now(), reason=reason, content=content)
    event_type, payload = _STEP_EVENTS[action]
    event = work.emit(
        event_type,
        payload(request=_state(after)),
        subject=str(request_id),
        subjectversion=after.version,
    )
    await ports.requests.put(
        work, after, action=action, person_id=viewer.person_id, reason=reason, event_id=event.id
    )
    return after


def publish_agency(work: UnitOfWork, agency: AgencyName, version: int) -> None:
    """Tell an agency's new state."""
    state = AgencyState(
        agency_id=agency.agency_id, code=agency.code, name=agency.name, aliases=list(agency.aliases)
    )
    work.emit(
        AGENCY_CHANGED, AgencyChanged(agency=state), subject=str(agency.agency_id), subjectversion=version
    )


async def _note(
    work: UnitOfWork,
    ports: GovernancePorts,
    act: DirectoryAct,
    by: Viewer,
    person_id: UUID,
    *,
    is_beyond: bool = False,
    **details: str | int | list[str] | None,
) -> None:
    line = AuditLine(act, by.person_id, person_id, ports.clock.now(), is_beyond, details)
    await ports.audit.note(work, line)


def _is_beyond(by: Viewer, given: Collection[Grant]) -> bool:
    # The installation itself has no rights of its own: its first start and its demonstration let people in.
    return by is not INSTALLATION and goes_beyond(by.grants, given)


def _role_words(role: str, agency_id: UUID | None) -> str:
    return f"{role} of {agency_id or '*'}"


async def _tell_person(work: UnitOfWork, ports: GovernancePorts, state: PersonState, version: int) -> None:
    # Governance owns people, so its own rights follow at once; the other services learn them by the event.
    await write_principals(work, ports.principals, [state])
    work.emit(
        PERSON_CHANGED, PersonChanged(person=state), subject=str(state.person_id), subjectversion=version
    )


async def _put_stewards(
    work: UnitOfWork,
    ports: GovernancePorts,
    rows: Sequence[StewardshipRow],
    codes: dict[str, UUID],
    by: Viewer,
) -> dict[str, UUID]:
    wanted: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.steward_email:
            wanted[row.steward_email].add(row.agency_code or "")
    for email, agency_codes in wanted.items():
        grants = [
            GrantState(role=Role.STEWARD, agency_id=codes[code]) for code in sorted(agency_codes) if code
        ]
        label = " ".join(sorted(code for code in agency_codes if code))
        await add_person(
            work,
            ports,
            email=email,
            display_name=f"{label} data steward ({email.split('@', 1)[0]})".strip(),
            keeps_name=True,
            grants=grants,
            by=by,
        )
    return await ports.directory.person_ids_by_email(work, wanted)


def _unknown_agency(line: int, code: str) -> RowProblem:
    return RowProblem(
        line, "agency_code", f"no agency has the code {code!r}", "Import the agency first, or mend the code."
    )


def _state(request: SharingRequest) -> SharingRequestState:
    return SharingRequestState(
        request_id=request.request_id,
        dataset_id=request.dataset_id,
        dataset_title=request.dataset_title,
        agency_id=request.agency_id,
        requester_id=request.requester_id,
        status=request.status.value,
        purpose=request.content.purpose,
        data_wanted=request.content.data_wanted,
        legal_basis=request.content.legal_basis,
        retention=request.content.retention,
        submitted_at=request.submitted_at,
        changed_at=request.changed_at,
        decided_by=request.decided_by,
        decision_reason=request.decision_reason,
        due_on=request.due_on,
    )
