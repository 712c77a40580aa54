"""What the audit of those who let others in says on a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.governance.domain.auditing import ALL_TOKENS, AuditLine, DirectoryAct
from shared.web.wording import plural

__all__ = ["AuditWords", "audit_words", "link_maker"]

_ACTS = {
    DirectoryAct.TOKEN_ISSUED: "issued a token for",
    DirectoryAct.LINK_MADE: "made a sign-in link for",
    DirectoryAct.LINK_USED: "came in by a link",
    DirectoryAct.TOKENS_REVOKED: "revoked tokens of",
    DirectoryAct.GRANTED: "gave rights to",
    DirectoryAct.GRANT_TAKEN: "took rights from",
    DirectoryAct.ERASED: "erased",
}


@dataclass(frozen=True, slots=True)
class AuditWords:
    """One line in words. ``person_id`` leads to all lines of that person."""

    happened_at: datetime
    actor: str
    act: str
    person: str
    person_id: UUID
    details: str
    is_beyond: bool
    is_of_another: bool


def audit_words(line: AuditLine, names: Mapping[UUID, str], agencies: Mapping[str, str]) -> AuditWords:
    """Return a line in words; people who were erased have no name any more."""
    actor = "The installation" if line.actor_id is None else _name(line.actor_id, names)
    return AuditWords(
        line.happened_at,
        actor,
        _ACTS[line.act],
        _name(line.person_id, names),
        line.person_id,
        _details(line, names, agencies),
        line.is_beyond,
        line.act is not DirectoryAct.LINK_USED,
    )


def link_maker(line: AuditLine) -> UUID | None:
    """Return who made the link that was used; None for the installation, and for other acts."""
    told = line.details.get("made_by")
    return None if told is None else UUID(str(told))


def _name(person_id: UUID, names: Mapping[UUID, str]) -> str:
    return names.get(person_id, f"an erased person ({str(person_id)[:8]})")


def _details(line: AuditLine, names: Mapping[UUID, str], agencies: Mapping[str, str]) -> str:
    said = []
    for role in line.details.get("roles", ()):
        name, _, agency_id = str(role).partition(" of ")
        where = "all agencies" if agency_id == "*" else agencies.get(agency_id, "an unknown agency")
        said.append(f"{name.replace('-', ' ')}, {where}")
    if "days" in line.details:
        said.append(f"for {plural(int(line.details['days']), 'day')}")
    if "uses_max" in line.details:
        said.append(f"may be used {plural(int(line.details['uses_max']), 'time')}")
    if "token" in line.details:
        told = str(line.details["token"])
        said.append("all of them" if told == ALL_TOKENS else f"token {told[:8]}")
    if line.act is DirectoryAct.LINK_USED:
        maker = link_maker(line)
        said.append(f"made by {'the installation' if maker is None else _name(maker, names)}")
    return "; ".join(said)
