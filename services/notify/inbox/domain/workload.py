"""How the inbox tells what waits on the datasets that somebody answers for, with the way to each list."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from shared.identity.viewer import Role, Viewer

__all__ = ["Workload", "WorkloadLink", "list_path", "workload_document", "workload_links"]


AGENCIES_IN_LINK_MAX = 100
"""Search takes so many values of one filter."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Counts over all datasets that one person answers for."""

    datasets: int
    requests_waiting: int
    out_of_date: int
    late: int
    open_alerts: int


class WorkloadLink(NamedTuple):
    """One count in words, and the address of the list behind it."""

    name: str
    amount: int
    words: str
    href: str


def workload_links(workload: Workload, viewer: Viewer) -> list[WorkloadLink]:
    """Return every count with its list, those that need somebody first."""
    agencies = _agencies(viewer)
    counted = (
        ("requests_waiting", "requests waiting for a decision", "/sharing-requests"),
        ("open_alerts", "open alerts", "/quality#alerts"),
        ("out_of_date", "datasets out of date", list_path(agencies, freshness=["stale"])),
        ("late", "datasets late", list_path(agencies, freshness=["late"])),
        ("datasets", "datasets in all", list_path(agencies)),
    )
    links = []
    for name, words, href in counted:
        count = getattr(workload, name)
        links.append(WorkloadLink(name, count, _singular(words) if count == 1 else words, href))
    return links


def workload_document(workload: Workload, viewer: Viewer) -> dict[str, Any]:
    """Return the counts and their lists."""
    links = {link.name: link.href for link in workload_links(workload, viewer)}
    return {**asdict(workload), "links": links}


def _agencies(viewer: Viewer) -> tuple[UUID, ...]:
    """The agencies that a list is narrowed to; none where the viewer answers for all."""
    if Role.CHIEF_DATA_OFFICER in viewer.roles:
        return ()
    return tuple(sorted(viewer.agency_ids))


def _singular(words: str) -> str:
    first, _, rest = words.partition(" ")
    if first == "open":
        return "open alert"
    return f"{first.removesuffix('s')} {rest}"


def list_path(agency_ids: Sequence[UUID], **filters: Sequence[str]) -> str:
    """Return the address of the list of these agencies' datasets, none for all, narrowed by ``filters``."""
    pairs: list[tuple[str, object]] = [
        ("agency", agency_id) for agency_id in agency_ids[:AGENCIES_IN_LINK_MAX]
    ]
    pairs += [(name, value) for name, values in filters.items() for value in values]
    return f"/search?{urlencode(pairs)}" if pairs else "/search"
