"""Dates and intervals of a feed, as ISO 8601."""

import re
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

TEXT_CHARACTERS_MAX = 100
YEAR_MIN = 1000
"""Earlier years are the null dates of databases (0001-01-01), not dates of data."""

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ISO_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)
_YEAR_OR_MONTH = re.compile(r"([0-9]{4})(?:-(0[1-9]|1[0-2]))?")
_ISO_INSIDE = re.compile(
    r"(?<![0-9-])[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2}(?:T[0-9:.]{5,18}(?:Z|[+-][0-9:]{4,6})?)?)?)?(?![0-9-])"
)
_YEAR_RANGE = re.compile(r"([0-9]{4}) ?[-–] ?([0-9]{4})")
_NUMBER = r"[0-9]{1,6}(?:\.[0-9]{1,6})?"
_DURATION = (
    rf"P(?=[0-9T])(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?=[0-9])(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)
_DATE_AND_DURATION = re.compile(rf"([0-9T:Z+-]{{4,25}})/({_DURATION})")

# Where day and month could be either, the American order is read: the standard is American.
_WRITTEN_FORMS = (
    "%m/%d/%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%y",
    "%d/%m/%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y-%m-%d %H:%M:%S %Z",
    "%B %d, %Y",
    "%b %d, %Y",
    "%b. %d, %Y",
    "%d %B %Y",
    "%d %b %Y",
    "%d-%b-%Y",
)
_WRITTEN_MONTHS = ("%B %Y", "%b %Y", "%B, %Y", "%m/%Y")


def _in_range(value: date) -> bool:
    return value.year >= YEAR_MIN


def is_iso_date(text: str) -> bool:
    """Whether ``text`` is a real year, month, date or moment in the extended form of ISO 8601."""
    return _normal_iso(text) == text


def _normal_iso(text: str) -> str | None:
    """``text`` in the extended form, when Python's ISO 8601 parser or the year and month forms read it."""
    if (coarse := _YEAR_OR_MONTH.fullmatch(text)) is not None:
        return text if int(coarse[1]) >= YEAR_MIN else None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not _in_range(moment):
        return None
    if _ISO_DATE.fullmatch(text) is not None or _ISO_MOMENT.fullmatch(text) is not None:
        return text
    has_time = "T" in text or " " in text or ":" in text
    return moment.isoformat() if has_time else moment.date().isoformat()


def _epoch(text: str) -> str | None:
    """A date from a Unix time in seconds (10 digits) or milliseconds (13 digits)."""
    if not (text.isascii() and text.isdigit() and len(text) in (10, 13)):
        return None
    seconds = int(text) if len(text) == 10 else int(text) / 1000
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _written(text: str) -> str | None:
    for form in _WRITTEN_FORMS:
        try:
            moment = datetime.strptime(text, form)  # noqa: DTZ007 (a date, or the source's local time)
        except ValueError:
            continue
        if not _in_range(moment):
            return None
        return moment.isoformat() if "%H" in form or "%I" in form else moment.date().isoformat()
    for form in _WRITTEN_MONTHS:
        try:
            moment = datetime.strptime(text, form)  # noqa: DTZ007 (only year and month are used)
        except ValueError:
            continue
        return moment.strftime("%Y-%m") if _in_range(moment) else None
    try:
        return parsedate_to_datetime(text).isoformat()
    except (ValueError, IndexError, TypeError, OverflowError):
        return None


def read_date(text: str) -> tuple[str | None, bool]:
    """The ISO 8601 form of a date and whether it had to be rewritten; ``(None, True)`` when it is no date."""
    stripped = text.strip()
    if not stripped or len(stripped) > TEXT_CHARACTERS_MAX:
        return None, True
    normal = _normal_iso(stripped)
    if normal is not None:
        return normal, False
    for candidate in (_epoch(stripped), _written(stripped), _normal_iso(stripped[:10])):
        if candidate is not None:
            return candidate, True
    return None, True


def moment_of(text: str | None) -> datetime | None:
    """The moment in UTC of an ISO date (its midnight) or moment; None for anything coarser than a day."""
    if text is None or _YEAR_OR_MONTH.fullmatch(text) is not None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def is_interval(text: str) -> bool:
    """Whether ``text`` is ``start/end`` or ``start/duration`` (DCAT-US 1.1 ``temporal``)."""
    if (timed := _DATE_AND_DURATION.fullmatch(text)) is not None:
        return is_iso_date(timed[1])
    start, slash, end = text.partition("/")
    return bool(slash) and is_iso_date(start) and is_iso_date(end)


def read_interval(text: str) -> tuple[str | None, bool]:
    """The ISO 8601 interval in ``text`` and whether it had to be rewritten; ``(None, True)`` without one.

    Two dates in a text are its start and end; one year or month is the whole of it.
    """
    stripped = text.strip()
    if len(stripped) > TEXT_CHARACTERS_MAX:
        return None, True
    if is_interval(stripped):
        return stripped, False
    years = _YEAR_RANGE.fullmatch(stripped)
    found = [years[1], years[2]] if years is not None else _ISO_INSIDE.findall(stripped)
    if not found:
        found = [
            part_date for part in stripped.split("/") if (part_date := _written(part.strip())) is not None
        ]
    if len(found) == 1:
        found *= 2
    interval = "/".join(found)
    return (interval, True) if len(found) == 2 and is_interval(interval) else (None, True)
