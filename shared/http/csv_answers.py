"""CSV that spreadsheets open without harm: the only place that writes it, held by an architecture test."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence

from starlette.responses import Response

__all__ = ["csv_response", "safe_cell"]

_FORMULA_SIGNS = frozenset("=+-@")
_LEADING = " \t\r\n\f\v\u00a0\u200b\u200c\u200d\u2060\u3000\ufeff"
"""What programs pass over before they look at the first sign."""


def safe_cell(value: object) -> object:
    """Return ``value``, a text with an apostrophe before it where a spreadsheet would run it as a formula.

    That is what begins with one of ``= + - @``, also in their full-width and small forms (Unicode's
    compatibility characters), also behind blanks, and with a tab or a line end (OWASP, CSV injection).
    """
    if not isinstance(value, str):
        return "" if value is None else value
    first = value.lstrip(_LEADING)[:1]
    is_formula = bool(first) and unicodedata.normalize("NFKC", first)[:1] in _FORMULA_SIGNS
    return f"'{value}" if is_formula or value[:1] in ("\t", "\r", "\n") else value


def csv_response(
    names: Sequence[str], rows: Iterable[Sequence[object]], *, headers: dict[str, str] | None = None
) -> Response:
    """Return a table as CSV (RFC 4180) with a header row; every text is made safe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([safe_cell(name) for name in names])
    writer.writerows([safe_cell(value) for value in row] for row in rows)
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)
