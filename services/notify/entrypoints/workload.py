"""How the inbox tells what waits on the datasets that somebody answers for, with the way to each list."""

from dataclasses import asdict
from typing import Any, NamedTuple
from uuid import UUID

from services.notify.adapters.sql_workload import Workload
from services.notify.domain.overviews import list_path
from shared.identity.viewer import Role, Viewer

__all__ = ["WorkloadLink", "workload_document", "workload_links"]


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
