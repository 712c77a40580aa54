"""One round of measurement on one dataset: what is found, what changes, what is told. All of it is pure.

There are two kinds of round. The record's own (description, freshness) is cheap and made in the consumer;
that of the data follows a fetch. Both judge against the dataset's baseline.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.quality.domain.alerts import Alert, AlertKey, plan_alerts
from services.quality.domain.comparison import compare_profiles, compare_with_dictionary, next_baseline
from services.quality.domain.completeness import (
    CompletenessReport,
    completeness_findings,
    judge_completeness,
)
from services.quality.domain.findings import AlertKind, Evidence, Finding
from services.quality.domain.freshness import (
    BusinessCalendar,
    Freshness,
    dated_reason,
    freshness_findings,
    judge_freshness,
    learn_cadence,
)
from services.quality.domain.profile import Profile
from services.quality.domain.scores import Measurements, QualityScore, score_quality
from services.quality.domain.standing import ROW_COUNTS_MAX, FileStanding, Standing
from services.quality.domain.volume import RowCount
from shared.datasets.frequency import parse_periodicity

RECORD_KINDS: frozenset[AlertKind] = frozenset({"metadata-degraded", "freshness-stale"})
LINK_KINDS: frozenset[AlertKind] = frozenset({"link-broken"})
FILE_KINDS: frozenset[AlertKind] = LINK_KINDS | {"data-unreadable"}
PROFILE_KINDS: frozenset[AlertKind] = FILE_KINDS | {
    "row-count-dropped",
    "row-count-risen",
    "schema-broken",
    "schema-changed",
    "dictionary-broken",
    "nulls-risen",
}
_VOLUME_KINDS = ("row-count-dropped", "row-count-risen")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be said of a dataset now. ``freshness.reason`` holds the age at the time of judging."""

    completeness: CompletenessReport
    freshness: Freshness
    score: QualityScore


@dataclass(frozen=True, slots=True)
class Round:
    """The outcome of one round: the new standing, and the alerts that changed.

    ``judgement`` is set where the round made the one that holds for the new standing.
    """

    standing: Standing
    alerts: tuple[Alert, ...]
    file: FileStanding | None = None
    judgement: Judgement | None = None


@dataclass(frozen=True, slots=True)
class LinkBroken:
    """The file could not be had, often enough to believe it. ``reason`` is a whole sentence."""

    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The file came and cannot be read as a table. ``reason`` is a whole sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The file is the one that was profiled last."""


@dataclass(frozen=True, slots=True)
class Profiled:
    """The file was read. The last three make the next fetch conditional."""

    profile: Profile
    url: str
    etag: str | None = None
    last_modified: str | None = None


FileOutcome = LinkBroken | Unreadable | Unchanged | Profiled


def judge(
    standing: Standing, file: FileStanding | None, now: datetime, calendar: BusinessCalendar
) -> Judgement:
    """Judge description, freshness and the whole, from what is known now."""
    completeness = judge_completeness(standing.dataset)
    freshness = judge_freshness(
        standing.dataset.data_updated_at,
        parse_periodicity(standing.dataset.accrual_periodicity),
        now,
        calendar=calendar,
        learned=learn_cadence(standing.updated_at),
    )
    profile = file.latest if file is not None else None
    dictionary = standing.dataset.columns
    score = score_quality(
        Measurements(
            metadata=completeness,
            freshness=replace(freshness, reason=dated_reason(freshness, standing.dataset.data_updated_at)),
            profile=profile,
            dictionary_findings=compare_with_dictionary(profile, dictionary)
            if profile is not None and dictionary
            else None,
            dictionary_column_count=len(dictionary),
            link_works=standing.link_works,
        )
    )
    return Judgement(completeness, freshness, score)


def measure_record(
    standing: Standing,
    file: FileStanding | None,
    alerts: Mapping[AlertKey, Alert],
    now: datetime,
    calendar: BusinessCalendar,
) -> Round:
    """Measure the description and the freshness; the data dictionary too, where a profile is there."""
    judgement = judge(standing, file, now, calendar)
    baseline = standing.metadata_baseline or judgement.completeness
    findings = [
        *completeness_findings(baseline, judgement.completeness),
        *freshness_findings(judgement.freshness, now),
    ]
    measured = set(RECORD_KINDS)
    if file is not None and file.latest is not None:
        measured.add("dictionary-broken")
        findings += compare_with_dictionary(file.latest, standing.dataset.columns)
    improved = judgement.completeness.score >= baseline.score
    after = replace(
        standing,
        metadata_baseline=judgement.completeness if improved else baseline,
        next_check_at=judgement.freshness.next_check_at,
    )
    return replace(_settled(after, alerts, findings, measured, now), judgement=judgement)


def measure_file(
    standing: Standing,
    file: FileStanding | None,
    alerts: Mapping[AlertKey, Alert],
    outcome: FileOutcome,
    now: datetime,
) -> Round:
    """Take in what became of a fetch of the data file."""
    known = file or FileStanding()
    match outcome:
        case LinkBroken():
            broken = replace(standing, link_works=False)
            return _settled(broken, alerts, [_link_broken(outcome)], LINK_KINDS, now)
        case Unreadable():
            # Without the tags of the last readable file the next fetch is a full one.
            forgotten = replace(known, etag=None, last_modified=None)
            works = replace(standing, link_works=True)
            return _settled(works, alerts, [_unreadable(outcome)], FILE_KINDS, now, forgotten)
        case Unchanged():
            return _settled(replace(standing, link_works=True), alerts, [], FILE_KINDS, now, known)
        case Profiled():
            return _profiled(replace(standing, link_works=True), known, alerts, outcome, now)


def leave_file(standing: Standing, alerts: Mapping[AlertKey, Alert], now: datetime) -> Round:
    """No file is to be looked at any more: what was open about it is over, and a next one begins anew."""
    after = _settled(replace(standing, link_works=None), alerts, [], PROFILE_KINDS, now)
    forgotten = replace(
        after.standing,
        known_at_baseline=frozenset(
            key for key in after.standing.known_at_baseline if key.kind not in PROFILE_KINDS
        ),
        baselined=after.standing.baselined - PROFILE_KINDS,
    )
    return Round(forgotten, after.alerts)


def accept_as_baseline(
    standing: Standing,
    file: FileStanding | None,
    alerts: Mapping[AlertKey, Alert],
    now: datetime,
    calendar: BusinessCalendar,
) -> Round:
    """A person confirms that the dataset is meant to be as it is now: this is its baseline from here on."""
    accepted = file
    changed: tuple[Alert, ...] = ()
    after = replace(standing, metadata_baseline=None)
    if file is not None and file.latest is not None:
        counted_row = RowCount(file.latest.profiled_at, file.latest.row_count)
        accepted = replace(file, baseline=file.latest, row_counts=(counted_row,))
        compared = PROFILE_KINDS - FILE_KINDS - {"dictionary-broken"}
        settled = _settled(after, alerts, [], compared, now)
        after, changed = settled.standing, settled.alerts
    record = measure_record(after, accepted, alerts, now, calendar)
    return Round(record.standing, (*changed, *record.alerts), accepted)


def _profiled(
    standing: Standing,
    file: FileStanding,
    alerts: Mapping[AlertKey, Alert],
    outcome: Profiled,
    now: datetime,
) -> Round:
    profile = outcome.profile
    baseline = file.baseline or profile
    compared = compare_profiles(baseline, profile, file.row_counts)
    row_counts = file.row_counts
    if not any(finding.kind in _VOLUME_KINDS for finding in compared):
        row_counts = (*row_counts, RowCount(profile.profiled_at, profile.row_count))[-ROW_COUNTS_MAX:]
    after = FileStanding(
        baseline=next_baseline(baseline, profile, compared),
        latest=profile,
        row_counts=row_counts,
        url=outcome.url,
        etag=outcome.etag,
        last_modified=outcome.last_modified,
    )
    findings = [*compared, *compare_with_dictionary(profile, standing.dataset.columns)]
    return _settled(standing, alerts, findings, PROFILE_KINDS, now, after)


def _settled(
    standing: Standing,
    alerts: Mapping[AlertKey, Alert],
    findings: Sequence[Finding],
    measured: Collection[AlertKind],
    now: datetime,
    file: FileStanding | None = None,
) -> Round:
    """Advance the alerts. Kinds that are looked at for the first time make their part of the baseline."""
    changed: list[Alert] = []
    known = standing.known_at_baseline
    seen = frozenset(measured) & standing.baselined
    for kinds, is_first in ((seen, False), (frozenset(measured) - seen, True)):
        if not kinds:
            continue
        plan = plan_alerts(
            standing.dataset.dataset_id,
            {key: alert for key, alert in alerts.items() if key.kind in kinds},
            [finding for finding in findings if finding.kind in kinds],
            now,
            measured=kinds,
            known_at_baseline=None if is_first else known,
        )
        changed += plan.changed
        known = known | plan.known_at_baseline if is_first else plan.known_at_baseline
    after = replace(standing, known_at_baseline=known, baselined=standing.baselined | frozenset(measured))
    return Round(after, tuple(changed), file)


def _link_broken(outcome: LinkBroken) -> Finding:
    return Finding(
        kind="link-broken",
        severity="error",
        cause=f"The data can no longer be downloaded. {outcome.reason}",
        next_act="Restore the file at its address, or correct the download address of the dataset.",
        evidence=(Evidence(outcome.url, "the data file", outcome.reason),),
    )


def _unreadable(outcome: Unreadable) -> Finding:
    return Finding(
        kind="data-unreadable",
        severity="error",
        cause=f"The data file cannot be read as a table. {outcome.reason}",
        next_act="Publish the file again as CSV in UTF-8, with one header row.",
        evidence=(Evidence("data file", "a table", outcome.reason),),
    )
