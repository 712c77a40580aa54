"""The catalogue's codes in plain words, with the light that goes with each."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from services.catalog.datasets.domain.condition import ConditionStatus, Freshness
from services.catalog.datasets.domain.insights import NotifiedOutcome
from services.catalog.datasets.domain.views import DatasetSummary, DatasetView
from shared.datasets.frequency import describe, parse_periodicity
from shared.web.elements import Kind
from shared.web.wording import long_date, long_date_or_text

__all__ = [
    "FRESHNESS",
    "STATUS_KINDS",
    "Told",
    "access_badge",
    "access_words",
    "alert_words",
    "as_sentence",
    "condition_light",
    "field_words",
    "first_sentence",
    "frequency_words",
    "is_web_address",
    "license_words",
    "moment_words",
    "notified_words",
    "uses_words",
]

SENTENCE_CHARACTERS_MAX = 260
SENTENCE_CHARACTERS_MIN = 30

STATUS_KINDS: dict[ConditionStatus, Kind] = {
    "ok": "ok",
    "not-known": "unknown",
    "notice": "info",
    "attention": "warn",
    "problem": "bad",
}
_ACCESS = {"public": "Everyone", "restricted public": "Those who ask", "non-public": "Not public"}
_ALERTS = {
    "freshness-stale": "An update is overdue",
    "row-count-dropped": "Rows are missing",
    "row-count-risen": "Many more rows than usual",
    "schema-broken": "A column is gone or is another kind",
    "schema-changed": "The columns changed",
    "dictionary-broken": "The data does not match its dictionary",
    "nulls-risen": "More values are empty than usual",
    "data-unreadable": "The file cannot be read",
    "link-broken": "The file cannot be reached",
    "metadata-degraded": "The description lost something",
    "use-spiked": "Used much more than usual",
    "use-silent": "No use where there always was some",
}
_FIELDS = {
    "accrual_periodicity": "update frequency",
    "agency_id": "agency",
    "agency_name": "agency name",
    "contact_email": "contact address",
    "contact_name": "contact",
    "data_updated_at": "date of the data",
    "described_by": "data dictionary",
    "distributions": "ways to get the data",
    "is_part_of": "collection",
    "landing_page": "page at the source",
    "publisher_name": "publisher",
    "spatial": "area covered",
    "steward_id": "steward",
    "temporal": "time covered",
    "access_level": "who may get the data",
    "visibility": "who may see the record",
    "modified": "date of change",
    "license": "licence",
}
"""Fields whose name says too little; the others are their own word."""
_SENTENCE_END = re.compile(r"(?<![A-Z])[.!?](?=\s+[A-Z0-9“\"(]|\s*$)")


class Told(NamedTuple):
    """A state as people read it."""

    kind: Kind
    word: str


FRESHNESS: dict[Freshness, Told] = {
    "ok": Told("ok", "Up to date"),
    "late": Told("warn", "Late"),
    "stale": Told("bad", "Out of date"),
    "not-applicable": Told("neutral", "Not updated on purpose"),
    "not-known": Told("unknown", "Freshness not known"),
}


def access_words(access_level: str) -> str:
    """Say who may get the data. An unknown level is given as it is."""
    return _ACCESS.get(access_level, access_level)


def access_badge(access_level: str) -> str:
    """Mark a result whose data is not public."""
    return "Ask for it" if access_level == "restricted public" else access_words(access_level)


def alert_words(kind: str) -> str:
    """Say what an alert is about. A kind that this version does not know is given as it is."""
    return _ALERTS.get(kind, kind.replace("-", " ").capitalize())


def as_sentence(reason: str) -> str:
    """Write a reason as a sentence; blank stays blank."""
    if not reason:
        return ""
    return reason[0].upper() + reason[1:] + ("" if reason.endswith((".", "!", "?", "…")) else ".")


def condition_light(dataset: DatasetSummary | DatasetView) -> Told:
    """Say how a dataset stands, by the worst of its score, freshness and open alerts: one light, one word."""
    condition, score = dataset.condition, dataset.quality_score
    kind = STATUS_KINDS[condition.status]
    if condition.cause == "alert":
        return Told(kind, alert_words(condition.alert_kind or ""))
    if condition.cause == "score" and score is not None:
        return Told(kind, f"Quality {round(100 * score)} of 100")
    return FRESHNESS[dataset.freshness]


def field_words(fields: Sequence[str]) -> str:
    """Name fields of a dataset for people: ``title, data dictionary``."""
    named = dict.fromkeys(_FIELDS.get(field, field.replace("_", " ")) for field in fields)
    return ", ".join(named)


def first_sentence(text: str) -> str:
    """Return the first sentence, or as many words as one could have; blank for a blank text."""
    line = " ".join(text.split())
    for end in _SENTENCE_END.finditer(line):
        if SENTENCE_CHARACTERS_MIN <= end.end() <= SENTENCE_CHARACTERS_MAX:
            return line[: end.end()]
    if len(line) <= SENTENCE_CHARACTERS_MAX:
        return line
    return line[:SENTENCE_CHARACTERS_MAX].rsplit(" ", 1)[0] + " …"


def frequency_words(periodicity: str | None) -> str | None:
    """Say a promised frequency: ``Every month``; None where nothing that can be understood is promised."""
    cadence = parse_periodicity(periodicity)
    if cadence is None:
        return None
    words = describe(cadence)
    return words[0].upper() + words[1:]


def is_web_address(address: str | None) -> bool:
    """Tell whether a link may lead there: only http and https."""
    return address is not None and address.startswith(("https://", "http://"))


def license_words(license_uri: str | None) -> str | None:
    """Give a licence a short name: that of Creative Commons where it is one, else the end of its address."""
    if license_uri is None or not is_web_address(license_uri):
        return license_uri
    parts = urlsplit(license_uri)
    path = [part for part in parts.path.split("/") if part]
    if (parts.hostname or "").endswith("creativecommons.org") and len(path) >= 3:
        family, name, version = path[:3]
        if family == "licenses":
            return f"CC {name.upper()} {version}"
        return f"CC0 {version}" if name == "zero" else f"Public Domain Mark {version}"
    if (parts.hostname or "").endswith("usa.gov"):
        return "U.S. public domain"
    return "/".join([parts.hostname or "", *path]).removeprefix("www.")


def moment_words(text: str | None) -> str | None:
    """Write a date of a record out; what is no date stays as its owner wrote it."""
    return None if text is None else long_date_or_text(text)


def notified_words(notified: NotifiedOutcome, at: datetime | None) -> str:
    """Say who was notified of an alert, by what the deliveries say and no more."""
    if notified == "nobody" or at is None:
        return "Nobody was notified yet."
    if notified == "failed":
        return f"A message about it could not be delivered on {long_date(at)}."
    who = "Its data steward" if notified == "steward" else "Somebody who is responsible for it"
    return f"{who} was notified on {long_date(at)}."


def uses_words(uses_30d: int | None) -> str:
    """Say how much a dataset was used; unknown is no zero."""
    if uses_30d is None:
        return "use not known"
    return "1 use in 30 days" if uses_30d == 1 else f"{uses_30d:,} uses in 30 days"
