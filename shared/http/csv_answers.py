"""CSV that spreadsheets open without harm."""

import csv
import io
from collections.abc import Iterable, Sequence

from starlette.responses import Response

__all__ = ["csv_response", "safe_cell"]

_FORMULA_SIGNS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What makes spreadsheets take a cell for a formula; the last four are the full-width signs, which some
spreadsheets read as the plain ones (OWASP, CSV Injection)."""


def safe_cell(value: object) -> object:
    """Return ``value``, a text with an apostrophe before it where a spreadsheet would compute it."""
    if not isinstance(value, str):
        return "" if value is None else value
    return f"'{value}" if value.lstrip(" \u3000\u00a0")[:1] in _FORMULA_SIGNS and value else value


def csv_response(
    names: Sequence[str], rows: Iterable[Sequence[object]], *, headers: dict[str, str] | None = None
) -> Response:
    """Return a table as CSV (RFC 4180) with a header row; every text is made safe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([safe_cell(value) for value in row] for row in rows)
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)
