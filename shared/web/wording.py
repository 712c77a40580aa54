"""How dates, amounts and gaps are written for people: template filters that are pure functions.

Unknown is always written as "not known": never 0, never blank.
"""

from datetime import UTC, date, datetime

NOT_KNOWN = "not known"

_MINUTE_SECONDS = 60
_HOUR_SECONDS = 3_600
_DAY_SECONDS = 86_400
_MONTH_DAYS = 30
_YEAR_DAYS = 365
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_BYTE_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def parse_moment(value: date | datetime | str) -> date | datetime:
    """Read an ISO 8601 date or time. Times without an offset are UTC.

    Raises ValueError if the text is neither.
    """
    if isinstance(value, str):
        text = value.strip()
        value = datetime.fromisoformat(text) if "T" in text or " " in text else date.fromisoformat(text)
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


def long_date(value: date | datetime | str | None) -> str:
    """Write a date out: ``12 March 2026``."""
    if value is None or value == "":
        return NOT_KNOWN
    moment = parse_moment(value)
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def exact_time(value: datetime | str | None) -> str:
    """Write a moment for operators, to the second and with its zone: ``2026-03-12 14:05:09 UTC``."""
    if value is None or value == "":
        return NOT_KNOWN
    moment = parse_moment(value)
    if not isinstance(moment, datetime):
        return moment.isoformat()
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def machine_time(value: date | datetime | str) -> str:
    """Write a moment for the ``datetime`` of a ``time`` element: ``2026-03-12T14:05:09+00:00``.

    Whole seconds; a date stays a date. Raises ValueError as :func:`parse_moment` does.
    """
    moment = parse_moment(value)
    return moment.isoformat(timespec="seconds") if isinstance(moment, datetime) else moment.isoformat()


def long_date_or_text(text: str) -> str:
    """Write a date of somebody's record out; what is no date stays as its owner wrote it."""
    try:
        return long_date(text)
    except ValueError:
        return text


def ago(value: date | datetime | str | None, now: datetime) -> str:
    """Write the distance to ``now`` in its largest whole unit: ``3 days ago``, ``in 2 hours``.

    A date without a time counts in whole days.
    """
    if value is None or value == "":
        return NOT_KNOWN
    moment = parse_moment(value)
    if not isinstance(moment, datetime):
        return _ago_days((now.date() - moment).days)
    seconds = int((now - moment).total_seconds())
    distance = abs(seconds)
    if distance < _MINUTE_SECONDS:
        return "just now"
    if distance < _HOUR_SECONDS:
        return _directed(plural(distance // _MINUTE_SECONDS, "minute"), seconds)
    if distance < _DAY_SECONDS:
        return _directed(plural(distance // _HOUR_SECONDS, "hour"), seconds)
    days = distance // _DAY_SECONDS
    return _ago_days(days if seconds > 0 else -days)


def _ago_days(days: int) -> str:
    near = {0: "today", 1: "yesterday", -1: "tomorrow"}
    if days in near:
        return near[days]
    distance = abs(days)
    if distance < 2 * _MONTH_DAYS:
        return _directed(plural(distance, "day"), days)
    if distance < 2 * _YEAR_DAYS:
        return _directed(plural(distance // _MONTH_DAYS, "month"), days)
    return _directed(plural(distance // _YEAR_DAYS, "year"), days)


def _directed(distance: str, sign: int) -> str:
    return f"{distance} ago" if sign > 0 else f"in {distance}"


def number(value: float | None, decimals_max: int = 2) -> str:
    """Group thousands and keep at most ``decimals_max`` decimals: ``12,345.6``."""
    if value is None:
        return NOT_KNOWN
    if isinstance(value, int):
        return f"{value:,}"
    text = f"{value:,.{decimals_max}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def compact_number(value: float) -> str:
    """Shorten an amount to at most five characters for a chart label: ``950``, ``1.2k``, ``34M``."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        # 999.5 of a smaller unit would round to four digits, so the larger unit starts there.
        if abs(value) >= size * 0.9995:
            scaled = value / size
            return f"{number(round(scaled, 1 if abs(scaled) < 9.95 else 0), 1)}{unit}"
    return number(float(value), 1 if abs(value) >= 1 else 2)


def size(value: float | None) -> str:
    """Write a size in decimal units (SI, as file managers do): ``3.4 MB``."""
    if value is None:
        return NOT_KNOWN
    amount = float(value)
    unit = _BYTE_UNITS[0]
    for unit in _BYTE_UNITS:
        if abs(amount) < 1000 or unit == _BYTE_UNITS[-1]:
            break
        amount /= 1000
    if unit == "bytes":
        return plural(int(amount), "byte")
    return f"{number(amount, 1)} {unit}"


def percent(value: float | None, decimals_max: int = 0) -> str:
    """Write a fraction (0 to 1) as a percentage: ``82%``. Only 1 itself is written as 100 and 0 as 0."""
    if value is None:
        return NOT_KNOWN
    hundredths = value * 100
    step = 10**-decimals_max
    # Rounding must not claim completeness or absence that is not there.
    if 0 < value < 1:
        hundredths = min(max(hundredths, step), 100 - step)
    return f"{number(float(hundredths), decimals_max)}%"


def known(value: object) -> object:
    """Give the value, or "not known" for None and blank text. Zero is a value."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return NOT_KNOWN
    return value


def plural(count: int | None, singular: str, plural_form: str = "") -> str:
    """Write a count with its noun: ``1 dataset``, ``3 datasets``, ``2 agencies``."""
    if count is None:
        return NOT_KNOWN
    if count == 1:
        return f"1 {singular}"
    return f"{number(count)} {plural_form or singular + 's'}"
