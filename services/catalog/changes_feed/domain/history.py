"""The history of datasets as pages show it, and several changes of one dataset as one line. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

__all__ = ["ChangeView", "fold_changes"]


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One line of a dataset's history, or of what changed today.

    ``changed_fields`` are field names of ``DatasetState``; ``reason`` is given for a retirement. ``times`` is
    above 1 where one line stands for several changes.
    """

    event_id: str
    dataset_id: UUID
    title: str
    agency_name: str | None
    kind: Literal["registered", "changed", "retired"]
    changed_fields: tuple[str, ...]
    reason: str | None
    happened_at: datetime
    times: int = 1


def fold_changes(lines: Sequence[ChangeView]) -> ChangeView:
    """Make one line of the changes of one dataset, given newest first; at least one.

    A dataset that came and was changed since is new; one that left is retired, whatever came before.
    """
    newest = lines[0]
    came = any(line.kind == "registered" for line in lines)
    kind = "registered" if came and newest.kind != "retired" else newest.kind
    fields = dict.fromkeys(field for line in lines for field in line.changed_fields)
    return replace(
        newest,
        kind=kind,
        changed_fields=tuple(fields) if kind == "changed" else (),
        times=len(lines),
    )
