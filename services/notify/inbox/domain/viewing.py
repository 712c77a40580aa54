"""Whose inbox is asked for."""

from uuid import UUID

from shared.errors import NotFoundError
from shared.identity.viewer import Viewer

__all__ = ["no_such_item", "person_of"]


def person_of(viewer: Viewer) -> UUID:
    """Return who looks. The routes let only signed-in people in, so there is always somebody."""
    if viewer.person_id is None:
        raise no_such_item()
    return viewer.person_id


def no_such_item() -> NotFoundError:
    """The same words for an unknown item and one in somebody else's inbox."""
    return NotFoundError("Your inbox has nothing with this id.", what="inbox item", field="item_id")
