"""What the commands of evaluation work with."""

from dataclasses import dataclass, field
from datetime import timedelta

from services.quality.alerts.commands import Alerting
from services.quality.evaluation.domain.freshness import BusinessCalendar
from services.quality.evaluation.repository.dataset_quality import DatasetQualityRepository
from services.quality.evaluation.repository.first_harvests import FirstHarvestRepository
from services.quality.evaluation.repository.measurements import MeasurementRepository
from services.quality.profiling.commands import Profiling
from shared.clock import Clock
from shared.datasets.read_model import KnownDatasets
from shared.identity.principals import Principals
from shared.jobs.wake_signal import WakeSignal
from shared.telemetry.metrics import Metrics

__all__ = ["EvaluationContext"]


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """What the commands of evaluation work with. ``baseline_wake`` wakes the first summaries."""

    clock: Clock
    datasets: KnownDatasets
    principals: Principals
    qualities: DatasetQualityRepository
    measurements: MeasurementRepository
    alerting: Alerting
    harvests: FirstHarvestRepository
    profiling: Profiling
    metrics: Metrics
    calendar: BusinessCalendar = field(default_factory=BusinessCalendar)
    baseline_wait: timedelta = timedelta(minutes=15)
    baseline_wake: WakeSignal = field(default_factory=WakeSignal)
