"""What a dataset's page says: lights with reasons, ways to the data, rows, columns, use and history."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from services.catalog.changes_feed.domain.history import ChangeView
from services.catalog.datasets.domain.condition import ConditionStatus, alert_status
from services.catalog.datasets.domain.entry import formats_of
from services.catalog.datasets.domain.views import AlertView, DatasetView, UseOfDay, UseOfMonth
from services.catalog.datasets.pages.lights import Light, lights_of
from services.catalog.datasets.reader.words import (
    STATUS_KINDS,
    access_words,
    alert_words,
    as_sentence,
    field_words,
    first_sentence,
    frequency_words,
    is_web_address,
    license_words,
    moment_words,
    notified_words,
)
from services.catalog.dcat.domain.export import Installation
from shared.events.catalog import DatasetState, Distribution
from shared.events.quality import ColumnProfiled, Measurement
from shared.web.charts import Point, Score, month_points
from shared.web.elements import Kind
from shared.web.wording import long_date, plural

__all__ = ["DatasetPage", "Way", "dataset_page", "ways_to_get"]

FORMAT_CHARACTERS_MAX = 30

_SEVERITY_WORDS: dict[ConditionStatus, str] = {
    "problem": "Serious",
    "attention": "Look soon",
    "notice": "To know",
}
_NUMBER_TYPES = ("integer", "number")
_RANGED_TYPES = ("integer", "number", "date", "datetime", "time", "duration")


class AlertLine(NamedTuple):
    """One open alert in words: what, since when, what was found, and who knows of it."""

    kind: Kind
    word: str
    title: str
    since: datetime
    cause: str
    told: str


class Way(NamedTuple):
    """One way to the data. ``number`` is its place among the record's; ``is_file``: it downloads."""

    number: int
    title: str
    name: str
    detail: str
    host: str
    address: str
    is_file: bool


class ColumnRow(NamedTuple):
    """One column: what the dictionary says and what the rows say."""

    name: str
    title: str | None
    meaning: str | None
    type: str | None
    empty_share: float | None
    span: str | None


class HistoryRow(NamedTuple):
    """One change in words."""

    happened_at: datetime
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class DatasetPage:
    """Everything that is worked out for the page beyond the view itself."""

    sentence: str
    paragraphs: Sequence[str]
    lights: Sequence[Light]
    alerts: Sequence[AlertLine]
    ways: Sequence[Way]
    formats: str
    facts: Sequence[tuple[str, str | None]]
    profile: Measurement | None
    numeric_columns: frozenset[int]
    columns: Sequence[ColumnRow]
    months: Sequence[Point]
    use_finding: str
    days: Sequence[Point]
    day_rows: Sequence[tuple[str, int, int, int]]
    totals: UseOfDay | None
    scores: Sequence[Score]
    score_finding: str
    history: Sequence[HistoryRow]
    citation: str
    question_href: str
    report_href: str
    mail_address: str


def dataset_page(
    view: DatasetView, installation: Installation, installation_name: str, now: datetime
) -> DatasetPage:
    """Work the page out."""
    state = view.state
    sentence = first_sentence(state.description)
    paragraphs = [line.strip() for line in state.description.splitlines() if line.strip()]
    profile = view.measurements.get("profile")
    has_rows = profile is not None and bool(profile.preview_header) and state.access_level == "public"
    months = _months(view.use.months, state.registered_at, now)
    return DatasetPage(
        sentence=sentence,
        paragraphs=() if " ".join(paragraphs) == sentence else paragraphs,
        lights=lights_of(view),
        alerts=[_alert(alert) for alert in view.alerts],
        ways=ways_to_get(state),
        formats=", ".join(formats_of(state)),
        facts=_facts(view),
        profile=profile if has_rows else None,
        numeric_columns=_numeric_columns(profile),
        columns=_columns(state, profile),
        months=months,
        use_finding=_use_finding(months),
        days=[
            Point(f"{day.day.day} {day.day:%b}", _uses(day), full_label=long_date(day.day))
            for day in view.use.days
        ],
        day_rows=[
            (long_date(day.day), day.views, day.downloads, day.api_calls) for day in reversed(view.use.days)
        ],
        totals=_total(view.use.days),
        scores=_scores(view),
        score_finding=_score_finding(view),
        history=[_history_row(change) for change in view.history],
        citation=_citation(view, installation, installation_name, now),
        question_href=_mail_href(state, installation, "Question about", "My question:"),
        report_href=_mail_href(
            state, installation, "Problem with", "What is wrong, and where (row, column, link):"
        ),
        mail_address=state.contact_email or installation.contact_email,
    )


def ways_to_get(state: DatasetState) -> list[Way]:
    """List where the data is, files first. Empty for data that is not public: that has to be asked for."""
    if state.access_level != "public":
        return []
    ways = [
        way
        for number, distribution in enumerate(state.distributions)
        if (way := _way(number, distribution)) is not None
    ]
    return sorted(ways, key=lambda way: not way.is_file)


def _way(number: int, distribution: Distribution) -> Way | None:
    file, page = distribution.download_url, distribution.access_url
    address = file if is_web_address(file) else page
    if address is None or not is_web_address(address):
        return None
    file_format = (distribution.format or distribution.media_type or "")[:FORMAT_CHARACTERS_MAX]
    is_file = address == file
    host = (urlsplit(address).hostname or "").removeprefix("www.")
    verb, noun = ("Download", "File") if is_file else ("Open", "Page or service")
    return Way(
        number,
        title=f"{verb} {file_format or 'it'}",
        name=distribution.title or (f"{file_format} {noun.lower()}" if file_format else noun),
        detail=distribution.description or "",
        host=host,
        address=address,
        is_file=is_file,
    )


def _alert(alert: AlertView) -> AlertLine:
    told = notified_words(alert.notified, alert.notified_at)
    if alert.is_taken:
        told += " Somebody is handling it."
    status = alert_status(alert.severity)
    return AlertLine(
        STATUS_KINDS[status],
        _SEVERITY_WORDS[status],
        alert_words(alert.kind),
        alert.opened_at,
        as_sentence(alert.cause or ""),
        told,
    )


def _facts(view: DatasetView) -> list[tuple[str, str | None]]:
    state = view.state
    facts: list[tuple[str, str | None]] = [
        ("Agency", state.agency_name or state.publisher_name),
        (
            "Steward",
            "A steward at the agency answers for it"
            if view.has_steward
            else "None named; the agency answers for it",
        ),
        (
            "Data updated",
            moment_words(state.data_updated_at.date().isoformat()) if state.data_updated_at else None,
        ),
        ("Promised", frequency_words(state.accrual_periodicity)),
        ("First published", moment_words(state.issued)),
        ("Licence", license_words(state.license)),
        ("Who may get it", access_words(state.access_level)),
    ]
    optional = [
        ("Time covered", state.temporal),
        ("Area covered", state.spatial),
        ("Part of", state.is_part_of),
        ("Languages", ", ".join(state.languages)),
    ]
    return [*facts, *((label, value) for label, value in optional if value), ("Identifier", state.identifier)]


def _numeric_columns(profile: Measurement | None) -> frozenset[int]:
    if profile is None:
        return frozenset()
    numbers = {column.name for column in profile.columns if column.type in _NUMBER_TYPES}
    return frozenset(place for place, name in enumerate(profile.preview_header) if name in numbers)


def _columns(state: DatasetState, profile: Measurement | None) -> list[ColumnRow]:
    """Columns of the dictionary, joined with those of the rows by name; either may be missing."""
    seen = {column.name.casefold(): column for column in profile.columns} if profile else {}
    rows = [
        _column_row(
            column.name, column.title, column.description, column.type, seen.pop(column.name.casefold(), None)
        )
        for column in state.columns
    ]
    return rows + [_column_row(column.name, None, None, None, column) for column in seen.values()]


def _column_row(
    name: str, title: str | None, meaning: str | None, kind: str | None, found: ColumnProfiled | None
) -> ColumnRow:
    return ColumnRow(
        name,
        title if title != name else None,
        meaning,
        kind or (found.type if found else None),
        found.null_fraction if found else None,
        _values_words(found) if found else None,
    )


def _values_words(found: ColumnProfiled) -> str | None:
    """The range of numbers and dates; of text, how many different values and which are the commonest.

    Events of an earlier version hold the range of text as well, which is nothing to show.
    """
    if found.type in _RANGED_TYPES:
        if found.minimum is None or found.maximum is None:
            return None
        return found.minimum if found.minimum == found.maximum else f"{found.minimum} to {found.maximum}"
    if not found.distinct_estimate:
        return None
    words = plural(found.distinct_estimate, "different value")
    commonest = ", ".join(f"{one.value} ({one.rows:,})" for one in found.commonest)
    return f"{words}. Most common: {commonest}" if commonest else words


def _uses(one: UseOfDay | UseOfMonth) -> int:
    return one.views + one.downloads + one.api_calls


def _months(months: Sequence[UseOfMonth], registered_at: datetime, now: datetime) -> list[Point]:
    """The last 12 months. Before the dataset came, a month without use is not known, rather than zero."""
    if not months:
        return []
    first = registered_at.astimezone(UTC).date().replace(day=1)
    amounts: dict[date, float | None] = {
        one.month: _uses(one) if one.month >= first or _uses(one) else None for one in months
    }
    points = month_points(amounts, last_month=now.astimezone(UTC).date(), accents_last=False)
    top = max((point.value or 0.0 for point in points), default=0.0)
    return [replace(point, is_accented=bool(top) and point.value == top) for point in points]


def _use_finding(months: Sequence[Point]) -> str:
    best = [point for point in months if point.is_accented]
    if not best:
        return "No use was counted in the last 12 months"
    return f"Most used in {best[-1].name}: {plural(int(best[-1].value or 0), 'use')}"


def _total(days: Sequence[UseOfDay]) -> UseOfDay | None:
    if not days:
        return None
    return UseOfDay(
        days[-1].day,
        sum(day.views for day in days),
        sum(day.downloads for day in days),
        sum(day.api_calls for day in days),
    )


def _scores(view: DatasetView) -> list[Score]:
    overall = view.measurements.get("overall") or view.measurements.get("metadata")
    if overall is None:
        return []
    return [
        Score(one.dimension.capitalize(), one.score, as_sentence(one.reason), one.applies)
        for one in overall.dimensions
    ]


def _score_finding(view: DatasetView) -> str:
    """What stands above the scores: never a good score alone while something is open."""
    score = view.quality_score
    words = "Not measured as a whole yet" if score is None else f"Overall {round(100 * score)} of 100"
    alerts = view.open_alerts
    return words if alerts is None else f"{words}, with {plural(alerts.count, 'open problem')}"


def _history_row(change: ChangeView) -> HistoryRow:
    if change.kind == "registered":
        return HistoryRow(change.happened_at, "Came into the catalogue", "")
    if change.kind == "retired":
        return HistoryRow(change.happened_at, "Was retired", change.reason or "")
    return HistoryRow(change.happened_at, "Changed", field_words(change.changed_fields))


def _citation(view: DatasetView, installation: Installation, installation_name: str, now: datetime) -> str:
    state = view.state
    owner = state.agency_name or state.publisher_name or installation.publisher_name
    year = (state.data_updated_at or state.metadata_changed_at).year
    return (
        f"{owner} ({year}). {state.title} [Data set]. {installation_name}, record version {view.version}. "
        f"Retrieved {long_date(now)}, from {installation.dataset_url(state.dataset_id)}"
    )


def _mail_href(state: DatasetState, installation: Installation, purpose: str, prompt: str) -> str:
    """A mail to the mailbox that the record names, or to the installation's own."""
    subject = f"{purpose} the data: {state.title[:120]}"
    body = f"Dataset: {installation.dataset_url(state.dataset_id)}\n\n{prompt}\n"
    address = quote(state.contact_email or installation.contact_email, safe="@+")
    return f"mailto:{address}?subject={quote(subject)}&body={quote(body)}"
