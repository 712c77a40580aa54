"""Datasets under measurement: read at once, advanced one by one, written and told at once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.quality.domain.alerts import Alert, AlertKey, close_alerts
from services.quality.domain.rounds import Judgement, Round, judge
from services.quality.domain.standing import FileStanding, Standing
from services.quality.domain.telling import alert_state, is_news, measurements_of
from services.quality.ports import Meter, QualityPorts, Recorded
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved
from shared.events.envelope import Event
from shared.events.model import EventModel
from shared.events.quality import Measurement, MeasurementRecorded
from shared.events.registry import (
    MEASUREMENT_RECORDED,
    QUALITY_ALERT_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
)
from shared.store.unit_of_work import UnitOfWork

__all__ = ["DatasetBatch", "emit_alert", "load_batch"]

RETIRED_CAUSE = "The dataset was retired."


@dataclass(slots=True)
class DatasetBatch:
    """Some datasets with all that is remembered of them, within one unit of work.

    Call :meth:`take` and :meth:`tell` as needed, then :meth:`save` once.
    """

    work: UnitOfWork
    ports: QualityPorts
    standings: dict[UUID, Standing]
    files: dict[UUID, FileStanding]
    alerts: dict[UUID, dict[AlertKey, Alert]]
    recorded: dict[tuple[UUID, str], Recorded]
    _standings_changed: set[UUID] = field(default_factory=set)
    _files_changed: set[UUID] = field(default_factory=set)
    _files_left: set[UUID] = field(default_factory=set)
    _alerts_changed: dict[UUID, Alert] = field(default_factory=dict)
    _told: dict[tuple[UUID, str], tuple[Measurement, int]] = field(default_factory=dict)
    _withdrawn: dict[tuple[UUID, str], int] = field(default_factory=dict)

    def alerts_of(self, dataset_id: UUID) -> Mapping[AlertKey, Alert]:
        """Return the alerts of a dataset, as they stand now."""
        return self.alerts.get(dataset_id, {})

    def keep(self, standing: Standing) -> None:
        """Take a standing without a round."""
        self.standings[standing.dataset.dataset_id] = standing
        self._standings_changed.add(standing.dataset.dataset_id)

    def take(self, outcome: Round, cause: Event | None = None) -> None:
        """Take what a round changed, and tell its alerts."""
        self.keep(outcome.standing)
        dataset_id = outcome.standing.dataset.dataset_id
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

    def tell(
        self,
        dataset_id: UUID,
        now: datetime,
        cause: Event | None = None,
        judgement: Judgement | None = None,
    ) -> None:
        """Tell each measurement that differs from the one before, by ``judgement`` or one made now."""
        standing, file = self.standings[dataset_id], self.files.get(dataset_id)
        judgement = judgement or judge(standing, file, now, self.ports.calendar)
        for measurement in measurements_of(standing, file, judgement, now):
            key = (dataset_id, measurement.kind)
            before = self.recorded.get(key)
            if before is not None and not is_news(before.measurement, measurement):
                self._count(measurement.kind, "same")
                continue
            self._count(measurement.kind, "told")
            version = before.version + 1 if before else 1
            self.recorded[key] = Recorded(measurement, version)
            self._told[key] = (measurement, version)
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
        self.standings.pop(dataset_id, None)
        self._standings_changed.discard(dataset_id)

    async def save(self) -> None:
        """Write everything that changed, in as few statements as there are tables."""
        work, ports = self.work, self.ports
        await ports.standings.put(
            work, [self.standings[one] for one in sorted(self._standings_changed, key=str)]
        )
        for dataset_id in sorted(self._files_changed - self._files_left, key=str):
            await ports.standings.put_file(work, dataset_id, self.files[dataset_id])
        await ports.standings.forget_files(work, self._files_left)
        await ports.alerts.put(work, list(self._alerts_changed.values()))
        await ports.measurements.put(work, list(self._told.values()))
        await ports.measurements.withdraw(work, self._withdrawn)

    def _count(self, kind: str, outcome: str) -> None:
        meter = self.ports.meter
        self.work.after_commit(lambda: meter.measured(kind, outcome))

    def _take_alert(self, alert: Alert, cause: Event | None) -> None:
        known = self.alerts.setdefault(alert.dataset_id, {})
        standing, before = self.standings.get(alert.dataset_id), known.get(alert.key)
        emit_alert(self.work, self.ports.meter, standing, before, alert, cause)
        known[alert.key] = alert
        self._alerts_changed[alert.alert_id] = alert

    def _withdraw(self, key: tuple[UUID, str], cause: Event | None) -> None:
        before = self.recorded.get(key)
        if before is None or before.measurement is None:
            return
        version = before.version + 1
        self.recorded[key] = Recorded(None, version)
        self._told.pop(key, None)
        self._withdrawn[key] = version
        self.work.emit_tombstone(
            MEASUREMENT_RECORDED,
            subject=_subject(key),
            partition_key=str(key[0]),
            subjectversion=version,
            cause=cause,
        )


async def load_batch(work: UnitOfWork, ports: QualityPorts, dataset_ids: Collection[UUID]) -> DatasetBatch:
    """Read all that is remembered of these datasets, and lock it."""
    return DatasetBatch(
        work,
        ports,
        await ports.standings.of(work, dataset_ids),
        await ports.standings.files_of(work, dataset_ids),
        await ports.alerts.of(work, dataset_ids),
        await ports.measurements.of(work, dataset_ids),
    )


def emit_alert(
    work: UnitOfWork,
    meter: Meter,
    standing: Standing | None,
    before: Alert | None,
    after: Alert,
    cause: Event | None = None,
) -> None:
    """Tell the new state of an alert as what it is: opened, changed or resolved; count it once committed."""
    state = alert_state(
        after,
        title=standing.dataset.title if standing else "",
        agency_id=standing.dataset.agency_id if standing else None,
    )
    data: EventModel
    if after.state == "resolved":
        change, event_type, data = "resolved", QUALITY_ALERT_RESOLVED, AlertResolved(alert=state)
    elif before is None or before.state == "resolved":
        change, event_type, data = "opened", QUALITY_ALERT_OPENED, AlertOpened(alert=state)
    else:
        change, event_type = _change(before, after), QUALITY_ALERT_CHANGED
        data = AlertChanged(alert=state, change=change)
    work.emit(
        event_type, data, subject=str(after.alert_id), subjectversion=after.subject_version, cause=cause
    )
    work.after_commit(lambda: meter.alert(after.key.kind, change))


def _change(before: Alert, after: Alert) -> str:
    if before.severity != after.severity:
        return "severity"
    return "acknowledged" if after.state == "acknowledged" != before.state else "evidence"


def _subject(key: tuple[UUID, str]) -> str:
    return f"{key[0]}/{key[1]}"
