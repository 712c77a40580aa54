"""One page of a list, with links to the next and the first (RFC 8288)."""

from typing import Generic, TypeVar

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["PAGE_ITEMS_DEFAULT", "PAGE_ITEMS_MAX", "Page", "link_pages"]

T = TypeVar("T")

PAGE_ITEMS_DEFAULT = 20
PAGE_ITEMS_MAX = 100


class Page(BaseModel, Generic[T]):
    """The envelope of every list. ``next_cursor`` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None
    total: int | None = Field(default=None, description="How many there are on all pages, where it is known.")


def link_pages(request: Request, response: Response, next_cursor: str | None) -> None:
    """Add the Link header: this address with the next cursor, and without any."""
    first = request.url.remove_query_params("cursor")
    links = [f'<{first}>; rel="first"']
    if next_cursor is not None:
        links.insert(0, f'<{request.url.include_query_params(cursor=next_cursor)}>; rel="next"')
    response.headers["Link"] = ", ".join(links)
