"""What catalog does when something happens elsewhere: enrich its own rows, number changes, know people."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.catalog.changes_feed.commands import ChangesContext, number_lines
from services.catalog.changes_feed.domain.lines import feed_line
from services.catalog.datasets.commands.context import DatasetContext
from services.catalog.datasets.commands.directory import learn_agencies, learn_stewardships
from services.catalog.datasets.commands.insights import (
    keep_alerts,
    note_deliveries,
    record_measurements,
    record_use,
)
from services.catalog.datasets.domain.insights import UseRecord
from shared.consuming.handling import Handlers, Outcome
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved
from shared.events.envelope import Event
from shared.events.governance import AgencyChanged, AgencyState, StewardshipChanged, StewardshipState
from shared.events.notify import Delivery, DeliveryDead, DeliverySent
from shared.events.quality import Measurement, MeasurementRecorded
from shared.events.registry import (
    AGENCY_CHANGED,
    DATASET_CHANGED,
    DATASET_REGISTERED,
    DATASET_RETIRED,
    DELIVERY_DEAD,
    DELIVERY_SENT,
    MEASUREMENT_RECORDED,
    PERSON_CHANGED,
    QUALITY_ALERT_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
    ROLLUP_UPDATED,
    SHARING_REQUEST_APPROVED,
    SHARING_REQUEST_DENIED,
    SHARING_REQUEST_RETURNED,
    SHARING_REQUEST_SUBMITTED,
    SHARING_REQUEST_WITHDRAWN,
    STEWARDSHIP_CHANGED,
    USAGE_ALERT_CHANGED,
    USAGE_ALERT_OPENED,
    USAGE_ALERT_RESOLVED,
)
from shared.events.usage import RollupUpdated
from shared.identity.principals import Principals, remember_people
from shared.store.unit_of_work import UnitOfWork

__all__ = ["CHANGES_HANDLERS", "DIRECTORY_HANDLERS", "ENRICHMENT_HANDLERS", "CatalogContext"]

_NO_ALERTS = ("sharing-request", "answer-")
"""How the kinds of other things begin that concern a dataset and people are notified of."""

_ALERT_TYPES = frozenset(
    event_type.name
    for event_type in (
        USAGE_ALERT_OPENED,
        USAGE_ALERT_CHANGED,
        USAGE_ALERT_RESOLVED,
        QUALITY_ALERT_OPENED,
        QUALITY_ALERT_CHANGED,
        QUALITY_ALERT_RESOLVED,
    )
)

DIRECTORY_HANDLERS: Handlers[Principals] = {PERSON_CHANGED.name: remember_people}


@dataclass(frozen=True, slots=True)
class CatalogContext:
    """What the handlers of two features work with."""

    datasets: DatasetContext
    changes: ChangesContext


async def apply_agencies(
    batch: Sequence[Event], work: UnitOfWork, context: DatasetContext
) -> Sequence[Outcome] | None:
    """Learn agencies and their spellings."""
    newest: dict[UUID, AgencyState | None] = {}
    causes: dict[UUID, Event] = {}
    for event in batch:
        agency_id = UUID(event.subject)
        newest[agency_id] = None if event.data is None else event.payload(AgencyChanged).agency
        causes[agency_id] = event
    await learn_agencies(work, context, newest, causes)
    return None


async def apply_stewardships(
    batch: Sequence[Event], work: UnitOfWork, context: DatasetContext
) -> Sequence[Outcome] | None:
    """Learn who is responsible for which dataset."""
    newest: dict[str, StewardshipState | None] = {}
    causes: dict[str, Event] = {}
    for event in batch:
        newest[event.subject] = None if event.data is None else event.payload(StewardshipChanged).stewardship
        causes[event.subject] = event
    await learn_stewardships(work, context, newest, causes)
    return None


async def apply_measurements(
    batch: Sequence[Event], work: UnitOfWork, context: DatasetContext
) -> Sequence[Outcome] | None:
    """Keep the latest measurements."""
    newest: dict[tuple[UUID, str], Measurement | None] = {}
    for event in batch:
        if event.data is None:
            dataset_id, _, kind = event.subject.partition("/")
            newest[UUID(dataset_id), kind] = None
            continue
        measurement = event.payload(MeasurementRecorded).measurement
        newest[measurement.dataset_id, measurement.kind] = measurement
    await record_measurements(work, context, newest)
    return None


async def apply_rollups(batch: Sequence[Event], work: UnitOfWork, context: DatasetContext) -> list[Outcome]:
    """Keep the counts of days."""
    days: dict[tuple[UUID, str], UseRecord] = {}
    outcomes = []
    for event in batch:
        rollup = event.payload(RollupUpdated).rollup if event.data is not None else None
        if rollup is None or rollup.granularity != "day":
            outcomes.append(Outcome.IGNORED)
            continue
        day = rollup.window_start.date()
        days[rollup.dataset_id, day.isoformat()] = UseRecord(
            rollup.dataset_id, day, rollup.views, rollup.downloads, rollup.api_calls
        )
        outcomes.append(Outcome.APPLIED)
    await record_use(work, context, list(days.values()))
    return outcomes


async def apply_deliveries(
    batch: Sequence[Event], work: UnitOfWork, context: DatasetContext
) -> list[Outcome]:
    """Note whom messages about alerts have reached."""
    outcomes = []
    sent: list[Delivery] = []
    failed: list[Delivery] = []
    for event in batch:
        data = event.data
        is_news = isinstance(data, DeliverySent | DeliveryDead) and _is_about_alert(data.delivery)
        if isinstance(data, DeliverySent | DeliveryDead) and is_news:
            (sent if isinstance(data, DeliverySent) else failed).append(data.delivery)
        outcomes.append(Outcome.APPLIED if is_news else Outcome.IGNORED)
    await note_deliveries(work, context, sent=sent, failed=failed)
    return outcomes


def _is_about_alert(delivery: Delivery) -> bool:
    return delivery.dataset_id is not None and not delivery.about_kind.startswith(_NO_ALERTS)


async def number_changes(batch: Sequence[Event], work: UnitOfWork, context: CatalogContext) -> list[Outcome]:
    """Number what outside services may read; keep what alerts are open."""
    lines = [feed_line(event) for event in batch]
    newest = {
        UUID(event.subject): event.data.alert
        if isinstance(event.data, AlertOpened | AlertChanged | AlertResolved)
        else None
        for event in batch
        if event.type in _ALERT_TYPES
    }
    if newest:
        await keep_alerts(work, context.datasets, newest)
    await number_lines(work, context.changes, [line for line in lines if line is not None])
    return [Outcome.IGNORED if line is None else Outcome.APPLIED for line in lines]


ENRICHMENT_HANDLERS: Handlers[DatasetContext] = {
    AGENCY_CHANGED.name: apply_agencies,
    STEWARDSHIP_CHANGED.name: apply_stewardships,
    MEASUREMENT_RECORDED.name: apply_measurements,
    ROLLUP_UPDATED.name: apply_rollups,
    DELIVERY_SENT.name: apply_deliveries,
    DELIVERY_DEAD.name: apply_deliveries,
}


CHANGES_HANDLERS: Handlers[CatalogContext] = {
    event_type.name: number_changes
    for event_type in (
        DATASET_REGISTERED,
        DATASET_CHANGED,
        DATASET_RETIRED,
        ROLLUP_UPDATED,
        USAGE_ALERT_OPENED,
        USAGE_ALERT_CHANGED,
        USAGE_ALERT_RESOLVED,
        MEASUREMENT_RECORDED,
        QUALITY_ALERT_OPENED,
        QUALITY_ALERT_CHANGED,
        QUALITY_ALERT_RESOLVED,
        SHARING_REQUEST_SUBMITTED,
        SHARING_REQUEST_RETURNED,
        SHARING_REQUEST_APPROVED,
        SHARING_REQUEST_DENIED,
        SHARING_REQUEST_WITHDRAWN,
    )
}
