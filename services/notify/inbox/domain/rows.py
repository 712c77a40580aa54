"""An inbox item and its row: the same in the table, and in what a message keeps of it."""

from dataclasses import fields
from typing import Any

from services.notify.inbox.domain.items import InboxItem, ItemState

__all__ = ["item_of_row", "row_of_item"]


def item_of_row(row: Any) -> InboxItem:
    """Return the item in a row of ``inbox_items``."""
    return InboxItem(
        item_id=row.item_id,
        kind=row.kind,
        topic=row.topic,
        title=row.title,
        cause=row.cause,
        next_act=row.next_act,
        severity=row.severity,
        state=ItemState(row.state),
        opened_at=row.opened_at,
        changed_at=row.changed_at,
        version=row.version,
        dataset_id=row.dataset_id,
        agency_id=row.agency_id,
        details=tuple((name, expected, observed) for name, expected, observed in row.details),
        acknowledged_by=row.acknowledged_by,
        occurrences=row.occurrences,
        href=row.href,
        links=tuple((words, path) for words, path in row.links),
        requester_id=row.requester_id,
    )


def row_of_item(item: InboxItem) -> dict[str, Any]:
    # Not asdict(): it copies every value in depth, which took longer than writing the row.
    row = {field.name: getattr(item, field.name) for field in fields(item)}
    lists = {name: [list(line) for line in getattr(item, name)] for name in ("details", "links")}
    return {**row, "state": item.state.value, **lists}
