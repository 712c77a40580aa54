"""Opaque cursors: where a list goes on, sealed, and bound to the query that it was made for."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import Depends
from starlette.requests import Request

from shared.http.problems import FieldProblem, ProblemError
from shared.identity.sealing import Seal, UnsealableError
from shared.identity.signing_key import SigningKey

__all__ = ["CursorCodec", "CursorDependency"]

CURSOR_CHARACTERS_MAX = 2048


class CursorCodec:
    """Writes and reads cursors. ``query`` is all that shapes the list (filters, sort), as JSON values."""

    def __init__(self, key: SigningKey) -> None:
        self._seal = Seal(key.derive("cursors"), "lists")
        self._places = Seal(key.derive("cursors"), "places")

    def encode(self, position: Sequence[Any], query: Mapping[str, Any]) -> str:
        """Return the cursor for the place after ``position`` (JSON values: the last item's sort keys)."""
        return self._seal.seal(orjson.dumps(list(position)), _fingerprint(query))

    def decode(self, cursor: str | None, query: Mapping[str, Any]) -> list[Any] | None:
        """Return the position in a cursor; ``None`` for no cursor, which means the start.

        Raises the 400 problem for a cursor that is not ours or was made for another query.
        """
        if not cursor:
            return None
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            raise _unusable("The cursor is too long to be one of ours.")
        try:
            position: list[Any] = orjson.loads(self._seal.unseal(cursor, _fingerprint(query)))
        except (UnsealableError, ValueError) as error:
            raise _unusable(
                "The cursor was not given out here, or belongs to a list with other filters or another order."
            ) from error
        return position

    def encode_place(self, number: int, feed: str) -> str:
        """Return a cursor for a place in ``feed`` that counts what its reader may not see too.

        Two of them do not even tell whether they name one place, so that nobody learns what came between.
        """
        return self._places.seal_anew(number.to_bytes(8, "big"), feed.encode())

    def decode_place(self, cursor: str, feed: str) -> int:
        """Return the number. Raises ``UnsealableError`` for a text that was not given out for ``feed``."""
        return int.from_bytes(self._places.unseal_anew(cursor, feed.encode()), "big")


async def _cursor_codec(request: Request) -> CursorCodec:
    codec: CursorCodec = request.app.state.cursors
    return codec


CursorDependency = Annotated[CursorCodec, Depends(_cursor_codec)]


def _fingerprint(query: Mapping[str, Any]) -> bytes:
    canonical = orjson.dumps(query, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(canonical).digest()


def _unusable(detail: str) -> ProblemError:
    cure = "Leave the cursor out to start from the first page; follow next_cursor from there."
    return ProblemError(
        400,
        "cursor",
        "The list cannot go on from here",
        f"{detail} {cure}",
        errors=[FieldProblem(detail, cure, parameter="cursor", code="cursor")],
    )
