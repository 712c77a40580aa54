"""How a log or database does as a keeper of data: can it be written, is it whole, may it be used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import text

from shared.errors import TransientError
from shared.store.engine import Store
from shared.store.notes import read_note

__all__ = ["Storage", "StorageHealth", "file_health", "store_health"]


_READ_ONLY = text("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean")


class Storage(Protocol):
    """What keeps data in a file, and can be asked about it."""

    @property
    def damage(self) -> str | None: ...

    @property
    def checked_at(self) -> datetime | None: ...

    async def write_trouble(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class StorageHealth:
    """``write_trouble``, ``damage`` and ``refusal`` are words, or ``None`` where all is well.

    ``refusal`` says why a database must not be worked with; ``checked_at`` is when a file was last read as a
    whole, ``None`` for a database that is no file.
    """

    name: str
    write_trouble: str | None
    damage: str | None
    checked_at: datetime | None
    refusal: str | None = None
    accepted_losses: Sequence[Mapping[str, Any]] = ()
    """What operators decided to go on without: see :class:`shared.outbox.loss_acceptance.AcceptedLoss`."""

    @property
    def causes(self) -> Sequence[str]:
        """What needs a person."""
        words = [self.refusal] if self.refusal else []
        if self.damage is not None:
            words.append(f"{self.name} is damaged ({self.damage}); put a backup back: nutmeg restore")
        if self.write_trouble is not None:
            words.append(f"{self.name} cannot be written: {self.write_trouble}")
        return words


async def file_health(name: str, storage: Storage) -> StorageHealth:
    """Return how a file does, having tried to write it."""
    return StorageHealth(name, await storage.write_trouble(), storage.damage, storage.checked_at)


async def store_health(store: Store, *, may_write: bool = True) -> StorageHealth:
    """Return how a service's database does.

    A process that ``may_write`` tries it; another one asks whether the server takes writes at all.
    """
    name = f"the database of {store.service}"
    try:
        async with store.read() as connection:
            refusal = await read_note(connection, store.tables, "refusal")
            losses = await read_note(connection, store.tables, "loss_accepted") or []
        trouble = await store.write_trouble() if may_write else await _told_trouble(store)
    except TransientError as error:
        return StorageHealth(name, str(error), store.damage, store.checked_at)
    return StorageHealth(name, trouble, store.damage, store.checked_at, refusal, losses)


async def _told_trouble(store: Store) -> str | None:
    if not store.is_shared:
        return None
    async with store.read() as connection:
        statement = text(
            "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool"
        )
        is_read_only = (await connection.execute(statement)).scalar_one()
    return "the server takes no writes (a standby, or read-only)" if is_read_only else None
