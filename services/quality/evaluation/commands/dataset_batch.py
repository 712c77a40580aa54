"""Datasets under measurement: read at once, advanced one by one, written and told at once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.quality.alerts.commands import emit_alert
from services.quality.alerts.domain.alerts import Alert, AlertKey, close_alerts
from services.quality.evaluation.commands.context import EvaluationContext
from services.quality.evaluation.domain.dataset_quality import DatasetQuality, FileBaseline
from services.quality.evaluation.domain.evaluation import Evaluation, Judgment, judge
from services.quality.evaluation.domain.payloads import RecordedMeasurement, is_news, measurements_of
from shared.events.envelope import Event
from shared.events.quality import Measurement, MeasurementRecorded
from shared.events.registry import MEASUREMENT_RECORDED
from shared.store.unit_of_work import UnitOfWork

__all__ = ["DatasetBatch", "load_batch"]

RETIRED_CAUSE = "The dataset was retired."


@dataclass(slots=True)
class DatasetBatch:
    """Some datasets with all that is remembered of them, within one unit of work.

    Call :meth:`take` and :meth:`publish` as needed, then :meth:`save` once.
    """

    work: UnitOfWork
    context: EvaluationContext
    qualities: dict[UUID, DatasetQuality]
    files: dict[UUID, FileBaseline]
    alerts: dict[UUID, dict[AlertKey, Alert]]
    recorded: dict[tuple[UUID, str], RecordedMeasurement]
    _qualities_changed: set[UUID] = field(default_factory=set)
    _files_changed: set[UUID] = field(default_factory=set)
    _files_left: set[UUID] = field(default_factory=set)
    _alerts_changed: dict[UUID, Alert] = field(default_factory=dict)
    _published: dict[tuple[UUID, str], tuple[Measurement, int]] = field(default_factory=dict)
    _withdrawn: dict[tuple[UUID, str], int] = field(default_factory=dict)

    def alerts_of(self, dataset_id: UUID) -> Mapping[AlertKey, Alert]:
        """Return the alerts of a dataset, as they stand now."""
        return self.alerts.get(dataset_id, {})

    def keep(self, quality: DatasetQuality) -> None:
        """Take a dataset's new state without an evaluation."""
        self.qualities[quality.dataset.dataset_id] = quality
        self._qualities_changed.add(quality.dataset.dataset_id)

    def take(self, outcome: Evaluation, cause: Event | None = None) -> None:
        """Take what an evaluation changed, and publish its alerts."""
        self.keep(outcome.quality)
        dataset_id = outcome.quality.dataset.dataset_id
        if outcome.file is not None and outcome.file != self.files.get(dataset_id):
            self.files[dataset_id] = outcome.file
            self._files_changed.add(dataset_id)
        for alert in outcome.alerts:
            self._take_alert(alert, cause)

    def leave_file(self, dataset_id: UUID, cause: Event | None = None) -> None:
        """Forget the file of a dataset, and withdraw what was told of it."""
        if self.files.pop(dataset_id, None) is not None:
            self._files_left.add(dataset_id)
            self._withdraw((dataset_id, "profile"), cause)

    def close_alerts(self, dataset_id: UUID, now: datetime, cause: Event | None = None) -> None:
        """Resolve what is open of a retired dataset."""
        for alert in close_alerts(list(self.alerts_of(dataset_id).values()), now):
            self._take_alert(replace(alert, cause=RETIRED_CAUSE), cause)

    def publish(
        self,
        dataset_id: UUID,
        now: datetime,
        cause: Event | None = None,
        judgment: Judgment | None = None,
    ) -> None:
        """Publish each measurement that differs from the one before, by ``judgment`` or one made now."""
        quality, file = self.qualities[dataset_id], self.files.get(dataset_id)
        judgment = judgment or judge(quality, file, now, self.context.calendar)
        for measurement in measurements_of(quality, file, judgment, now):
            key = (dataset_id, measurement.kind)
            before = self.recorded.get(key)
            if before is not None and not is_news(before.measurement, measurement):
                self._count(measurement.kind, "same")
                continue
            self._count(measurement.kind, "told")
            version = before.version + 1 if before else 1
            self.recorded[key] = RecordedMeasurement(measurement, version)
            self._published[key] = (measurement, version)
            self.work.emit(
                MEASUREMENT_RECORDED,
                MeasurementRecorded(measurement=measurement),
                subject=_subject(key),
                subjectversion=version,
                cause=cause,
            )

    def end(self, dataset_id: UUID, now: datetime, cause: Event | None = None) -> None:
        """The record of the dataset has ended: resolve its alerts, and end what was measured of it."""
        self.close_alerts(dataset_id, now, cause)
        for key in [key for key in self.recorded if key[0] == dataset_id]:
            self._withdraw(key, cause)
        self.qualities.pop(dataset_id, None)
        self._qualities_changed.discard(dataset_id)

    async def save(self) -> None:
        """Write everything that changed, in as few statements as there are tables."""
        work, context = self.work, self.context
        await context.qualities.put(
            work, [self.qualities[dataset_id] for dataset_id in sorted(self._qualities_changed, key=str)]
        )
        for dataset_id in sorted(self._files_changed - self._files_left, key=str):
            await context.qualities.put_file(work, dataset_id, self.files[dataset_id])
        await context.qualities.forget_files(work, self._files_left)
        await context.alerting.alerts.put(work, list(self._alerts_changed.values()))
        await context.measurements.put(work, list(self._published.values()))
        await context.measurements.withdraw(work, self._withdrawn)

    def _count(self, kind: str, outcome: str) -> None:
        metrics = self.context.metrics
        self.work.after_commit(
            lambda: metrics.count("nutmeg_quality_measurements_total", kind=kind, outcome=outcome)
        )

    def _take_alert(self, alert: Alert, cause: Event | None) -> None:
        known = self.alerts.setdefault(alert.dataset_id, {})
        quality, before = self.qualities.get(alert.dataset_id), known.get(alert.key)
        emit_alert(
            self.work,
            self.context.alerting,
            before,
            alert,
            title=quality.dataset.title if quality else "",
            agency_id=quality.dataset.agency_id if quality else None,
            cause=cause,
        )
        known[alert.key] = alert
        self._alerts_changed[alert.alert_id] = alert

    def _withdraw(self, key: tuple[UUID, str], cause: Event | None) -> None:
        before = self.recorded.get(key)
        if before is None or before.measurement is None:
            return
        version = before.version + 1
        self.recorded[key] = RecordedMeasurement(None, version)
        self._published.pop(key, None)
        self._withdrawn[key] = version
        self.work.emit_tombstone(
            MEASUREMENT_RECORDED,
            subject=_subject(key),
            partition_key=str(key[0]),
            subjectversion=version,
            cause=cause,
        )


async def load_batch(
    work: UnitOfWork, context: EvaluationContext, dataset_ids: Collection[UUID]
) -> DatasetBatch:
    """Read all that is remembered of these datasets, and lock it."""
    return DatasetBatch(
        work,
        context,
        await context.qualities.of(work, dataset_ids),
        await context.qualities.files_of(work, dataset_ids),
        await context.alerting.alerts.of(work, dataset_ids),
        await context.measurements.of(work, dataset_ids),
    )


def _subject(key: tuple[UUID, str]) -> str:
    return f"{key[0]}/{key[1]}"
