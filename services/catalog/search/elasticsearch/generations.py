"""Indices of one catalogue: an alias names the one that answers, another one the index being built aside.

Several processes share a cluster. The name of the index to build follows from the one that answers, so only
one can create it: the other is told that a rebuild is running. A half-built index that its builder left
behind is known by its standing still, and is replaced.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from services.catalog.search.domain.index import CatalogIndexError
from services.catalog.search.elasticsearch.schema import (
    SCHEMA_VERSION,
    SERVING_SETTINGS,
    index_mappings,
    index_meta,
    index_settings,
)
from services.catalog.search.elasticsearch.writing import MissingIndexError

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

_log = structlog.get_logger(__name__)

REBUILD_SILENT_SECONDS_MAX = 60.0
"""A half-built index that has not grown for so long has lost its builder."""

JOINING_SECONDS_MAX = 45.0
"""Shorter than another process waits for a half-built index to grow. 433,000 documents took 10 seconds."""

_EXISTS = "resource_already_exists_exception"
_NOT_MAPPED = "mmap is disabled"


@dataclass(frozen=True, slots=True)
class ElasticsearchGeneration:
    """One index. ``uuid`` is the engine's; ``needs_rebuild`` tells why it may lack documents."""

    name: str
    uuid: str
    needs_rebuild: str | None


class Generations:
    """The indices behind ``<prefix>-catalog``. Raises the client's own errors too."""

    def __init__(
        self, client: "AsyncElasticsearch", prefix: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._monotonic = monotonic
        self.alias = f"{prefix}-catalog"
        self.building_alias = f"{prefix}-catalog-building"
        self._builder = secrets.token_hex(8)
        self._seen: dict[str, tuple[int, float]] = {}

    async def ensure(self) -> None:
        """Make the first, empty index where there is none. Processes may do this at the same time."""
        if await self._client.indices.exists_alias(name=self.alias):
            return
        number = max(map(self._number, await self._names()), default=0) + 1
        await self._create(number, {self.alias: {"is_write_index": True}}, loading=False)

    async def current(self) -> ElasticsearchGeneration:
        """The index that answers. Raises ``MissingIndexError`` where there is none."""
        found = (await self._client.options(ignore_status=404).indices.get(index=self.alias)).body
        if len(found) != 1 or "error" in found:
            raise MissingIndexError(f"The alias {self.alias} names no index, or several.")
        ((name, body),) = found.items()
        return ElasticsearchGeneration(name, _uuid(body), _needs_rebuild(body["mappings"].get("_meta", {})))

    async def begin(self, current: ElasticsearchGeneration) -> ElasticsearchGeneration:
        """A new empty index to fill. Raises :class:`CatalogIndexError` while another process fills one."""
        number = self._number(current.name) + 1
        aliases: dict[str, Any] = {self.building_alias: {"is_write_index": True}}
        if not await self._create(number, aliases, loading=True):
            await self._clear_the_way(self._name(number))
            if not await self._create(number, aliases, loading=True):
                raise CatalogIndexError("A rebuild was begun by another process. Wait for it to end.")
        body = (await self._client.indices.get(index=self._name(number))).body[self._name(number)]
        return ElasticsearchGeneration(self._name(number), _uuid(body), None)

    async def prepare_to_serve(self, new: ElasticsearchGeneration) -> None:
        """Give a filled index the settings that it answers with, and make all of it searchable.

        Its parts are joined into one first: every search and every count is made once for each part. Where
        that takes too long, the engine goes on with it while the index already serves; where it is refused,
        the index serves as it is.
        """
        joining = self._client.options(request_timeout=JOINING_SECONDS_MAX, max_retries=0)
        try:
            await joining.indices.forcemerge(index=new.name, max_num_segments=1)
        except _not_joined() as error:
            _log.warning("index_parts_not_joined", index=new.name, error=str(error))
        await self._client.indices.put_settings(index=new.name, settings=SERVING_SETTINGS)
        await self._client.indices.refresh(index=new.name)

    async def swap(self, old: ElasticsearchGeneration, new: ElasticsearchGeneration) -> None:
        """Let the new index answer, in one step. Raises where either isn't what it was any more."""
        body = (await self._client.indices.get(index=new.name)).body[new.name]
        if _uuid(body) != new.uuid:
            raise CatalogIndexError("The half-built index was replaced by another process.")
        await self._client.indices.update_aliases(
            actions=[
                {"remove": {"index": new.name, "alias": self.building_alias, "must_exist": True}},
                {"remove": {"index": old.name, "alias": self.alias, "must_exist": True}},
                {"add": {"index": new.name, "alias": self.alias, "is_write_index": True}},
            ]
        )

    async def seal(self, old: ElasticsearchGeneration) -> None:
        """Take no more writes; on return, those that were under way to it have ended."""
        await self._client.indices.add_block(index=old.name, block="write")

    async def mark_complete(self, new: ElasticsearchGeneration) -> None:
        """Note in the index itself that it was filled from the catalogue."""
        await self._client.indices.put_mapping(index=new.name, meta=index_meta(complete=True))

    async def remove(self, generation: ElasticsearchGeneration) -> None:
        """Delete an index. One that is gone already is no fault."""
        await self._client.options(ignore_status=404).indices.delete(index=generation.name)

    async def remove_before(self, new: ElasticsearchGeneration) -> None:
        """Delete what came before an index."""
        for name in await self._names():
            if self._number(name) < self._number(new.name):
                await self._client.options(ignore_status=404).indices.delete(index=name)

    async def _create(self, number: int, aliases: Mapping[str, Any], *, loading: bool) -> bool:
        """Create an index; False where there is one of this name."""
        for mapped in (True, False):
            answer = await self._client.options(ignore_status=400).indices.create(
                index=self._name(number),
                aliases=aliases,
                settings=index_settings(loading=loading, mapped=mapped),
                mappings=index_mappings(builder=self._builder),
            )
            error = answer.body.get("error")
            if not error or error["type"] == _EXISTS:
                break
            if not mapped or _NOT_MAPPED not in error["reason"]:
                raise CatalogIndexError(f"Elasticsearch refused a new index: {error['reason']}")
        return not error

    async def _clear_the_way(self, name: str) -> None:
        """Delete a half-built index that nobody builds any more; raise where somebody may.

        One of our own was left by a rebuild that failed when the engine was out of reach.
        """
        body = (await self._client.indices.get(index=name)).body[name]
        is_own = body["mappings"].get("_meta", {}).get("builder") == self._builder
        answer = await self._client.indices.stats(index=name, metric="indexing")
        found = answer.body["indices"][name]
        uuid, written = found["uuid"], int(found["primaries"]["indexing"]["index_total"])
        now = self._monotonic()
        before, since = self._seen.get(uuid, (-1, now))
        if written != before:
            since = now
        self._seen[uuid] = (written, since)
        if not is_own and now - since < REBUILD_SILENT_SECONDS_MAX:
            told = f"If its process died, it is replaced after {REBUILD_SILENT_SECONDS_MAX:.0f} seconds."
            raise CatalogIndexError(f"A rebuild is running in another process. Wait for it to end. {told}")
        await self._client.options(ignore_status=404).indices.delete(index=name)

    async def _names(self) -> list[str]:
        """Every index of this catalogue."""
        pattern = f"{self.alias}-*"
        found = (await self._client.indices.get_alias(index=pattern)).body
        return [name for name in found if name.removeprefix(f"{self.alias}-").isdigit()]

    def _name(self, number: int) -> str:
        return f"{self.alias}-{number:06d}"

    def _number(self, name: str) -> int:
        return int(name.removeprefix(f"{self.alias}-"))


def _not_joined() -> tuple[type[Exception], ...]:
    """What the client raises for a refusal or a late answer; it is imported when first used."""
    from elasticsearch import ApiError, ConnectionTimeout

    return ApiError, ConnectionTimeout


def _uuid(body: dict[str, Any]) -> str:
    return str(body["settings"]["index"]["uuid"])


def _needs_rebuild(meta: Mapping[str, Any]) -> str | None:
    version = meta.get("schema_version")
    if version != SCHEMA_VERSION:
        return f"The index is of version {version}, this program writes {SCHEMA_VERSION}."
    return None if meta.get("complete") is True else "It was never filled from the catalogue."
