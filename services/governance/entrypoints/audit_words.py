"""What the audit of the directory says on a page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.governance.domain.auditing import ALL_TOKENS, AuditLine, DirectoryAct
from shared.web.wording import plural

__all__ = ["ACT_TITLES", "AuditWords", "audit_words", "people_of"]

_ACTS = {
    DirectoryAct.TOKEN_ISSUED: "issued a token for",
    DirectoryAct.LINK_MADE: "made a sign-in link for",
    DirectoryAct.LINK_USED: "came in by a link",
    DirectoryAct.TOKENS_REVOKED: "revoked tokens of",
    DirectoryAct.GRANTED: "gave rights to",
    DirectoryAct.GRANT_TAKEN: "took rights from",
    DirectoryAct.ERASED: "erased",
    DirectoryAct.REFUSED: "was refused",
    DirectoryAct.SIGN_IN_FAILED: "did not come in",
    DirectoryAct.STEWARDSHIP_CHANGED: "changed a stewardship of",
    DirectoryAct.VISIBILITY_CHANGED: "changed who sees a record",
    DirectoryAct.PUBLISHER_SETTLED: "confirmed an agency name",
    DirectoryAct.DATA_EXPORTED: "exported the data of",
}
ACT_TITLES = {
    DirectoryAct.TOKEN_ISSUED: "Tokens issued",
    DirectoryAct.LINK_MADE: "Sign-in links made",
    DirectoryAct.LINK_USED: "Sign-in links used",
    DirectoryAct.TOKENS_REVOKED: "Tokens revoked",
    DirectoryAct.GRANTED: "Rights given",
    DirectoryAct.GRANT_TAKEN: "Rights taken",
    DirectoryAct.ERASED: "Erasures",
    DirectoryAct.REFUSED: "Refusals",
    DirectoryAct.SIGN_IN_FAILED: "Failed sign-ins",
    DirectoryAct.STEWARDSHIP_CHANGED: "Stewardships",
    DirectoryAct.VISIBILITY_CHANGED: "Visibility of records",
    DirectoryAct.PUBLISHER_SETTLED: "Agency names",
    DirectoryAct.DATA_EXPORTED: "Data exports",
}
"""What a list of each kind of line is called."""

_NOBODY_KNOWN = "Somebody unknown"


@dataclass(frozen=True, slots=True)
class AuditWords:
    """One line in words. ``person_id`` leads to all lines of that person."""

    happened_at: datetime
    actor: str
    act: str
    person: str
    person_id: UUID | None
    details: str
    is_beyond: bool
    is_of_another: bool


def audit_words(line: AuditLine, names: Mapping[UUID, str], agencies: Mapping[str, str]) -> AuditWords:
    """Return a line in words; people who were erased have no name any more."""
    return AuditWords(
        line.happened_at,
        _actor(line, names),
        _ACTS[line.act],
        "" if line.person_id is None else _name(line.person_id, names),
        line.person_id,
        _details(line, names, agencies),
        line.is_beyond,
        line.person_id is not None and line.act is not DirectoryAct.LINK_USED,
    )


def people_of(lines: Iterable[AuditLine]) -> set[UUID]:
    """Return everybody whom the lines name."""
    found: set[UUID] = set()
    for line in lines:
        named = (line.actor_id, line.person_id, _link_maker(line))
        found |= {one for one in named if one is not None}
    return found


def _link_maker(line: AuditLine) -> UUID | None:
    told = line.details.get("made_by")
    return None if told is None else UUID(str(told))


def _actor(line: AuditLine, names: Mapping[UUID, str]) -> str:
    if line.actor_id is not None:
        return _name(line.actor_id, names)
    if line.act is DirectoryAct.SIGN_IN_FAILED:
        return _NOBODY_KNOWN
    return "A harvest or import" if line.act is DirectoryAct.VISIBILITY_CHANGED else "The installation"


def _name(person_id: UUID, names: Mapping[UUID, str]) -> str:
    return names.get(person_id, f"an erased person ({str(person_id)[:8]})")


def _details(line: AuditLine, names: Mapping[UUID, str], agencies: Mapping[str, str]) -> str:
    said = []
    for role in line.details.get("roles", ()):
        name, _, agency_id = str(role).partition(" of ")
        where = "all agencies" if agency_id == "*" else agencies.get(agency_id, "an unknown agency")
        said.append(f"{name.replace('-', ' ')}, {where}")
    if "scopes" in line.details:
        said.append(f"scopes: {line.details['scopes'].replace(' ', ', ')}")
    if "days" in line.details:
        said.append(f"for {plural(int(line.details['days']), 'day')}")
    if "uses_max" in line.details:
        said.append(f"may be used {plural(int(line.details['uses_max']), 'time')}")
    if "token" in line.details:
        told = str(line.details["token"])
        said.append("all of them" if told == ALL_TOKENS else f"token {told[:8]}")
    if line.act is DirectoryAct.LINK_USED:
        maker = _link_maker(line)
        said.append(f"made by {'the installation' if maker is None else _name(maker, names)}")
    said += _facts(line, agencies)
    return "; ".join(said)


def _facts(line: AuditLine, agencies: Mapping[str, str]) -> list[str]:
    """What is told of records, refusals and failures."""
    told = line.details
    said = [str(told[name]) for name in ("why", "way", "reason", "identifier") if name in told]
    if "dataset_id" in told:
        said.append(f"record {told['dataset_id']}")
    if "agency_id" in told and isinstance(told["agency_id"], str):
        said.append(agencies.get(told["agency_id"], "an unknown agency"))
    for name, value in told.items():
        if isinstance(value, list) and name != "roles":
            before, after = (str(one) if one is not None else "nothing" for one in value)
            said.append(f"{name.replace('_', ' ')}: {before} → {after}")
    if "times" in told:
        said.append(plural(int(told["times"]), "time"))
    return said
