"""How often a dataset promises to be updated: ISO 8601 repeating intervals and the words people use for them.

Pure, standard library only. DCAT-US 1.1 (``accrualPeriodicity``) allows ``irregular`` or ``R/P…``; real
feeds also carry English words, Dublin Core and European frequency URIs, ISO 19115 codes and forms such as
``Annual (R/P1Y)``.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

CadenceKind = Literal["periodic", "irregular", "historical", "continuous"]

DAYS_PER_YEAR = 365.25
DAYS_PER_MONTH = DAYS_PER_YEAR / 12
TEXT_CHARACTERS_MAX = 200
"""A longer text is not a frequency; it is not looked at."""
PERIOD_MAX = timedelta(days=200 * DAYS_PER_YEAR)
"""A promise further apart than this is a slip of the pen."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """A promise of updates.

    ``period`` is set only for ``periodic``. ``historical`` data is never updated again and never grows stale;
    ``continuous`` is a stream (``R/PT1S``). ``business_days`` means that days off do not count.
    """

    period: timedelta | None
    kind: CadenceKind
    business_days: bool = False


_NUMBER = r"\d{1,6}(?:\.\d{1,6})?"
_DURATION = (
    rf"P(?=[\dT])(?:(?P<years>{_NUMBER})Y)?(?:(?P<months>{_NUMBER})M)?(?:(?P<weeks>{_NUMBER})W)?"
    rf"(?:(?P<days>{_NUMBER})D)?"
    rf"(?:T(?=\d)(?:(?P<hours>{_NUMBER})H)?(?:(?P<minutes>{_NUMBER})M)?(?:(?P<seconds>{_NUMBER})S)?)?"
)
_REPEATING = re.compile(rf"(?<![A-Z0-9])(?:R\d{{0,6}}/)?(?P<duration>{_DURATION})(?![A-Z0-9])", re.IGNORECASE)

_HISTORICAL_WORDS = frozenset(
    {
        "never",
        "noupdates",
        "onetime",
        "once",
        "static",
        "archived",
        "historical",
        "historicalonly",
        "notplanned",
        "notupdated",
        "notupdatedhistoricalonly",
        "nolongerupdated",
        "discontinued",
    }
)

_BUSINESS_DAY_WORDS = frozenset(
    {
        "everyweekday",
        "weekdays",
        "everybusinessday",
        "everyworkingday",
        "businessdays",
    }
)

# Data.gov's term table (project-open-data.cio.gov, ISO 8601 guidance), ISO 19115 MD_MaintenanceFrequencyCode,
# the Dublin Core and European Union frequency vocabularies, and the terms of state portals. Keys are words
# without case, spaces and punctuation. "Biannual", "biweekly" and "bimonthly" are ambiguous in English: the
# reading is that of those vocabularies.
_ISO_FOR_WORDS = {
    "decennial": "R/P10Y",
    "everytenyears": "R/P10Y",
    "every10years": "R/P10Y",
    "quinquennial": "R/P5Y",
    "everyfiveyears": "R/P5Y",
    "every5years": "R/P5Y",
    "quadrennial": "R/P4Y",
    "everyfouryears": "R/P4Y",
    "triennial": "R/P3Y",
    "everythreeyears": "R/P3Y",
    "every3years": "R/P3Y",
    "biennial": "R/P2Y",
    "biennially": "R/P2Y",
    "everytwoyears": "R/P2Y",
    "every2years": "R/P2Y",
    "everyotheryear": "R/P2Y",
    "annual": "R/P1Y",
    "annually": "R/P1Y",
    "yearly": "R/P1Y",
    "everyyear": "R/P1Y",
    "onceayear": "R/P1Y",
    "semiannual": "R/P6M",
    "semiannually": "R/P6M",
    "biannual": "R/P6M",
    "biannually": "R/P6M",
    "halfyearly": "R/P6M",
    "everysixmonths": "R/P6M",
    "every6months": "R/P6M",
    "twiceayear": "R/P6M",
    "twiceperyear": "R/P6M",
    "twiceyearly": "R/P6M",
    "annual2": "R/P6M",
    "threetimesayear": "R/P4M",
    "threetimesperyear": "R/P4M",
    "annual3": "R/P4M",
    "quarterly": "R/P3M",
    "everyquarter": "R/P3M",
    "everythreemonths": "R/P3M",
    "every3months": "R/P3M",
    "bimonthly": "R/P2M",
    "everytwomonths": "R/P2M",
    "every2months": "R/P2M",
    "everyothermonth": "R/P2M",
    "monthly": "R/P1M",
    "everymonth": "R/P1M",
    "onceamonth": "R/P1M",
    "semimonthly": "R/P0.5M",
    "twiceamonth": "R/P0.5M",
    "twicemonthly": "R/P0.5M",
    "monthly2": "R/P0.5M",
    "threetimesamonth": "R/P0.33M",
    "monthly3": "R/P0.33M",
    "biweekly": "R/P2W",
    "fortnightly": "R/P2W",
    "everyfortnight": "R/P2W",
    "everytwoweeks": "R/P2W",
    "every2weeks": "R/P2W",
    "everyotherweek": "R/P2W",
    "weekly": "R/P1W",
    "everyweek": "R/P1W",
    "onceaweek": "R/P1W",
    "semiweekly": "R/P3.5D",
    "twiceaweek": "R/P3.5D",
    "twiceweekly": "R/P3.5D",
    "weekly2": "R/P3.5D",
    "threetimesaweek": "R/P0.33W",
    "weekly3": "R/P0.33W",
    "daily": "R/P1D",
    "everyday": "R/P1D",
    "onceaday": "R/P1D",
    "nightly": "R/P1D",
    "twiceaday": "R/PT12H",
    "twicedaily": "R/PT12H",
    "daily2": "R/PT12H",
    "hourly": "R/PT1H",
    "everyhour": "R/PT1H",
    "continuous": "R/PT1S",
    "continuously": "R/PT1S",
    "continual": "R/PT1S",
    "continually": "R/PT1S",
    "updatecont": "R/PT1S",
    "cont": "R/PT1S",
    "realtime": "R/PT1S",
    "nearrealtime": "R/PT1S",
    "irregular": "irregular",
    "irreg": "irregular",
    "asneeded": "irregular",
    "asrequired": "irregular",
    "adhoc": "irregular",
    "other": "irregular",
    "occasionally": "irregular",
    "sporadic": "irregular",
    "varies": "irregular",
    **dict.fromkeys(_HISTORICAL_WORDS, "irregular"),
    **dict.fromkeys(_BUSINESS_DAY_WORDS, "R/P1D"),
}

_WORDS_FOR_ISO = {
    "P1Y": "every year",
    "P6M": "every six months",
    "P4M": "three times a year",
    "P3M": "every three months",
    "P1M": "every month",
    "P0.5M": "twice a month",
    "P0.33M": "three times a month",
    "P1W": "every week",
    "P0.5W": "twice a week",
    "P0.33W": "three times a week",
    "P1D": "every day",
    "PT1H": "every hour",
    "PT1M": "every minute",
}


def _key(text: str) -> str:
    """``http://purl.org/cld/freq/threeTimesAYear`` and ``Three times a year`` are one key."""
    tail = text.rstrip("/# ").rsplit("/", 1)[-1] if "://" in text else text
    return re.sub(r"[^a-z0-9]", "", tail.lower())


def _period(match: re.Match[str]) -> timedelta | None:
    """Length of the duration; None when it is zero or beyond :data:`PERIOD_MAX`."""
    amounts = {
        unit: float(value) for unit, value in match.groupdict(default="0").items() if unit != "duration"
    }
    days = (
        amounts["years"] * DAYS_PER_YEAR
        + amounts["months"] * DAYS_PER_MONTH
        + amounts["weeks"] * 7
        + amounts["days"]
    )
    seconds = amounts["hours"] * 3600 + amounts["minutes"] * 60 + amounts["seconds"]
    if days * 86_400 + seconds > PERIOD_MAX.total_seconds():
        return None
    return timedelta(days=days, seconds=seconds) or None


def english_to_iso(text: str | None) -> str | None:
    """The DCAT-US 1.1 form of a frequency: ``R/P…`` or ``irregular``; None when the text names no frequency.

    A text that already holds an ISO 8601 duration (``P1Y``, ``Annual (R/P1Y)``) gives that one, normalised.
    """
    if text is None or len(text) > TEXT_CHARACTERS_MAX:
        return None
    known = _ISO_FOR_WORDS.get(_key(text))
    if known is not None:
        return known
    match = _REPEATING.search(text)
    if match is not None and _period(match) is not None:
        return f"R/{match['duration'].upper()}"
    return _ISO_FOR_WORDS.get(_key(text.split("(", 1)[0])) if "(" in text else None


def parse_periodicity(text: str | None) -> Cadence | None:
    """The cadence that ``text`` promises, or None when it promises nothing that can be understood.

    Words say more than ISO 8601 can: ``Every weekday`` has ``business_days``, ``Never`` is ``historical``.
    """
    iso = english_to_iso(text)
    if text is None or iso is None:
        return None
    keys = {_key(text), _key(text.split("(", 1)[0])}
    if iso == "irregular":
        return Cadence(period=None, kind="historical" if keys & _HISTORICAL_WORDS else "irregular")
    if iso == "R/PT1S":
        return Cadence(period=None, kind="continuous")
    match = _REPEATING.fullmatch(iso)
    period = _period(match) if match is not None else None
    return (
        None
        if period is None
        else Cadence(period, "periodic", business_days=bool(keys & _BUSINESS_DAY_WORDS))
    )


def _cadence_table() -> dict[timedelta, str]:
    table: dict[timedelta, str] = {}
    for duration, words in _WORDS_FOR_ISO.items():
        match = _REPEATING.fullmatch(f"R/{duration}")
        period = _period(match) if match is not None else None
        if period is not None:
            table[period] = words
    return table


_WORDS_FOR_PERIOD = _cadence_table()


def describe(cadence: Cadence) -> str:
    """The promise in words that complete "updated": ``every week``, ``every 10 years``, ``continuously``."""
    if cadence.kind == "irregular":
        return "irregularly"
    if cadence.kind == "historical":
        return "never again (historical data)"
    if cadence.kind == "continuous" or cadence.period is None:
        return "continuously"
    if cadence.business_days and cadence.period == timedelta(days=1):
        return "every weekday"
    words = _WORDS_FOR_PERIOD.get(cadence.period)
    return words if words is not None else _describe_period(cadence.period)


def _describe_period(period: timedelta) -> str:
    """The largest unit that the period is a whole number of, or days or seconds with one decimal."""
    days = period / timedelta(days=1)
    for unit, unit_days in (("year", DAYS_PER_YEAR), ("month", DAYS_PER_MONTH), ("week", 7.0), ("day", 1.0)):
        count = days / unit_days
        if count > 0.99 and abs(count - round(count)) < 0.001:
            return f"every {unit}" if round(count) == 1 else f"every {round(count)} {unit}s"
    if days > 1:
        return f"every {days:.1f} days"
    for unit, unit_seconds in (("hour", 3600), ("minute", 60)):
        count = period.total_seconds() / unit_seconds
        if count >= 1:
            return f"every {unit}" if count == 1 else f"every {count:g} {unit}s"
    return f"every {period.total_seconds():g} seconds"
