"""What time alone asks for: pass on what nobody takes charge of, and put away what is over."""

from datetime import timedelta
from uuid import UUID

from services.notify.domain.matters import Change, Matter, telling_id
from services.notify.domain.routing import Ownership, Recipient, next_in_line
from services.notify.ports import NotifyPorts, Telling
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork

__all__ = ["pass_on_neglected", "prune_what_is_over"]

MATTERS_PER_TURN = 50
ROWS_PER_TURN = 500


async def pass_on_neglected(store: Store, ports: NotifyPorts, *, after: timedelta) -> int:
    """Give error alerts that nobody took since people were told to who is next in line; return how many.

    Each occurrence of an alert is passed on once.
    """
    now = ports.clock.now()
    async with store.unit_of_work() as work:
        matters = await ports.book.neglected(work, told_before=now - after, limit=MATTERS_PER_TURN)
        if not matters:
            return 0
        readers = await _next_readers(work, ports, matters, after)
        await ports.book.put_in_inbox(work, readers)
        tellings = [
            Telling(
                telling_id(matter, one.person_id, Change.ESCALATED),
                matter.matter_id,
                one.person_id,
                Change.ESCALATED,
                one.reason,
                now,
            )
            for matter in matters
            for one in readers[matter.matter_id]
        ]
        await ports.book.tell(work, tellings)
        await ports.book.mark_passed_on(work, matters)
        work.after_commit(ports.bell.ring)
    return len(matters)


async def prune_what_is_over(store: Store, ports: NotifyPorts, *, kept: timedelta) -> int:
    """Delete a portion of what was over so long ago; return how many matters and messages went."""
    async with store.unit_of_work() as work:
        return await ports.book.prune(work, before=ports.clock.now() - kept, limit=ROWS_PER_TURN)


async def _next_readers(
    work: UnitOfWork, ports: NotifyPorts, matters: list[Matter], after: timedelta
) -> dict[UUID, list[Recipient]]:
    directory = await ports.people.directory(work)
    dataset_ids = {matter.dataset_id for matter in matters if matter.dataset_id is not None}
    known = await ports.people.ownership(work, dataset_ids)
    readers = {}
    for matter in matters:
        ownership = known.get(matter.dataset_id) if matter.dataset_id else None
        told = {one.person_id for one in await ports.book.readers(work, matter.matter_id)}
        readers[matter.matter_id] = next_in_line(
            ownership or Ownership(matter.title, None, matter.agency_id, None),
            directory,
            told=told,
            why=f"Nobody has taken charge of this for {after.days} days",
        )
    return readers
