"""What people ask governance to do with the directory: import it, and settle a publisher's spelling.

Each command runs inside one unit of work: state, audit line and event are committed together.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from services.governance.commands.access import add_person, note, note_refusal, publish_stewardships
from services.governance.domain.agencies import IMPORT_RULE, AgencyName
from services.governance.domain.auditing import DirectoryAct
from services.governance.domain.directory_import import (
    AgencyRow,
    Parsed,
    PersonRow,
    RowProblem,
    StewardshipRow,
)
from services.governance.domain.granting import INSTALLATION, check_giving, may_settle_for
from services.governance.ports import GovernancePorts
from shared.errors import DomainError, InvalidInputError, NotAllowedError, NotFoundError
from shared.events.governance import AgencyChanged, AgencyState, GrantState, StewardshipState
from shared.events.registry import AGENCY_CHANGED
from shared.identity.viewer import Grant, Role, Viewer
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "ImportReport",
    "import_agencies",
    "import_people",
    "import_stewardships",
    "publish_agency",
    "settle_publisher",
]


@dataclass(slots=True)
class ImportReport:
    """What an import did: rows read, records changed, rows refused."""

    rows: int = 0
    changed: int = 0
    problems: list[RowProblem] = field(default_factory=list)
    notes: list[RowProblem] = field(default_factory=list)
    """On rows that were taken."""


async def import_agencies(
    work: UnitOfWork, ports: GovernancePorts, parsed: Parsed[AgencyRow], *, by: Viewer
) -> ImportReport:
    """Create or change agencies, and give each data officer's mailbox the role for that agency.

    A row whose officer ``by`` may not appoint is refused as a whole.
    """
    report = ImportReport(rows=len(parsed.rows), problems=list(parsed.problems))
    for row in parsed.rows:
        try:
            await _check_officer(work, ports, row, by)
        except (NotAllowedError, InvalidInputError) as error:
            await _refuse(work, ports, report, row.line, "data_officer_email", by, error)
            continue
        aliases = dict.fromkeys(row.aliases, IMPORT_RULE)
        put = await ports.directory.put_agency(work, code=row.code, name=row.name, aliases=aliases)
        if put is not None:
            report.changed += 1
            publish_agency(work, *put)
        if row.data_officer_email:
            agency_id = await ports.directory.agency_id_of(work, row.code)
            await add_person(
                work,
                ports,
                email=row.data_officer_email,
                display_name=f"{row.code} agency data officer",
                keeps_name=True,
                grants=[GrantState(role=Role.AGENCY_DATA_OFFICER, agency_id=agency_id)],
                by=by,
            )
    return report


async def import_people(
    work: UnitOfWork, ports: GovernancePorts, parsed: Parsed[PersonRow], *, by: Viewer
) -> ImportReport:
    """Create people and add their grants.

    A row is refused that names an unknown agency, or gives what ``by`` may not give.
    """
    report = ImportReport(rows=len(parsed.rows), problems=list(parsed.problems))
    codes = {agency.code: agency.agency_id for agency in await ports.directory.agencies(work)}
    for row in parsed.rows:
        if row.agency_code is not None and row.agency_code not in codes:
            report.problems.append(_unknown_agency(row.line, row.agency_code))
            continue
        agency_id = codes[row.agency_code] if row.agency_code else None
        grant = GrantState(role=row.role, agency_id=agency_id)
        try:
            has_changed = await add_person(
                work, ports, email=row.email, display_name=row.display_name, grants=[grant], by=by
            )
        except (NotAllowedError, InvalidInputError) as error:
            await _refuse(work, ports, report, row.line, error.field or "role", by, error)
            continue
        report.changed += has_changed
    return report


async def import_stewardships(
    work: UnitOfWork, ports: GovernancePorts, parsed: Parsed[StewardshipRow], *, by: Viewer
) -> ImportReport:
    """Create or change who answers for which dataset. Unknown stewards become people with that role.

    A row is refused that names an unknown agency, or a steward whom ``by`` may not appoint. One may come
    before its dataset is harvested: it is kept, and the report notes it.
    """
    report = ImportReport(rows=len(parsed.rows), problems=list(parsed.problems))
    codes = {agency.code: agency.agency_id for agency in await ports.directory.agencies(work)}
    usable: list[StewardshipRow] = []
    for row in parsed.rows:
        if row.agency_code is not None and row.agency_code not in codes:
            report.problems.append(_unknown_agency(row.line, row.agency_code))
            continue
        usable.append(row)
    refused = await _put_stewards(work, ports, usable, codes, by)
    kept: list[StewardshipRow] = []
    for row in usable:
        error = refused.get((row.steward_email or "", row.agency_code or ""))
        if error is None:
            kept.append(row)
        else:
            report.problems.append(RowProblem(row.line, "steward_email", error.detail, error.fix))
    unknown = await ports.datasets.unknown({row.identifier for row in kept}, work)
    report.notes += [_unknown_dataset(row) for row in kept if row.identifier in unknown]
    people = await ports.directory.person_ids_by_email(work, [row.steward_email or "" for row in kept])
    states = [
        StewardshipState(
            identifier=row.identifier,
            agency_id=codes[row.agency_code] if row.agency_code else None,
            steward_id=people.get(row.steward_email or ""),
            accrual_periodicity=row.accrual_periodicity,
            data_updated_on=row.data_updated_on,
            access_level=row.access_level,
            visibility=row.visibility,
        )
        for row in kept
    ]
    changes = await ports.directory.put_stewardships(work, states)
    report.changed += len(changes)
    await publish_stewardships(work, ports, changes, by=by)
    return report


async def settle_publisher(
    work: UnitOfWork, ports: GovernancePorts, *, spelling: str, agency_id: UUID, by: Viewer
) -> None:
    """Take a person's word for what a spelling means.

    An agency's data officer may say it for their own agency, of spellings that are open and whose records
    they see all: a record that is hidden from them must not become theirs by being named. Raises
    ``NotFoundError`` and ``NotAllowedError``.
    """
    agencies = await ports.directory.agencies(work)
    agency = next((one for one in agencies if one.agency_id == agency_id), None)
    if agency is None:
        raise NotFoundError(f"No agency has the id {agency_id}.", what="agency", field="agency_id")
    if not may_settle_for(by, agency_id):
        raise NotAllowedError(
            f"You answer for other agencies than {agency.name}.",
            field="agency_id",
            fix="Choose your own, or ask the chief data officer.",
        )
    if not (by is INSTALLATION or by.sees_all_agencies):
        sight = await ports.directory.sight_of_spelling(work, spelling, by)
        if not sight.is_listed:
            raise NotFoundError(
                "No spelling that waits to be settled is called so.",
                what="spelling",
                field="spelling",
                fix="Choose one from the list.",
            )
        if sight.hides_some:
            raise NotAllowedError(
                "This spelling is also that of records which you may not see.",
                field="spelling",
                fix="The chief data officer settles it.",
            )
    put = await ports.directory.put_agency(
        work, code=agency.code, name=agency.name, aliases={spelling: "a person"}
    )
    if put is not None:
        publish_agency(work, *put)
        # Not the spelling itself: the audit outlives records, and is read by more people than see them.
        await note(work, ports, DirectoryAct.PUBLISHER_SETTLED, by, None, agency_id=str(agency_id))


def publish_agency(work: UnitOfWork, agency: AgencyName, version: int) -> None:
    """Tell an agency's new state."""
    state = AgencyState(
        agency_id=agency.agency_id, code=agency.code, name=agency.name, aliases=list(agency.aliases)
    )
    work.emit(
        AGENCY_CHANGED, AgencyChanged(agency=state), subject=str(agency.agency_id), subjectversion=version
    )


async def _check_officer(work: UnitOfWork, ports: GovernancePorts, row: AgencyRow, by: Viewer) -> None:
    if row.data_officer_email is None:
        return
    person_id, held = await ports.directory.held_by_email(work, row.data_officer_email)
    # An agency that is not known yet has no id; nobody can hold a role for it alone.
    agency_id = await ports.directory.agency_id_of(work, row.code) or uuid4()
    grant = Grant(Role.AGENCY_DATA_OFFICER, agency_id)
    check_giving(by, person_id, [] if grant in held else [grant])


async def _refuse(
    work: UnitOfWork,
    ports: GovernancePorts,
    report: ImportReport,
    line: int,
    column: str,
    by: Viewer,
    error: DomainError,
) -> None:
    report.problems.append(RowProblem(line, column, error.detail, error.fix))
    if isinstance(error, NotAllowedError):
        await note_refusal(work, ports, by, error)


async def _put_stewards(
    work: UnitOfWork,
    ports: GovernancePorts,
    rows: Sequence[StewardshipRow],
    codes: dict[str, UUID],
    by: Viewer,
) -> dict[tuple[str, str], DomainError]:
    """Make stewards of people; return who could not be made one, by address and agency's code."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.steward_email:
            wanted[row.steward_email].add(row.agency_code or "")
    refused: dict[tuple[str, str], DomainError] = {}
    for email, agency_codes in wanted.items():
        label = " ".join(sorted(code for code in agency_codes if code))
        for code in sorted(agency_codes):
            grants = [GrantState(role=Role.STEWARD, agency_id=codes[code])] if code else []
            try:
                await add_person(
                    work,
                    ports,
                    email=email,
                    display_name=f"{label} data steward ({email.split('@', 1)[0]})".strip(),
                    keeps_name=True,
                    grants=grants,
                    by=by,
                )
            except (NotAllowedError, InvalidInputError) as error:
                refused[email, code] = error
                if isinstance(error, NotAllowedError):
                    await note_refusal(work, ports, by, error)
    return refused


def _unknown_dataset(row: StewardshipRow) -> RowProblem:
    return RowProblem(
        row.line,
        "identifier",
        f"no dataset is called {row.identifier!r} yet; the row is kept until one is",
        "If it was harvested already, write the identifier exactly as in its feed.",
    )


def _unknown_agency(line: int, code: str) -> RowProblem:
    return RowProblem(
        line, "agency_code", f"no agency has the code {code!r}", "Import the agency first, or mend the code."
    )
