"""What catalog does when something happens elsewhere: enrich its own rows, number changes, know people."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from services.catalog.commands.alerting import keep_alerts
from services.catalog.commands.editing import USE_DAYS, review_all
from services.catalog.domain.entry import CatalogEntry
from services.catalog.domain.feed_changes import feed_line
from services.catalog.domain.records import UseRecord
from services.catalog.ports import CatalogPorts
from shared.consuming.handling import Handlers, Outcome
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved, AlertState
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

__all__ = ["CHANGES_HANDLERS", "DIRECTORY_HANDLERS", "ENRICHMENT_HANDLERS"]

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


async def apply_agencies(
    batch: Sequence[Event], work: UnitOfWork, ports: CatalogPorts
) -> Sequence[Outcome] | None:
    """Learn agencies and their spellings, and settle the datasets that publish under one of them."""
    newest: dict[UUID, AgencyState | None] = {}
    causes: dict[UUID, Event] = {}
    for event in batch:
        agency_id = UUID(event.subject)
        newest[agency_id] = None if event.data is None else event.payload(AgencyChanged).agency
        causes[agency_id] = event
    agencies = [agency for agency in newest.values() if agency is not None]
    # A spelling that moves from one agency to another touches the datasets of both.
    spellings = [spelling for agency in agencies for spelling in (agency.name, agency.code, *agency.aliases)]
    await ports.directory.forget_agencies(work, [key for key, agency in newest.items() if agency is None])
    await ports.directory.put_agencies(work, agencies)
    touched = await ports.datasets.ids_touched_by(work, publishers=spellings, agency_ids=list(newest))

    def cause_of(entry: CatalogEntry) -> Event | None:
        return causes.get(entry.state.agency_id) if entry.state.agency_id is not None else None

    await review_all(work, ports, touched, cause_of)
    return None


async def apply_stewardships(
    batch: Sequence[Event], work: UnitOfWork, ports: CatalogPorts
) -> Sequence[Outcome] | None:
    """Learn who answers for which dataset; the dataset may come before or after."""
    newest: dict[str, StewardshipState | None] = {}
    causes: dict[str, Event] = {}
    for event in batch:
        newest[event.subject] = None if event.data is None else event.payload(StewardshipChanged).stewardship
        causes[event.subject] = event
    stewardships = [state for state in newest.values() if state is not None]
    await ports.directory.put_stewardships(work, stewardships)
    await ports.directory.forget_stewardships(work, [key for key, state in newest.items() if state is None])
    touched = await ports.datasets.ids_touched_by(work, identifiers=list(newest))
    await review_all(work, ports, touched, lambda entry: causes.get(entry.source.identifier))
    return None


async def apply_measurements(
    batch: Sequence[Event], work: UnitOfWork, ports: CatalogPorts
) -> Sequence[Outcome] | None:
    """Keep the latest measurements; score and freshness go onto the dataset's own row."""
    newest: dict[tuple[UUID, str], Measurement | None] = {}
    for event in batch:
        if event.data is None:
            dataset_id, _, kind = event.subject.partition("/")
            newest[UUID(dataset_id), kind] = None
            continue
        measurement = event.payload(MeasurementRecorded).measurement
        newest[measurement.dataset_id, measurement.kind] = measurement
    measured = [measurement for measurement in newest.values() if measurement is not None]
    await ports.insights.put_measurements(work, measured)
    await ports.insights.forget_measurements(work, [key for key, value in newest.items() if value is None])
    scores = {one.dataset_id: one.score for one in measured if one.kind == "overall"}
    fresh = {
        one.dataset_id: (one.status or "not-known", one.reason) for one in measured if one.kind == "freshness"
    }
    await ports.datasets.note_quality(work, scores)
    await ports.datasets.note_freshness(work, fresh)
    work.after_commit(ports.wake_indexing)
    return None


async def apply_rollups(batch: Sequence[Event], work: UnitOfWork, ports: CatalogPorts) -> list[Outcome]:
    """Keep the counts of days, and note the use of the last 30 days on the dataset's own row."""
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
    if days:
        await ports.insights.put_days(work, list(days.values()))
        first_day = work.clock.now().date() - timedelta(days=USE_DAYS - 1)
        touched = {dataset_id for dataset_id, _ in days}
        await ports.datasets.note_use(work, await ports.insights.uses_since(work, first_day, touched))
        work.after_commit(ports.wake_indexing)
    return outcomes


async def note_deliveries(batch: Sequence[Event], work: UnitOfWork, ports: CatalogPorts) -> list[Outcome]:
    """Note whom messages about alerts have reached; a page says that somebody was notified only by this."""
    outcomes = []
    sent: list[Delivery] = []
    failed: list[Delivery] = []
    for event in batch:
        data = event.data
        is_news = isinstance(data, DeliverySent | DeliveryDead) and _is_about_alert(data.delivery)
        if isinstance(data, DeliverySent | DeliveryDead) and is_news:
            (sent if isinstance(data, DeliverySent) else failed).append(data.delivery)
        outcomes.append(Outcome.APPLIED if is_news else Outcome.IGNORED)
    if sent:
        await ports.insights.note_deliveries(work, sent, sent=True)
    if failed:
        await ports.insights.note_deliveries(work, failed, sent=False)
    return outcomes


def _is_about_alert(delivery: Delivery) -> bool:
    return delivery.dataset_id is not None and not delivery.about_kind.startswith(_NO_ALERTS)


async def number_changes(batch: Sequence[Event], work: UnitOfWork, ports: CatalogPorts) -> list[Outcome]:
    """Write what outside services may read, in one unbroken numbering; keep what alerts are open."""
    lines = [feed_line(event) for event in batch]
    told = [line for line in lines if line is not None]
    await _keep_alerts(batch, work, ports)
    if told:
        await ports.changes.append(work, told)
        work.after_commit(ports.wake_readers)
    return [Outcome.IGNORED if line is None else Outcome.APPLIED for line in lines]


async def _keep_alerts(batch: Sequence[Event], work: UnitOfWork, ports: CatalogPorts) -> None:
    newest: dict[UUID, AlertState | None] = {}
    for event in batch:
        if event.type in _ALERT_TYPES:
            data = event.data
            newest[UUID(event.subject)] = (
                data.alert if isinstance(data, AlertOpened | AlertChanged | AlertResolved) else None
            )
    if newest:
        await keep_alerts(work, ports, newest)


ENRICHMENT_HANDLERS: Handlers[CatalogPorts] = {
    AGENCY_CHANGED.name: apply_agencies,
    STEWARDSHIP_CHANGED.name: apply_stewardships,
    MEASUREMENT_RECORDED.name: apply_measurements,
    ROLLUP_UPDATED.name: apply_rollups,
    DELIVERY_SENT.name: note_deliveries,
    DELIVERY_DEAD.name: note_deliveries,
}

DIRECTORY_HANDLERS: Handlers[Principals] = {PERSON_CHANGED.name: remember_people}

CHANGES_HANDLERS: Handlers[CatalogPorts] = {
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
