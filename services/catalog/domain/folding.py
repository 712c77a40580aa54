"""Several changes of one dataset, as one line. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from services.catalog.domain.views import ChangeView

__all__ = ["fold_changes"]


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
