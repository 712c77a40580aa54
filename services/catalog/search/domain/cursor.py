"""Where the next page begins, as a sealed text that belongs to one query of one viewer.

Within the first :data:`RESCORE_WINDOW` results the place is our score and the
dataset id; after them it is whatever the engine needs to go on in its own order (design, section 5).
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from services.catalog.search.domain.search import InvalidSearchError, SearchQuery
from shared.identity.sealing import Seal, UnsealableError

CURSOR_CHARACTERS_MAX = 4_096

_RESTART = "Ask for the first page again, without a cursor."


@dataclass(frozen=True, slots=True)
class CursorPosition:
    """``phase``: ``window`` with (score, id), ``engine`` with values of the engine's own.

    ``step`` is the index of the relaxation that gave the first page, so later pages loosen alike.
    """

    phase: Literal["window", "engine"]
    after: tuple[str | int | float, ...]
    step: int = 0


class SearchCursorCodec:
    """Writes and reads cursors. ``secret`` is shared by all processes that answer one installation."""

    def __init__(self, secret: str) -> None:
        self._seal = Seal(secret.encode(), "nutmeg.catalog.search.cursor")

    def encode(self, query: SearchQuery, position: CursorPosition) -> str:
        """The cursor of the page after ``position``."""
        body = [position.phase, list(position.after), position.step]
        return self._seal.seal(json.dumps(body).encode(), query_hash(query).encode())

    def decode(self, query: SearchQuery) -> CursorPosition | None:
        """The position of ``query.cursor``; None without one.

        Raises :class:`InvalidSearchError` for a cursor that was not issued
        here, or was issued for another query or another viewer.
        """
        if query.cursor is None:
            return None
        try:
            body = self._seal.unseal(query.cursor[:CURSOR_CHARACTERS_MAX], query_hash(query).encode())
            phase, after, step = json.loads(body)
        except (UnsealableError, ValueError) as error:
            told = "This cursor was not issued here, or belongs to another query, order or viewer."
            raise InvalidSearchError("cursor", f"{told} {_RESTART}") from error
        return CursorPosition(phase, tuple(after), step)


def query_hash(query: SearchQuery) -> str:
    """A hash of all that decides which results there are and their order. The page size may differ."""
    viewer = query.viewer
    body = [
        query.text,
        sorted((facet, sorted(values)) for facet, values in query.filters.items() if values),
        query.sort,
        viewer.level,
        sorted(str(agency_id) for agency_id in viewer.agency_ids),
    ]
    return hashlib.sha256(json.dumps(body).encode("ascii")).hexdigest()[:32]
