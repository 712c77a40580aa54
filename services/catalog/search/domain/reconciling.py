"""How the search index differs from the catalogue's rows, and what mends it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.catalog.search.domain.search import IndexedRevision


@dataclass(frozen=True, slots=True)
class ExpectedDocument:
    """``revision`` is the newest, ``indexed_revision`` the one that was handed to the index last."""

    revision: int
    indexed_revision: int
    retired_at: datetime | None

    @property
    def waits(self) -> bool:
        """Whether the index has still to be told."""
        return self.indexed_revision < self.revision


@dataclass(frozen=True, slots=True)
class LastReconcile:
    """When index and rows were last compared, and in how many documents they differ since."""

    compared_at: datetime
    missing: int
    extra: int
    stale: int

    def kinds(self) -> dict[str, int]:
        """The differences by kind."""
        return {"missing": self.missing, "extra": self.extra, "stale": self.stale}


@dataclass(frozen=True, slots=True)
class IndexDrift:
    """How many datasets that are not retired the rows (``store``) and the index (``index``) hold.

    ``missing`` are in the rows only, ``extra`` can be found although they should not be, ``stale`` are held
    in another revision than the rows have. ``repaired`` documents were written again, ``purged`` forgotten.
    """

    store: int
    index: int
    missing: int
    extra: int
    stale: int
    repaired: int = 0
    purged: int = 0

    def kinds(self) -> dict[str, int]:
        """The differences by kind."""
        return {"missing": self.missing, "extra": self.extra, "stale": self.stale}


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The drift, and what mends it: first forget ``to_purge``, then write ``to_index``."""

    drift: IndexDrift
    to_purge: frozenset[UUID]
    to_index: frozenset[UUID]
    unknown: frozenset[UUID] = frozenset()
    """Those of ``to_purge`` that have no row, not even of something that ended."""

    def keeping_unknown(self) -> "Reconciliation":
        """Return the same without forgetting documents that no row is known for."""
        return replace(self, to_purge=self.to_purge - self.unknown)

    @classmethod
    def nothing(cls) -> "Reconciliation":
        """No drift, and nothing to mend."""
        return cls(IndexDrift(0, 0, 0, 0, 0), frozenset(), frozenset())


def is_as_expected(
    held: IndexedRevision, expected: ExpectedDocument | None, retired_before: datetime
) -> bool:
    """Tell whether one held document needs no further look."""
    if expected is None:
        return False
    if expected.retired_at is not None:
        return held.hidden and expected.retired_at >= retired_before
    return not held.hidden and held.revision == expected.revision


def reconcile(
    expected: Mapping[UUID, ExpectedDocument], held: Mapping[UUID, IndexedRevision], retired_before: datetime
) -> Reconciliation:
    """Compare what the index ought to hold with what it holds.

    A document retired before ``retired_before`` has done its duty and is forgotten; that is no drift.
    """
    live = {key for key, document in expected.items() if document.retired_at is None}
    visible = {key for key, document in held.items() if not document.hidden}
    missing = live - visible
    extra = visible - live
    stale = {key for key in live & visible if held[key].revision != expected[key].revision}
    gone = {key for key in held if key not in expected}
    done = {
        key
        for key in held.keys() & expected.keys()
        if (moment := expected[key].retired_at) is not None and moment < retired_before
    }
    to_index = missing | stale | (extra & expected.keys()) - done
    # The index refuses what is not newer than it holds: a document that is ahead of its row goes first.
    ahead = {key for key in to_index & held.keys() if held[key].revision >= expected[key].revision}
    drift = IndexDrift(len(live), len(visible), len(missing), len(extra), len(stale))
    return Reconciliation(drift, frozenset(gone | done | ahead), frozenset(to_index), frozenset(gone))
