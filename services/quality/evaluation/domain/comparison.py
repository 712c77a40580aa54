"""Compare two profiles of one dataset, or a profile with the data dictionary: what would break a reader?

A removed column, a renamed one and a changed type break whoever reads the file; an added column does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import sqrt

from services.quality.alerts.domain.findings import EVIDENCE_MAX, Finding, FindingEvidence, counted, joined
from services.quality.evaluation.domain.volume import RowCount, volume_findings
from services.quality.profiling.domain.profile import ColumnProfile, ColumnType, Profile
from shared.events.catalog import Column

NAME_SIMILARITY_MIN = 0.7
RENAME_COLUMNS_MAX = 200
"""Beyond so many removed or added columns it is another file; no pairs are sought."""
EMPTY_RISE_MIN = 0.20
EMPTY_RISE_ERROR = 0.50
EMPTY_RISE_FROM_FULL_MIN = 0.05
FULL_RATE_MAX = 0.01
PROPORTION_Z_MAX = 3.5
EMPTY_ALERTS_MAX = 10
"""Above so many columns one finding speaks for all of them."""

_HARMLESS_CHANGES: frozenset[tuple[ColumnType, ColumnType]] = frozenset(
    {("integer", "number"), ("number", "integer"), ("date", "datetime")}
)

_TYPE_WORDS: dict[ColumnType, str] = {
    "integer": "whole numbers",
    "number": "numbers",
    "boolean": "true or false",
    "date": "dates",
    "datetime": "dates with a time",
    "time": "times of day",
    "string": "text",
    "object": "nested records",
    "array": "lists",
    "duration": "durations",
}

_DECLARED_TYPES: dict[str, ColumnType] = {
    "integer": "integer",
    "int": "integer",
    "bigint": "integer",
    "year": "integer",
    "number": "number",
    "double": "number",
    "float": "number",
    "decimal": "number",
    "money": "number",
    "percent": "number",
    "boolean": "boolean",
    "checkbox": "boolean",
    "date": "date",
    "datetime": "datetime",
    "calendar_date": "datetime",
    "fixed_timestamp": "datetime",
    "floating_timestamp": "datetime",
    "timestamp": "datetime",
    "time": "time",
    "string": "string",
    "text": "string",
}

_ACCEPTED_FOR: dict[ColumnType, frozenset[ColumnType]] = {
    "integer": frozenset({"integer"}),
    "number": frozenset({"integer", "number"}),
    "boolean": frozenset({"boolean"}),
    "date": frozenset({"date", "datetime"}),
    "datetime": frozenset({"date", "datetime"}),
    "time": frozenset({"time"}),
}


@dataclass(frozen=True, slots=True)
class _SchemaChanges:
    removed: tuple[ColumnProfile, ...]
    added: tuple[ColumnProfile, ...]
    renamed: tuple[tuple[ColumnProfile, ColumnProfile], ...]
    retyped: tuple[tuple[ColumnProfile, ColumnProfile], ...]


def compare_profiles(
    baseline: Profile, current: Profile, history: Sequence[RowCount] = ()
) -> tuple[Finding, ...]:
    """What became worse, or merely different, since ``baseline``: volume, schema, empty cells.

    Keep the baseline until :func:`next_baseline` moves it; comparing with the profile just before would call
    a loss repaired as soon as it has been seen twice.
    """
    volume = volume_findings(baseline.row_count, RowCount(current.profiled_at, current.row_count), history)
    changes = _schema_changes(baseline, current)
    if current.row_count == 0 and current.column_count == 0:
        return volume
    return (*volume, *_schema_findings(changes), *_empty_cell_findings(baseline, current))


def next_baseline(baseline: Profile, current: Profile, findings: Sequence[Finding]) -> Profile:
    """The profile to compare the next one with: ``current``, unless something in it needs a person first."""
    return baseline if any(finding.severity != "info" for finding in findings) else current


def compare_with_dictionary(profile: Profile, dictionary: Sequence[Column]) -> tuple[Finding, ...]:
    """At most one finding: declared columns that are missing, undeclared ones, and values of another type.

    Names agree without regard to case and punctuation; a column is also known by its title, as portals export
    titles as headers. Without a dictionary, or without columns in the file, there is nothing to compare.
    """
    if not dictionary or not profile.columns:
        return ()
    declared = {_key(column.name): column for column in dictionary}
    declared |= {_key(column.title): column for column in dictionary if column.title}
    found = {_key(column.name): column for column in profile.columns}
    truncated = profile.column_count > len(profile.columns)
    missing = [
        column.name
        for column in dictionary
        if not truncated and _key(column.name) not in found and _key(column.title or "") not in found
    ]
    undeclared = [column.name for key, column in found.items() if key not in declared]
    mistyped = [
        (declared[key], column)
        for key, column in found.items()
        if key in declared and not _type_agrees(declared[key].type, column, profile)
    ]
    if not (missing or undeclared or mistyped):
        return ()
    parts = [
        f"{joined(names)} {verb}"
        for names, verb in (
            (missing, "declared but not in the file"),
            (undeclared, "in the file but not declared"),
            ([column.name for _, column in mistyped], "of another type than declared"),
        )
        if names
    ]
    evidence = (
        *(FindingEvidence(name, "a column", "missing") for name in missing),
        *(
            FindingEvidence(column.name, declared_column.type or "any", column.type)
            for declared_column, column in mistyped
        ),
        *(FindingEvidence(name, "not declared", "a column") for name in undeclared),
    )
    return (
        Finding(
            kind="dictionary-broken",
            severity="warning" if missing or mistyped else "info",
            cause=f"The file and its data dictionary disagree: {'; '.join(parts)}.",
            next_act="Correct the data dictionary, or publish the file with the declared columns.",
            evidence=evidence[:EVIDENCE_MAX],
        ),
    )


def declared_type(text: str | None) -> ColumnType | None:
    """The Frictionless type for a type word of Frictionless, Socrata or SQL; None when unknown."""
    return _DECLARED_TYPES.get((text or "").strip().lower())


def _type_agrees(declared_text: str | None, column: ColumnProfile, profile: Profile) -> bool:
    declared = declared_type(declared_text)
    accepted = _ACCEPTED_FOR.get(declared) if declared is not None else None
    return accepted is None or column.type in accepted or not _has_values(column, profile)


def _has_values(column: ColumnProfile, profile: Profile) -> bool:
    return column.null_count + column.blank_count < profile.measured_row_count


def _key(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _schema_changes(baseline: Profile, current: Profile) -> _SchemaChanges:
    before = {column.name: column for column in baseline.columns}
    after = {column.name: column for column in current.columns}
    bounded = max(baseline.column_count - len(before), current.column_count - len(after)) > 0
    removed = [] if bounded else [column for name, column in before.items() if name not in after]
    added = [] if bounded else [column for name, column in after.items() if name not in before]
    renamed = _renamed(removed, added)
    gone = {old.name for old, _ in renamed}
    come = {new.name for _, new in renamed}
    retyped = [
        (old, after[name])
        for name, old in before.items()
        if name in after
        and old.type != after[name].type
        and _has_values(old, baseline)
        and _has_values(after[name], current)
    ]
    return _SchemaChanges(
        removed=tuple(column for column in removed if column.name not in gone),
        added=tuple(column for column in added if column.name not in come),
        renamed=tuple(renamed),
        retyped=tuple(retyped),
    )


def _renamed(
    removed: list[ColumnProfile], added: list[ColumnProfile]
) -> list[tuple[ColumnProfile, ColumnProfile]]:
    """Pairs of one type whose names are alike or whose values are; the most alike pair first."""
    if max(len(removed), len(added)) > RENAME_COLUMNS_MAX:
        return []
    pairs = sorted(
        (
            (_likeness(old, new), old_position, new_position)
            for old_position, old in enumerate(removed)
            for new_position, new in enumerate(added)
            if old.type == new.type
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    taken_old: set[int] = set()
    taken_new: set[int] = set()
    renamed = []
    for likeness, old_position, new_position in pairs:
        if likeness < NAME_SIMILARITY_MIN:
            break
        if old_position in taken_old or new_position in taken_new:
            continue
        taken_old.add(old_position)
        taken_new.add(new_position)
        renamed.append((removed[old_position], added[new_position]))
    return renamed


def _likeness(old: ColumnProfile, new: ColumnProfile) -> float:
    """0 to 1. The same range and number of different values is as good as the same name."""
    same_values = (
        old.distinct_estimate > 2
        and old.minimum == new.minimum
        and old.maximum == new.maximum
        and abs(old.distinct_estimate - new.distinct_estimate) <= 0.05 * old.distinct_estimate
    )
    return 1.0 if same_values else SequenceMatcher(None, _key(old.name), _key(new.name)).ratio()


def _schema_findings(changes: _SchemaChanges) -> tuple[Finding, ...]:
    breaking = [pair for pair in changes.retyped if (pair[0].type, pair[1].type) not in _HARMLESS_CHANGES]
    harmless = [pair for pair in changes.retyped if pair not in breaking]
    findings = []
    if changes.removed or changes.renamed or breaking:
        findings.append(_schema_broken(changes, breaking))
    if changes.added or harmless:
        words = [f"{joined([column.name for column in changes.added])} added"] if changes.added else []
        words += [f"{old.name} now holds {_TYPE_WORDS[new.type]}" for old, new in harmless[:5]]
        findings.append(
            Finding(
                kind="schema-changed",
                severity="info",
                cause=f"The columns changed without harm to readers: {'; '.join(words)}.",
                next_act="Describe the change in the data dictionary.",
                evidence=(
                    *(
                        FindingEvidence(column.name, "no such column", column.type)
                        for column in changes.added
                    ),
                    *(FindingEvidence(old.name, old.type, new.type) for old, new in harmless),
                )[:EVIDENCE_MAX],
            )
        )
    return tuple(findings)


def _schema_broken(changes: _SchemaChanges, retyped: list[tuple[ColumnProfile, ColumnProfile]]) -> Finding:
    words = [f"{joined([column.name for column in changes.removed])} removed"] if changes.removed else []
    words += [f"{old.name} renamed to {new.name}" for old, new in changes.renamed[:5]]
    words += [
        f"{old.name} held {_TYPE_WORDS[old.type]} and now holds {_TYPE_WORDS[new.type]}"
        for old, new in retyped[:5]
    ]
    evidence = (
        *(FindingEvidence(column.name, column.type, "missing") for column in changes.removed),
        *(FindingEvidence(old.name, old.name, new.name) for old, new in changes.renamed),
        *(FindingEvidence(old.name, old.type, new.type) for old, new in retyped),
    )
    return Finding(
        kind="schema-broken",
        severity="error",
        cause=f"The columns changed in a way that breaks whoever reads the file: {'; '.join(words)}.",
        next_act="Restore the columns, or announce the change and correct the data dictionary.",
        evidence=evidence[:EVIDENCE_MAX],
    )


def _empty_cell_findings(baseline: Profile, current: Profile) -> tuple[Finding, ...]:
    findings = []
    for column in current.columns:
        before = baseline.column(column.name)
        if before is None:
            continue
        rate_before, rate = baseline.empty_rate(before), current.empty_rate(column)
        if rate_before is None or rate is None:
            continue
        if _rose(rate_before, baseline.measured_row_count, rate, current.measured_row_count):
            findings.append(_nulls_risen(column.name, rate_before, rate))
    if len(findings) <= EMPTY_ALERTS_MAX:
        return tuple(findings)
    names = [finding.column or "" for finding in findings]
    return (
        Finding(
            kind="nulls-risen",
            severity=max(findings, key=lambda finding: finding.severity == "error").severity,
            cause=f"More cells than before are empty in {counted(len(names), 'column')}: {joined(names)}.",
            next_act="Publish the complete file again, or say in the data dictionary why cells are empty.",
            evidence=tuple(evidence for finding in findings for evidence in finding.evidence)[:EVIDENCE_MAX],
        ),
    )


def _rose(rate_before: float, rows_before: int, rate: float, rows: int) -> bool:
    """A rise that matters and that chance does not explain (two-proportion z-test)."""
    rise = rate - rate_before
    matters = rise >= EMPTY_RISE_MIN or (rate_before <= FULL_RATE_MAX and rise >= EMPTY_RISE_FROM_FULL_MIN)
    if not matters:
        return False
    pooled = (rate_before * rows_before + rate * rows) / (rows_before + rows)
    spread = sqrt(pooled * (1 - pooled) * (1 / rows_before + 1 / rows))
    return spread == 0 or rise / spread > PROPORTION_Z_MAX


def _nulls_risen(name: str, rate_before: float, rate: float) -> Finding:
    return Finding(
        kind="nulls-risen",
        severity="error" if rate - rate_before >= EMPTY_RISE_ERROR else "warning",
        cause=f"{rate:.0%} of the cells in {name} are empty; before it was {rate_before:.0%}.",
        next_act=f"Fill in {name} and publish the file again, or say in the data dictionary why it is empty.",
        evidence=(FindingEvidence(f"empty cells in {name}", f"about {rate_before:.0%}", f"{rate:.0%}"),),
        column=name,
    )
