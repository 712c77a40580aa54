"""Finds the source of a feed that was sent without one."""

from services.catalog.harvesting.domain.feeds import Feed, FeedError
from services.catalog.harvesting.domain.source_choice import (
    UNNAMED,
    FeedSketch,
    name_of_address,
    name_of_feed,
    numbered,
    recognised,
)
from services.catalog.harvesting.repository import HarvestRepository
from shared.events.catalog import RejectedRecord
from shared.store.unit_of_work import UnitOfWork

__all__ = ["choose_source", "sketch", "source_of_address"]

RECORDS_SKETCHED_MAX = 500


async def sketch(feed: Feed) -> FeedSketch:
    """Read the beginning of a feed. What cannot be read tells nothing; its harvest will say why."""
    titles: dict[str, str] = {}
    catalogue_id = None
    try:
        catalogue_id = await feed.catalogue_id()
        for record in await feed.next_records(RECORDS_SKETCHED_MAX):
            if not isinstance(record, RejectedRecord):
                titles[record.identifier] = record.title
    except FeedError:
        return FeedSketch(catalogue_id, titles)
    finally:
        await feed.close()
    return FeedSketch(catalogue_id, titles)


async def choose_source(
    work: UnitOfWork, harvests: HarvestRepository, found: FeedSketch, file_name: str | None
) -> str:
    """Return the source that a sent feed belongs to, a known or a new one.

    A source that has the name but none of the feed's records is another one: the feed gets the next number.
    """
    matches = await harvests.sources_with(work, found.titles)
    name = name_of_feed(found, file_name)
    known = recognised(found, matches, name)
    if known is not None:
        return known
    related = {match.source_id for match in matches}
    number = 1
    while found.titles:
        candidate = numbered(name, number)
        if candidate in related or not await harvests.live_count(work, candidate):
            return candidate
        number += 1
    return name


async def source_of_address(work: UnitOfWork, harvests: HarvestRepository, address: str) -> str:
    """Return the source that was harvested from an address last, else the one that is named by it."""
    return await harvests.source_at(work, address) or name_of_address(address) or UNNAMED
