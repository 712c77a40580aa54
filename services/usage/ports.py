"""The roles that usage's handlers and commands need, by name of what they do.

Each is implemented on SQLAlchemy once, and that runs on SQLite and on PostgreSQL.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from services.usage.domain.alerts import AlertStep, KnownAlert, Subject
from services.usage.domain.clients import ClientRules
from services.usage.domain.counter import Counts, Recount, Trail, TrailKey
from services.usage.domain.signals import SignalRules
from shared.clock import Clock
from shared.datasets.read_model import KnownDatasets
from shared.identity.principals import Principals
from shared.identity.viewer import Viewer
from shared.store.unit_of_work import UnitOfWork

__all__ = [
    "AlertBook",
    "CountedWindow",
    "DailyUses",
    "DatasetNames",
    "HitMeter",
    "Intake",
    "NamedDataset",
    "Tally",
    "UsagePorts",
    "Watch",
    "WatchedDataset",
]


@dataclass(frozen=True, slots=True)
class NamedDataset:
    """A dataset that a hit may be counted for."""

    dataset_id: UUID
    agency_id: UUID | None


@dataclass(frozen=True, slots=True)
class CountedWindow:
    """The counts of one dataset in one hour or day. ``granularity`` is ``hour`` or ``day``."""

    dataset_id: UUID
    granularity: str
    window_start: datetime
    counts: Counts
    revision: int


@dataclass(frozen=True, slots=True)
class WatchedDataset:
    """A dataset to look at, and the first day on which its use was counted."""

    dataset_id: UUID
    counted_since: date


class DatasetNames(Protocol):
    """Knows by what names hits may speak of datasets."""

    async def remember(self, work: UnitOfWork, names: Mapping[UUID, Collection[str]]) -> None:
        """Replace the names of each dataset; none means that it is gone."""
        ...

    async def find(
        self, work: UnitOfWork, viewer: Viewer, called: Collection[UUID | str]
    ) -> dict[UUID | str, NamedDataset]:
        """Return the datasets that ``viewer`` may see; names that fit none, or several, are left out."""
        ...


class Intake(Protocol):
    """Keeps the day's salts and the ids of the hits taken in."""

    async def salts(self, work: UnitOfWork, days: Collection[date], *, today: date) -> dict[date, bytes]:
        """Return the salt of each day, made now where there is none. It lives until ``today`` is over."""
        ...

    async def forget_salts(self, work: UnitOfWork, *, today: date) -> int:
        """Delete every salt made before ``today``, and return how many."""
        ...

    async def known(self, work: UnitOfWork, hit_ids: Collection[UUID]) -> set[UUID]:
        """Return those of ``hit_ids`` that were accepted before."""
        ...

    async def accept(self, work: UnitOfWork, hit_ids: Collection[UUID], *, now: datetime) -> None:
        """Keep the ids."""
        ...

    async def forget_hits(self, work: UnitOfWork, *, accepted_before: datetime) -> int:
        """Delete old ids, and return how many."""
        ...


class Tally(Protocol):
    """Keeps trails and counts."""

    async def trails(self, work: UnitOfWork, keys: Collection[TrailKey]) -> dict[TrailKey, Trail]:
        """Return the trails that there are."""
        ...

    async def apply(self, work: UnitOfWork, recount: Recount, *, now: datetime, until: datetime) -> None:
        """Write the trails and add the changes to hours and days; ``until``: the newest hit's acceptance."""
        ...

    async def mark_day(self, work: UnitOfWork, day: date) -> None:
        """Keep that the installation counts on this day, so that no use of it is zero and not unknown."""
        ...

    async def resting(
        self, work: UnitOfWork, *, unchanged_since: datetime, waiting_since: datetime, rows_max: int
    ) -> list[CountedWindow]:
        """Return windows to publish: unchanged since the one moment, or waiting since the other."""
        ...

    async def published(self, work: UnitOfWork, windows: Sequence[CountedWindow]) -> None:
        """Keep that these revisions were published."""
        ...

    async def forget(self, work: UnitOfWork, *, trails_before: datetime, hours_before: datetime) -> int:
        """Delete trails not touched since, and hourly counts older than; return how many rows."""
        ...


class Watch(Protocol):
    """Says which datasets are to be looked at for spikes and silence, and what is to be seen."""

    async def begin(self, work: UnitOfWork, since: Mapping[UUID, date], *, due_at: datetime) -> None:
        """Watch these datasets from ``due_at`` or earlier on; the earliest day given counts."""
        ...

    async def due(
        self,
        work: UnitOfWork,
        *,
        now: datetime,
        rows_max: int,
        is_wanted: Callable[[UUID], bool] | None = None,
    ) -> list[WatchedDataset]:
        """Return datasets to look at, longest due first, under a row lock; ``None`` wants all of them."""
        ...

    async def looked_at(self, work: UnitOfWork, dataset_ids: Collection[UUID], *, due_at: datetime) -> None:
        """Set when to look again."""
        ...

    async def observed_days(self, work: UnitOfWork, *, since: date) -> list[date]:
        """Return the days on which anything at all was used, in order."""
        ...

    async def subjects(self, work: UnitOfWork, dataset_ids: Collection[UUID]) -> dict[UUID, Subject]:
        """Return what alerts tell of these datasets; retired ones are left out."""
        ...


class DailyUses(Protocol):
    """Tells the uses that signals are looked for in: from the counts, or from a stream of rollups."""

    def at_hand(self) -> Callable[[UUID], bool] | None:
        """Return what tells whose uses this process knows, up to a moment ago; ``None``: everyone's."""
        ...

    async def daily_uses(
        self, work: UnitOfWork, dataset_ids: Collection[UUID], *, since: date
    ) -> Mapping[UUID, Mapping[date, int]]:
        """Return the uses per dataset and day, days without use left out."""
        ...


class AlertBook(Protocol):
    """Keeps alerts and their versions."""

    async def open_alerts(
        self, work: UnitOfWork, dataset_ids: Collection[UUID]
    ) -> dict[UUID, list[KnownAlert]]:
        """Return the alerts per dataset that are not resolved, under a row lock."""
        ...

    async def find(self, work: UnitOfWork, alert_ids: Collection[UUID]) -> dict[UUID, KnownAlert]:
        """Return these alerts, whatever their state, under a row lock; unknown ones are left out."""
        ...

    async def put(self, work: UnitOfWork, step: AlertStep) -> int | None:
        """Write the state and return its version; ``None`` if it was opened before: nothing to tell."""
        ...

    async def take_ended(
        self, work: UnitOfWork, *, resolved_before: datetime
    ) -> list[tuple[UUID, UUID, int]]:
        """Delete alerts resolved long ago; return alert id, dataset id and the version of the tombstone."""
        ...


class HitMeter(Protocol):
    """Counts hits, alerts and failures for operators."""

    def hits(self, kind: str, result: str, count: int) -> None:
        """``result``: counted, duplicate, robot or rejected."""
        ...

    def alert(self, kind: str, change: str) -> None:
        """``change``: opened, severity, acknowledged or resolved."""
        ...

    def not_judged(self, count: int) -> None:
        """So many datasets' uses could not be judged, and are looked at again soon."""
        ...


@dataclass(frozen=True, slots=True)
class UsagePorts:
    """Everything the handlers and commands are given."""

    clock: Clock
    datasets: KnownDatasets
    principals: Principals
    names: DatasetNames
    intake: Intake
    tally: Tally
    watch: Watch
    uses: DailyUses
    alerts: AlertBook
    meter: HitMeter
    clients: ClientRules
    signal_rules: SignalRules
