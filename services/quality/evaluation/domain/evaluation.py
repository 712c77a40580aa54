"""One evaluation of one dataset: what is found, what changes, what is told. All of it is pure.

There are two kinds. The record's own (description, freshness) is cheap and made in the consumer; that of the
data follows a fetch. Both judge against the dataset's baseline.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.quality.alerts.domain.alerts import Alert, AlertKey, plan_alerts
from services.quality.alerts.domain.findings import AlertKind, Finding, FindingEvidence
from services.quality.evaluation.domain.comparison import (
    compare_profiles,
    compare_with_dictionary,
    next_baseline,
)
from services.quality.evaluation.domain.completeness import (
    CompletenessReport,
    completeness_findings,
    judge_completeness,
)
from services.quality.evaluation.domain.dataset_quality import ROW_COUNTS_MAX, DatasetQuality, FileBaseline
from services.quality.evaluation.domain.freshness import (
    BusinessCalendar,
    FreshnessJudgment,
    dated_reason,
    freshness_findings,
    judge_freshness,
    learn_cadence,
)
from services.quality.evaluation.domain.scores import QualityScore, ScoreInputs, score_quality
from services.quality.evaluation.domain.volume import RowCount
from services.quality.profiling.domain.jobs import FileOutcome, LinkBroken, Profiled, Unchanged, Unreadable
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
class Judgment:
    """What is to be said of a dataset now. ``freshness.reason`` holds the age at the time of judging."""

    completeness: CompletenessReport
    freshness: FreshnessJudgment
    score: QualityScore


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome of one evaluation: the new state, and the alerts that changed.

    ``judgment`` is set where the evaluation made the one that holds for the new state.
    """

    quality: DatasetQuality
    alerts: tuple[Alert, ...]
    file: FileBaseline | None = None
    judgment: Judgment | None = None


def judge(
    quality: DatasetQuality, file: FileBaseline | None, now: datetime, calendar: BusinessCalendar
) -> Judgment:
    """Judge description, freshness and the whole, from what is known now."""
    completeness = judge_completeness(quality.dataset)
    freshness = judge_freshness(
        quality.dataset.data_updated_at,
        parse_periodicity(quality.dataset.accrual_periodicity),
        now,
        calendar=calendar,
        learned=learn_cadence(quality.updated_at),
    )
    profile = file.latest if file is not None else None
    dictionary = quality.dataset.columns
    score = score_quality(
        ScoreInputs(
            metadata=completeness,
            freshness=replace(freshness, reason=dated_reason(freshness, quality.dataset.data_updated_at)),
            profile=profile,
            dictionary_findings=compare_with_dictionary(profile, dictionary)
            if profile is not None and dictionary
            else None,
            dictionary_column_count=len(dictionary),
            link_works=quality.link_works,
        )
    )
    return Judgment(completeness, freshness, score)


def measure_record(
    quality: DatasetQuality,
    file: FileBaseline | None,
    alerts: Mapping[AlertKey, Alert],
    now: datetime,
    calendar: BusinessCalendar,
) -> Evaluation:
    """Measure the description and the freshness; the data dictionary too, where a profile is there."""
    judgment = judge(quality, file, now, calendar)
    baseline = quality.metadata_baseline or judgment.completeness
    findings = [
        *completeness_findings(baseline, judgment.completeness),
        *freshness_findings(judgment.freshness, now),
    ]
    measured = set(RECORD_KINDS)
    if file is not None and file.latest is not None:
        measured.add("dictionary-broken")
        findings += compare_with_dictionary(file.latest, quality.dataset.columns)
    improved = judgment.completeness.score >= baseline.score
    after = replace(
        quality,
        metadata_baseline=judgment.completeness if improved else baseline,
        next_check_at=judgment.freshness.next_check_at,
    )
    return replace(_settled(after, alerts, findings, measured, now), judgment=judgment)


def measure_file(
    quality: DatasetQuality,
    file: FileBaseline | None,
    alerts: Mapping[AlertKey, Alert],
    outcome: FileOutcome,
    now: datetime,
) -> Evaluation:
    """Take in what became of a fetch of the data file."""
    known = file or FileBaseline()
    match outcome:
        case LinkBroken():
            broken = replace(quality, link_works=False)
            return _settled(broken, alerts, [_link_broken(outcome)], LINK_KINDS, now)
        case Unreadable():
            # Without the tags of the last readable file the next fetch is a full one.
            forgotten = replace(known, etag=None, last_modified=None)
            works = replace(quality, link_works=True)
            return _settled(works, alerts, [_unreadable(outcome)], FILE_KINDS, now, forgotten)
        case Unchanged():
            return _settled(replace(quality, link_works=True), alerts, [], FILE_KINDS, now, known)
        case Profiled():
            return _profiled(replace(quality, link_works=True), known, alerts, outcome, now)


def leave_file(quality: DatasetQuality, alerts: Mapping[AlertKey, Alert], now: datetime) -> Evaluation:
    """No file is to be looked at any more: what was open about it is over, and a next one begins anew."""
    after = _settled(replace(quality, link_works=None), alerts, [], PROFILE_KINDS, now)
    forgotten = replace(
        after.quality,
        known_at_baseline=frozenset(
            key for key in after.quality.known_at_baseline if key.kind not in PROFILE_KINDS
        ),
        baselined=after.quality.baselined - PROFILE_KINDS,
    )
    return Evaluation(forgotten, after.alerts)


def accept_as_baseline(
    quality: DatasetQuality,
    file: FileBaseline | None,
    alerts: Mapping[AlertKey, Alert],
    now: datetime,
    calendar: BusinessCalendar,
) -> Evaluation:
    """A person confirms that the dataset is meant to be as it is now: this is its baseline from here on."""
    accepted = file
    changed: tuple[Alert, ...] = ()
    after = replace(quality, metadata_baseline=None)
    if file is not None and file.latest is not None:
        counted_row = RowCount(file.latest.profiled_at, file.latest.row_count)
        accepted = replace(file, baseline=file.latest, row_counts=(counted_row,))
        compared = PROFILE_KINDS - FILE_KINDS - {"dictionary-broken"}
        settled = _settled(after, alerts, [], compared, now)
        after, changed = settled.quality, settled.alerts
    record = measure_record(after, accepted, alerts, now, calendar)
    return Evaluation(record.quality, (*changed, *record.alerts), accepted)


def _profiled(
    quality: DatasetQuality,
    file: FileBaseline,
    alerts: Mapping[AlertKey, Alert],
    outcome: Profiled,
    now: datetime,
) -> Evaluation:
    profile = outcome.profile
    baseline = file.baseline or profile
    compared = compare_profiles(baseline, profile, file.row_counts)
    row_counts = file.row_counts
    if not any(finding.kind in _VOLUME_KINDS for finding in compared):
        row_counts = (*row_counts, RowCount(profile.profiled_at, profile.row_count))[-ROW_COUNTS_MAX:]
    after = FileBaseline(
        baseline=next_baseline(baseline, profile, compared),
        latest=profile,
        row_counts=row_counts,
        url=outcome.url,
        etag=outcome.etag,
        last_modified=outcome.last_modified,
    )
    findings = [*compared, *compare_with_dictionary(profile, quality.dataset.columns)]
    return _settled(quality, alerts, findings, PROFILE_KINDS, now, after)


def _settled(
    quality: DatasetQuality,
    alerts: Mapping[AlertKey, Alert],
    findings: Sequence[Finding],
    measured: Collection[AlertKind],
    now: datetime,
    file: FileBaseline | None = None,
) -> Evaluation:
    """Advance the alerts. Kinds that are looked at for the first time make their part of the baseline."""
    changed: list[Alert] = []
    known = quality.known_at_baseline
    seen = frozenset(measured) & quality.baselined
    for kinds, is_first in ((seen, False), (frozenset(measured) - seen, True)):
        if not kinds:
            continue
        plan = plan_alerts(
            quality.dataset.dataset_id,
            {key: alert for key, alert in alerts.items() if key.kind in kinds},
            [finding for finding in findings if finding.kind in kinds],
            now,
            measured=kinds,
            known_at_baseline=None if is_first else known,
        )
        changed += plan.changed
        known = known | plan.known_at_baseline if is_first else plan.known_at_baseline
    after = replace(quality, known_at_baseline=known, baselined=quality.baselined | frozenset(measured))
    return Evaluation(after, tuple(changed), file)


def _link_broken(outcome: LinkBroken) -> Finding:
    return Finding(
        kind="link-broken",
        severity="error",
        cause=f"The data can no longer be downloaded. {outcome.reason}",
        next_act="Restore the file at its address, or correct the download address of the dataset.",
        evidence=(FindingEvidence(outcome.url, "the data file", outcome.reason),),
    )


def _unreadable(outcome: Unreadable) -> Finding:
    return Finding(
        kind="data-unreadable",
        severity="error",
        cause=f"The data file cannot be read as a table. {outcome.reason}",
        next_act="Publish the file again as CSV in UTF-8, with one header row.",
        evidence=(FindingEvidence("data file", "a table", outcome.reason),),
    )
