"""What people ask governance to do with rights: give and take them, let people in, turn them out.

Each command runs inside one unit of work: state, audit line and event are committed together. Every road
that gives a right or lets somebody in goes through :func:`add_person` or :func:`note_letting_in`.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from services.governance.commands.sharing import redact_person
from services.governance.domain.auditing import ALL_TOKENS, AuditLine, DirectoryAct
from services.governance.domain.granting import (
    INSTALLATION,
    check_giving,
    check_letting_in,
    goes_beyond,
    rights_of_token,
    role_words,
)
from services.governance.ports import GovernancePorts
from shared.errors import ConflictError, NotAllowedError
from shared.events.governance import (
    GrantState,
    PersonChanged,
    PersonState,
    StewardshipChanged,
    StewardshipState,
)
from shared.events.registry import PERSON_CHANGED, STEWARDSHIP_CHANGED
from shared.identity.principals import write_principals
from shared.identity.viewer import Grant, Role, TokenScope, Viewer
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "INSTALLATION",
    "add_person",
    "end_session",
    "erase_person",
    "guarded",
    "note",
    "note_failed_sign_in",
    "note_letting_in",
    "note_link_used",
    "note_refusal",
    "publish_stewardships",
    "revoke_tokens",
    "take_grant",
]

T = TypeVar("T")

FAILURES_IN_ONE_LINE = timedelta(minutes=1)
"""Failed sign-ins of one kind within this time share an audit line: a flood of them stays readable."""


async def guarded(
    store: Store, ports: GovernancePorts, by: Viewer, act: Callable[[UnitOfWork], Awaitable[T]]
) -> T:
    """Do ``act`` in one unit of work; where the guard refuses, that is written down in one of its own."""
    try:
        async with store.unit_of_work() as work:
            return await act(work)
    except NotAllowedError as error:
        async with store.unit_of_work() as work:
            await note_refusal(work, ports, by, error)
        raise


async def add_person(
    work: UnitOfWork,
    ports: GovernancePorts,
    *,
    email: str,
    display_name: str,
    grants: Sequence[GrantState],
    by: Viewer,
    keeps_name: bool = False,
) -> bool:
    """Create a person or add grants; tell it if anything changed, and return whether it did.

    With ``keeps_name``, a person who is known already keeps their name: the given one is made up. Raises
    ``NotAllowedError`` or ``InvalidInputError`` as :func:`check_giving` does.
    """
    person_id, held = await ports.directory.held_by_email(work, email)
    given = [Grant(Role(one.role), one.agency_id) for one in grants]
    new = [grant for grant in given if grant not in held]
    check_giving(by, person_id, new)
    if person_id is not None and new:
        await _turn_out_who_may_not(work, ports, person_id, new)
    put = await ports.directory.put_person(
        work, email=email, display_name=display_name, grants=grants, keeps_name=keeps_name
    )
    if put is None:
        return False
    await _tell_person(work, ports, *put)
    if new:
        words = [role_words(grant) for grant in new]
        await note(work, ports, DirectoryAct.GRANTED, by, put[0].person_id, roles=words)
    return True


async def note_letting_in(
    work: UnitOfWork,
    ports: GovernancePorts,
    act: DirectoryAct,
    person_id: UUID,
    *,
    by: Viewer,
    scopes: Collection[TokenScope] = (),
    **details: str | int,
) -> None:
    """Write down that somebody is let in by a token (with ``scopes``, a program's) or a link.

    Raises ``NotAllowedError`` where that would give more rights than ``by`` has, and ``InvalidInputError``
    for scopes that the person's token cannot have.
    """
    held = await ports.directory.grants_of(work, person_id)
    rights = rights_of_token(held, scopes) if act is DirectoryAct.TOKEN_ISSUED else held
    check_letting_in(by, rights)
    told = dict(details) | ({"scopes": " ".join(sorted(scopes))} if scopes else {})
    await ports.audit.note_all(
        work, [AuditLine(act, by.person_id, person_id, ports.clock.now(), details=told)]
    )


async def note_link_used(
    work: UnitOfWork, ports: GovernancePorts, person_id: UUID, *, made_by: UUID | None
) -> None:
    """Write down that a person came in by a link, and who made it."""
    maker = None if made_by is None else str(made_by)
    await note(work, ports, DirectoryAct.LINK_USED, Viewer(person_id), person_id, made_by=maker)


async def note_failed_sign_in(
    work: UnitOfWork, ports: GovernancePorts, *, way: str, reason: str, person_id: UUID | None = None
) -> None:
    """Write down that somebody did not come in: by which ``way``, and why. No address, no secret."""
    await ports.audit.count_failure(
        work,
        AuditLine(
            DirectoryAct.SIGN_IN_FAILED,
            None,
            person_id,
            ports.clock.now(),
            details={"way": way, "reason": reason},
        ),
        since=ports.clock.now() - FAILURES_IN_ONE_LINE,
    )


async def note_refusal(work: UnitOfWork, ports: GovernancePorts, by: Viewer, error: NotAllowedError) -> None:
    """Write down what the guard refused to whom."""
    is_beyond = error.code == "beyond_own_rights"
    await note(work, ports, DirectoryAct.REFUSED, by, None, is_beyond=is_beyond, why=error.detail)


async def revoke_tokens(
    work: UnitOfWork,
    ports: GovernancePorts,
    person_id: UUID,
    token_id: str | None,
    *,
    by: Viewer = INSTALLATION,
) -> None:
    """Revoke one token, or all issued so far, everywhere.

    Raises ``NotFoundError`` for an unknown person, and ``ConflictError`` where no operator could come in
    any more.
    """
    held = await ports.directory.grants_of(work, person_id)
    if Grant(Role.OPERATOR) in held:
        await _keep_an_operator(
            work, ports, without=person_id if token_id is None else None, without_token=token_id
        )
    await _tell_person(work, ports, *await ports.directory.revoke_tokens(work, person_id, token_id))
    await note(work, ports, DirectoryAct.TOKENS_REVOKED, by, person_id, token=token_id or ALL_TOKENS)


async def take_grant(
    work: UnitOfWork,
    ports: GovernancePorts,
    person_id: UUID,
    role: Role,
    agency_id: UUID | None,
    *,
    by: Viewer = INSTALLATION,
) -> None:
    """Take one grant away, everywhere; a steward's datasets of that agency have no steward any more.

    Raises ``NotFoundError`` for an unknown person or grant, and ``ConflictError`` for the last operator's.
    """
    held = await ports.directory.grants_of(work, person_id)
    if role is Role.OPERATOR and Grant(Role.OPERATOR) in held:
        await _keep_an_operator(work, ports, without=person_id)
    await _tell_person(work, ports, *await ports.directory.take_grant(work, person_id, role, agency_id))
    words = [role_words(Grant(role, agency_id))]
    await note(work, ports, DirectoryAct.GRANT_TAKEN, by, person_id, roles=words)
    if role is Role.STEWARD:
        await publish_stewardships(
            work, ports, await ports.directory.vacate_stewardships(work, person_id), by=by
        )


async def end_session(work: UnitOfWork, ports: GovernancePorts, person_id: UUID, token_id: str) -> None:
    """Revoke the token of a browser that signed in by a link; a token that was pasted in lives on."""
    if await ports.directory.is_session(work, person_id, token_id):
        await _tell_person(work, ports, *await ports.directory.revoke_tokens(work, person_id, token_id))


async def erase_person(
    work: UnitOfWork, ports: GovernancePorts, person_id: UUID, *, by: Viewer = INSTALLATION
) -> None:
    """Remove a person here and, by a tombstone, everywhere.

    Raises ``NotFoundError``, and ``ConflictError`` for the last operator.
    """
    if Grant(Role.OPERATOR) in await ports.directory.grants_of(work, person_id):
        await _keep_an_operator(work, ports, without=person_id)
    await redact_person(work, ports, person_id, await ports.directory.words_of(work, person_id))
    version = await ports.directory.erase_person(work, person_id)
    await write_principals(work, ports.principals, [], erased=[person_id])
    work.emit_tombstone(
        PERSON_CHANGED, subject=str(person_id), partition_key=str(person_id), subjectversion=version
    )
    await note(work, ports, DirectoryAct.ERASED, by, person_id)


async def publish_stewardships(
    work: UnitOfWork,
    ports: GovernancePorts,
    changes: Sequence[tuple[StewardshipState | None, StewardshipState, int]],
    *,
    by: Viewer,
) -> None:
    """Tell new states of stewardships, given as (before, after, version), and write down what changed."""
    lines = []
    for before, after, version in changes:
        work.emit(
            STEWARDSHIP_CHANGED,
            StewardshipChanged(stewardship=after),
            subject=after.identifier,
            subjectversion=version,
        )
        details = {"identifier": after.identifier, **_differences(before, after)}
        lines.append(
            AuditLine(
                DirectoryAct.STEWARDSHIP_CHANGED,
                by.person_id,
                after.steward_id or (before.steward_id if before else None),
                ports.clock.now(),
                details=details,
            )
        )
    await ports.audit.note_all(work, lines)


async def note(
    work: UnitOfWork,
    ports: GovernancePorts,
    act: DirectoryAct,
    by: Viewer,
    person_id: UUID | None,
    *,
    is_beyond: bool = False,
    **details: str | int | list[str] | None,
) -> None:
    """Write down one act."""
    line = AuditLine(act, by.person_id, person_id, ports.clock.now(), is_beyond, details)
    await ports.audit.note_all(work, [line])


def _differences(before: StewardshipState | None, after: StewardshipState) -> dict[str, list[str | None]]:
    """Return what changed, by field, as [before, after]."""
    old = before.model_dump(mode="json") if before else {}
    new = after.model_dump(mode="json")
    return {
        name: [old.get(name), value]
        for name, value in new.items()
        if name != "identifier" and old.get(name) != value
    }


async def _turn_out_who_may_not(
    work: UnitOfWork, ports: GovernancePorts, person_id: UUID, given: Collection[Grant]
) -> None:
    """Revoke what was issued for a person by somebody who could not issue it for the rights they get now.

    Whoever made a token or link may still hold it, and would gain the new rights with it.
    """
    issuers = await ports.directory.issuers_for(work, person_id)
    below = [
        issuer
        for issuer in issuers - {person_id}
        if goes_beyond(await ports.directory.grants_of(work, issuer), given)
    ]
    if below:
        await ports.directory.revoke_issued_by(work, person_id, below)


async def _keep_an_operator(
    work: UnitOfWork, ports: GovernancePorts, *, without: UUID | None, without_token: str | None = None
) -> None:
    if not await ports.directory.has_operator(work, without=without, without_token=without_token):
        raise ConflictError(
            "This would lock everybody out: no other operator has a token that works.",
            fix="Make another operator first, and issue a token for them: nutmeg token issue ADDRESS.",
            code="last_operator",
        )


async def _tell_person(work: UnitOfWork, ports: GovernancePorts, state: PersonState, version: int) -> None:
    # Governance owns people, so its own rights follow at once; the other services learn them by the event.
    await write_principals(work, ports.principals, [state])
    work.emit(
        PERSON_CHANGED, PersonChanged(person=state), subject=str(state.person_id), subjectversion=version
    )
