"""Opaque cursors: where a list goes on, signed, and bound to the query that it was made for."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import Depends
from itsdangerous import BadData, URLSafeSerializer
from starlette.requests import Request

from shared.http.problems import FieldProblem, ProblemError
from shared.identity.signing_key import SigningKey

__all__ = ["CursorCodec", "CursorDependency"]

CURSOR_CHARACTERS_MAX = 2048


class CursorCodec:
    """Writes and reads cursors. ``query`` is all that shapes the list (filters, sort), as JSON values."""

    def __init__(self, key: SigningKey) -> None:
        self._serializer = URLSafeSerializer(key.derive("cursors"), salt="nutmeg.cursor")

    def encode(self, position: Sequence[Any], query: Mapping[str, Any]) -> str:
        """Return the cursor for the place after ``position`` (JSON values: the last item's sort keys)."""
        text = self._serializer.dumps([_fingerprint(query), list(position)])
        return text if isinstance(text, str) else text.decode()

    def decode(self, cursor: str | None, query: Mapping[str, Any]) -> list[Any] | None:
        """Return the position in a cursor; ``None`` for no cursor, which means the start.

        Raises the 400 problem for a cursor that is not ours or was made for another query.
        """
        if not cursor:
            return None
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            raise _unusable("The cursor is too long to be one of ours.")
        try:
            fingerprint, position = self._serializer.loads(cursor)
        except (BadData, ValueError, TypeError) as error:
            raise _unusable("The cursor is not one that this installation gave out.") from error
        if fingerprint != _fingerprint(query):
            raise _unusable("The cursor belongs to a list with other filters or another order.")
        return list(position)


async def _cursor_codec(request: Request) -> CursorCodec:
    codec: CursorCodec = request.app.state.cursors
    return codec


CursorDependency = Annotated[CursorCodec, Depends(_cursor_codec)]


def _fingerprint(query: Mapping[str, Any]) -> str:
    canonical = orjson.dumps(query, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:16]


def _unusable(detail: str) -> ProblemError:
    cure = "Leave the cursor out to start from the first page; follow next_cursor from there."
    return ProblemError(
        400,
        "cursor",
        "The list cannot go on from here",
        f"{detail} {cure}",
        errors=[FieldProblem(detail, cure, parameter="cursor", code="cursor")],
    )
