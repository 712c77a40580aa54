"""Did the number of rows change more than it ever does? A robust detector over a short history.

Changes are differences of ``log1p(rows)``, so that growth is judged in proportion. The centre is their
median, the scale 1.4826 x the median absolute deviation; where that is zero, 1.2533 x the mean absolute
deviation, and never less than one per cent or one row. Data that is fed on weekdays alone is compared with
the same weekday.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from services.quality.alerts.domain.findings import Finding, FindingEvidence, counted

ROBUST_Z_MAX = 3.5
HISTORY_MIN = 5
SAME_WEEKDAY_MIN = 4
DROP_SHARE_ALWAYS = 0.50
DROP_SHARE_MIN = 0.10
RISE_SHARE_MIN = 0.25
RISE_FACTOR_ALWAYS = 10.0
"""Without a history only a tenfold rise is worth a word."""
RISE_ROWS_ALWAYS = 100


@dataclass(frozen=True, slots=True)
class RowCount:
    """The rows of a dataset at one update. Leave out the counts that were themselves found wrong."""

    at: datetime
    rows: int


def volume_findings(
    baseline_rows: int, current: RowCount, history: Sequence[RowCount] = ()
) -> tuple[Finding, ...]:
    """At most one finding. ``history`` is oldest first and ends before ``current``."""
    rows = current.rows
    if rows == 0:
        return (
            () if baseline_rows == 0 else (_dropped(baseline_rows, rows, "The file has no rows any more."),)
        )
    if baseline_rows == 0:
        return ()
    share = (rows - baseline_rows) / baseline_rows
    if share <= -DROP_SHARE_ALWAYS:
        return (_dropped(baseline_rows, rows, f"{-share:.0%} of the rows are gone."),)
    score = robust_z(history, current)
    unusual = score is not None and abs(score) > ROBUST_Z_MAX
    if unusual and share <= -DROP_SHARE_MIN:
        cause = f"{-share:.0%} of the rows are gone, far more than this dataset ever loses."
        return (_dropped(baseline_rows, rows, cause),)
    tenfold = rows >= RISE_FACTOR_ALWAYS * baseline_rows and rows - baseline_rows >= RISE_ROWS_ALWAYS
    if tenfold or (unusual and share >= RISE_SHARE_MIN):
        return (_risen(baseline_rows, rows),)
    return ()


def robust_z(history: Sequence[RowCount], current: RowCount) -> float | None:
    """How unusual the latest change is; None with fewer than five counts before it."""
    if len(history) < HISTORY_MIN:
        return None
    changes = [
        (later.at, math.log1p(later.rows) - math.log1p(earlier.rows)) for earlier, later in pairwise(history)
    ]
    same_weekday = [change for at, change in changes if at.weekday() == current.at.weekday()]
    sample = same_weekday if len(same_weekday) >= SAME_WEEKDAY_MIN else [change for _, change in changes]
    centre = statistics.median(sample)
    deviations = [abs(change - centre) for change in sample]
    scale = 1.4826 * statistics.median(deviations) or 1.2533 * statistics.fmean(deviations)
    last = history[-1].rows
    floor = max(0.01, math.log1p(last + 1) - math.log1p(last))
    return (math.log1p(current.rows) - math.log1p(last) - centre) / max(scale, floor)


def _dropped(baseline_rows: int, rows: int, words: str) -> Finding:
    return Finding(
        kind="row-count-dropped",
        severity="error",
        cause=f"{words} There were {counted(baseline_rows, 'row')}, now there {'is' if rows == 1 else 'are'} "
        f"{counted(rows, 'row')}.",
        next_act="Publish the complete file again, or confirm that the rows were removed on purpose.",
        evidence=(FindingEvidence("rows", f"about {baseline_rows:,}", f"{rows:,}"),),
    )


def _risen(baseline_rows: int, rows: int) -> Finding:
    return Finding(
        kind="row-count-risen",
        severity="warning",
        cause=f"There were {counted(baseline_rows, 'row')}, now there are {counted(rows, 'row')}: "
        f"{rows / baseline_rows:.1f} times as many.",
        next_act="Check that rows were not published twice, or confirm the new size.",
        evidence=(FindingEvidence("rows", f"about {baseline_rows:,}", f"{rows:,}"),),
    )
