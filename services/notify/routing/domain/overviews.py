"""The first summary for those who answer for agencies: one per person, of all agencies that are theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from services.notify.inbox.domain.items import BASELINE_KIND, InboxItem, ItemState, Recipient
from services.notify.inbox.domain.workload import list_path
from services.notify.routing.domain.recipients import KnownPeople
from shared.events.quality import AgencySummaryLine, BaselineSummarised
from shared.identity.viewer import Role

__all__ = ["Overview", "item_of_overview", "overviews"]

AGENCIES_LISTED_MAX = 12


@dataclass(frozen=True, slots=True)
class Overview:
    """What one person is told: the lines of their agencies. ``covers_all``: they answer for every agency."""

    recipient: Recipient
    lines: tuple[AgencySummaryLine, ...]
    covers_all: bool


def overviews(summary: BaselineSummarised, directory: KnownPeople) -> list[Overview]:
    """Return one overview per person who answers for agencies of the harvest, in a stable order.

    An agency that nobody answers for, where there is no chief data officer either, comes to the operators.
    """
    chiefs = set(directory.holding(Role.CHIEF_DATA_OFFICER, None))
    everywhere = chiefs | set(directory.holding(Role.AGENCY_DATA_OFFICER, None))
    theirs: dict[UUID, list[AgencySummaryLine]] = {}
    unanswered: list[AgencySummaryLine] = []
    for line in summary.agencies:
        officers = directory.holding(Role.AGENCY_DATA_OFFICER, line.agency_id) if line.agency_id else []
        for person_id in officers:
            theirs.setdefault(person_id, []).append(line)
        if not officers and not everywhere:
            unanswered.append(line)
    found = dict.fromkeys(everywhere, tuple(summary.agencies))
    found |= {one: tuple(lines) for one, lines in theirs.items() if one not in everywhere}
    if unanswered:
        rest = [one for one in directory.holding(Role.OPERATOR, None) if one not in found]
        found |= dict.fromkeys(rest, tuple(unanswered))
    return [
        Overview(
            Recipient(person_id, _why(person_id, chiefs, everywhere, theirs)), lines, person_id in everywhere
        )
        for person_id, lines in sorted(found.items())
    ]


def item_of_overview(
    summary: BaselineSummarised,
    overview: Overview,
    names: Mapping[UUID, str],
    *,
    topic: str,
    now: datetime,
) -> InboxItem:
    """Return the item of one person's overview. Its id follows from the notice and the person."""
    lines = sorted(overview.lines, key=lambda one: (-one.stale, -one.late, _name(one, names)))
    datasets, stale, late = (
        sum(numbers) for numbers in zip(*((one.datasets, one.stale, one.late) for one in lines), strict=True)
    )
    details = [(_name(one, names), "", _line_words(one)) for one in lines[:AGENCIES_LISTED_MAX]]
    if len(lines) > AGENCIES_LISTED_MAX:
        details.append(("More agencies", "", str(len(lines) - AGENCIES_LISTED_MAX)))
    agencies = () if overview.covers_all else tuple(one.agency_id for one in lines if one.agency_id)
    whose = _name(lines[0], names) if len(lines) == 1 else f"{len(lines)} agencies"
    noun = "dataset was" if datasets == 1 else "datasets were"
    return InboxItem(
        item_id=uuid5(summary.notice_id, f"overview/{overview.recipient.person_id}"),
        kind=BASELINE_KIND,
        topic=topic,
        title=f"First quality check: {whose}",
        cause=f"{datasets} {noun} measured for the first time: {stale} out of date, {late} late. "
        "From here on you hear only of changes.",
        next_act="Open the lists of what is late. Ask for updates, or correct the declared frequency."
        if stale or late
        else "Nothing needs to be done now.",
        severity="info",
        state=ItemState.OPEN,
        opened_at=now,
        changed_at=now,
        version=1,
        details=tuple(details),
        href=list_path(agencies),
        links=(*_links(agencies, stale, late), *_agency_links(lines, names)),
    )


def _links(agencies: Sequence[UUID], stale: int, late: int) -> list[tuple[str, str]]:
    links = []
    if stale:
        links.append((f"Out of date ({stale})", list_path(agencies, freshness=["stale"])))
    if late:
        links.append((f"Late ({late})", list_path(agencies, freshness=["late"])))
    links.append(("With a problem", list_path(agencies, condition=["attention", "problem"])))
    return links


def _agency_links(lines: Sequence[AgencySummaryLine], names: Mapping[UUID, str]) -> list[tuple[str, str]]:
    if len(lines) < 2:
        return []
    return [
        (
            f"{_name(one, names)}: out of date or late ({one.stale + one.late})",
            list_path((one.agency_id,), freshness=["late", "stale"]),
        )
        for one in lines[:AGENCIES_LISTED_MAX]
        if one.agency_id and one.stale + one.late
    ]


def _line_words(line: AgencySummaryLine) -> str:
    noun = "dataset" if line.datasets == 1 else "datasets"
    parts = [f"{line.datasets} {noun}", f"{line.stale} out of date", f"{line.late} late"]
    if line.without_steward:
        parts.append(f"{line.without_steward} without a steward")
    if line.mean_completeness is not None:
        parts.append(f"metadata {line.mean_completeness:.0%} complete")
    return ", ".join(parts)


def _name(line: AgencySummaryLine, names: Mapping[UUID, str]) -> str:
    if line.agency_id is None:
        return "Agency not known"
    return names.get(line.agency_id, "An agency")


def _why(
    person_id: UUID,
    chiefs: set[UUID],
    everywhere: set[UUID],
    theirs: Mapping[UUID, Sequence[AgencySummaryLine]],
) -> str:
    if person_id in chiefs:
        return "You are the chief data officer."
    if person_id in everywhere:
        return "You are the data officer of all agencies."
    if person_id in theirs:
        whose = "this agency" if len(theirs[person_id]) == 1 else "these agencies"
        return f"You are the data officer of {whose}."
    return "Nobody answers for these agencies, and you operate this installation."
