"""What one harvest changes: the difference between a feed and what is known of its source.

Pure. A feed of any length is worked on in batches: :meth:`HarvestDiff.take` for each, :meth:`HarvestDiff.end`
at the end. :func:`plan_harvest` does both for a feed that fits into memory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.catalog.datasets.domain.entry import KnownRecord
from services.catalog.dcat.domain.records import ParsedRecord, content_hash
from shared.events.catalog import Cure, DatasetState, RejectedRecord

HELD_KNOWN_MIN = 4
"""A source with fewer datasets may lose most of them in the ordinary course of things."""
_FROM_SOURCE = tuple(ParsedRecord.__slots__)


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A dataset seen for the first time, with the hash to remember."""

    record: ParsedRecord
    content_hash: str


@dataclass(frozen=True, slots=True)
class ChangedRecord:
    """A known dataset whose source record differs; ``returned`` when it had been retired."""

    dataset_id: UUID
    record: ParsedRecord
    content_hash: str
    returned: bool


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What one batch of records changes."""

    created: tuple[NewRecord, ...]
    changed: tuple[ChangedRecord, ...]
    unchanged: int
    rejected: tuple[RejectedRecord, ...]


@dataclass(frozen=True, slots=True)
class HarvestEnd:
    """What is left at the end of a feed.

    ``missing`` are the identifiers of known datasets that the feed no longer holds. With ``held`` none of
    them may be retired until a person confirms: the feed lost more than half of its ``known`` datasets.
    """

    missing: tuple[str, ...]
    known: int
    held: bool


@dataclass(frozen=True, slots=True)
class HarvestPlan:
    """What a whole feed changes."""

    created: tuple[NewRecord, ...]
    changed: tuple[ChangedRecord, ...]
    unchanged: int
    rejected: tuple[RejectedRecord, ...]
    missing: tuple[str, ...]
    held: bool


@dataclass(slots=True)
class HarvestDiff:
    """The running state of one harvest: which identifiers were kept, and where in the feed (from 1)."""

    position: int = 0
    _kept: dict[str, int] = field(default_factory=dict)
    _refused: set[str] = field(default_factory=set)

    def take(
        self, records: Iterable[ParsedRecord | RejectedRecord], known: Mapping[str, KnownRecord]
    ) -> BatchPlan:
        """Compare the next records of the feed, in its order.

        ``known`` must hold every known dataset, retired ones too, that has an identifier of this batch; it
        may hold others. The first record with an identifier is kept, later ones are rejected.
        """
        created: list[NewRecord] = []
        changed: list[ChangedRecord] = []
        rejected: list[RejectedRecord] = []
        unchanged = 0
        for record in records:
            self.position += 1
            if isinstance(record, RejectedRecord):
                rejected.append(record)
                if record.identifier is not None:
                    self._refused.add(record.identifier)
                continue
            first = self._kept.setdefault(record.identifier, self.position)
            if first != self.position:
                rejected.append(_duplicate(record, first, self.position))
                continue
            digest = content_hash(record)
            held = known.get(record.identifier)
            if held is None:
                created.append(NewRecord(record, digest))
            elif held.content_hash != digest or held.retired:
                changed.append(ChangedRecord(held.dataset_id, record, digest, returned=held.retired))
            else:
                unchanged += 1
        return BatchPlan(tuple(created), tuple(changed), unchanged, tuple(rejected))

    def end(self, known_identifiers: Iterable[str]) -> HarvestEnd:
        """Tell what is missing of the source's datasets that are not retired.

        A record that the feed holds but that was refused is not missing.
        """
        known = 0
        missing: list[str] = []
        for identifier in known_identifiers:
            known += 1
            if identifier not in self._kept and identifier not in self._refused:
                missing.append(identifier)
        held = known >= HELD_KNOWN_MIN and 2 * len(missing) > known
        return HarvestEnd(tuple(missing), known, held)


def _duplicate(record: ParsedRecord, first: int, position: int) -> RejectedRecord:
    problem = Cure(
        field="identifier",
        message=f"is the same in record {position:,} as in record {first:,}, which was kept.",
        cure="Give each dataset its own identifier, or remove the repeated record.",
    )
    return RejectedRecord(identifier=record.identifier, title=record.title, problems=[problem])


def plan_harvest(
    known: Mapping[str, KnownRecord], records: Iterable[ParsedRecord | RejectedRecord]
) -> HarvestPlan:
    """The plan for a whole feed; ``known`` maps identifiers to the source's datasets, also retired ones."""
    diff = HarvestDiff()
    batch = diff.take(records, known)
    end = diff.end(identifier for identifier, held in known.items() if not held.retired)
    return HarvestPlan(
        created=batch.created,
        changed=batch.changed,
        unchanged=batch.unchanged,
        rejected=batch.rejected,
        missing=end.missing,
        held=end.held,
    )


def dataset_state(
    record: ParsedRecord,
    *,
    dataset_id: UUID,
    source_id: str,
    registered_at: datetime,
    metadata_changed_at: datetime,
    is_sample: bool = False,
) -> DatasetState:
    """The dataset as its source tells it: no agency, no steward, no columns yet, visible to everyone."""
    return DatasetState(
        dataset_id=dataset_id,
        source_id=source_id,
        registered_at=registered_at,
        metadata_changed_at=metadata_changed_at,
        is_sample=is_sample,
        **{name: getattr(record, name) for name in _FROM_SOURCE},
    )
