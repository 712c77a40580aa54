"""Laws of every handler of every service, on every database: the entries are read from the services.

The examples are the committed ones of ``shared/events/examples``, so a new event type is held to the laws as
soon as a service routes it.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from shared.clock import Clock
from shared.consuming.applying import Applier
from shared.consuming.handling import Outcome, Subscription
from shared.events.contracts import EXAMPLES
from shared.events.envelope import Headers
from shared.events.registry import AGENCY_CHANGED, DATASET_REGISTERED, EVENT_TYPES, PERSON_CHANGED
from shared.events.topics import GROUPS, Deduplication
from shared.http.settings import HTTPSettings
from shared.identity.signing_key import SigningKey
from shared.log.measuring import NullDeliveryMetrics
from shared.log.port import LogRecord
from shared.process.context import ProcessContext
from shared.process.service import Service
from shared.process.settings import ClusterSettings
from shared.telemetry.metrics import Metrics
from tests.architecture.project import EVENT_SERVICES
from tests.support.databases import Databases

HANDLED = (Outcome.APPLIED, Outcome.IGNORED)
SPOKEN_OF = {
    AGENCY_CHANGED.name: ("agency", "agency_id"),
    PERSON_CHANGED.name: ("person", "person_id"),
    DATASET_REGISTERED.name: ("dataset", "dataset_id"),
}
NAMES_OF = {
    "agency_id": "agency_id",
    "person_id": "person_id|steward_id|requester_id",
    "dataset_id": "dataset_id",
}
GRANTS = [{"role": "operator"}, {"role": "chief-data-officer"}]
FIRST_VERSION = 1_000
"""Above every version of the examples."""


class _SettingsOf(ClusterSettings):
    """Settings of a cluster whose databases may also be files."""

    def database_url_of(self, service: str) -> str:
        return self.database_urls[service].get_secret_value()

    @classmethod
    def at(cls, service: str, url: str, data_dir: Path) -> "_SettingsOf":
        # Copied past the check of the scheme, which allows PostgreSQL alone.
        return cls(data_dir=data_dir).model_copy(update={"database_urls": {service: SecretStr(url)}})


@dataclass(frozen=True)
class _Arriving:
    """An event of one type as it lies on the log."""

    topic: str
    headers: Headers
    value: bytes

    @classmethod
    def example(cls, type_name: str) -> "_Arriving":
        """Return the committed example, as published."""
        event = orjson.loads((EXAMPLES / f"{type_name}.json").read_bytes())
        data = event.pop("data")
        headers = [(f"ce_{name}", str(value).encode()) for name, value in event.items()]
        return cls(EVENT_TYPES[type_name].topic.name, headers, orjson.dumps(data))

    def again(self, *, version: int) -> "_Arriving":
        """Return the same told anew: another id, and another version where the topic has versions."""
        changed = {"ce_id": str(uuid4()).encode()}
        if any(name == "ce_subjectversion" for name, _ in self.headers):
            changed["ce_subjectversion"] = str(version).encode()
        return replace(self, headers=[(name, changed.get(name, raw)) for name, raw in self.headers])

    def with_unknown_fields(self) -> "_Arriving":
        """Return it as a later version of its owner might write it."""
        return replace(self, value=orjson.dumps(_widened(orjson.loads(self.value))))

    def record(self, clock: Clock) -> LogRecord:
        """Return the record that a consumer reads."""
        return LogRecord(self.topic, 0, 0, "key", self.headers, self.value, clock.now())


def _widened(value: Any) -> Any:
    if isinstance(value, dict):
        return {**{name: _widened(held) for name, held in value.items()}, "a_field_of_tomorrow": {"new": [1]}}
    if isinstance(value, list):
        return [_widened(held) for held in value]
    return value


class _Group:
    """One consumer group of an open service."""

    def __init__(self, service: Service, subscription: Subscription, clock: Clock) -> None:
        self.types = sorted(subscription.handlers, key=_as_told)
        self._service = service
        self._clock = clock
        self._applier = Applier(subscription, store=service.store, clock=clock, metrics=NullDeliveryMetrics())

    async def take(self, *arriving: _Arriving) -> list[Outcome | None]:
        """Apply events in one batch; return what became of each."""
        items = [self._applier.decoded(one.record(self._clock), self._clock.now()) for one in arriving]
        for item in items:
            assert item.error is None, item.error
        await self._applier.apply(items)
        return [item.outcome for item in items]

    async def state(self) -> Mapping[str, Sequence[str]]:
        """Return every row of the service but those by which it knows what it has handled."""
        tables = self._service.store.tables
        bookkeeping = {tables.inbox.name, tables.applied_versions.name}
        async with self._service.store.read() as connection:
            return {
                table.name: sorted(repr(tuple(row)) for row in await connection.execute(select(table)))
                for table in self._service.store.metadata.sorted_tables
                if table.name not in bookkeeping
            }


def _as_told(type_name: str) -> tuple[bool, str]:
    """The directory and the datasets first, then what is said of them."""
    return not type_name.startswith(("nutmeg.governance.", "nutmeg.catalog.dataset.registered")), type_name


def _spoken_of(type_name: str, version: int) -> list[_Arriving]:
    """Return the example once for each thing of its kind that any example names.

    What is told of something unknown would wait for it.
    """
    example, (part, field) = _Arriving.example(type_name), SPOKEN_OF[type_name]
    texts = [path.read_text() for path in sorted(EXAMPLES.glob("*.json"))]
    names = re.compile(rf'"(?:{NAMES_OF[field]})": "([0-9a-f-]{{36}})"')
    told = []
    for key in sorted({key for text in texts for key in names.findall(text)}):
        data = orjson.loads(example.value)
        data[part] |= {field: key, "grants": GRANTS} if part == "person" else {field: key}
        headers = [(name, key.encode() if name == "ce_subject" else raw) for name, raw in example.headers]
        told.append(replace(example, value=orjson.dumps(data), headers=headers).again(version=version))
    return told


async def _tell_the_world(groups: Sequence[_Group], versions: Iterator[int]) -> None:
    """Tell every example, and all that examples speak of."""
    for group in groups:
        for type_name in group.types:
            await group.take(_Arriving.example(type_name).again(version=next(versions)))
        for type_name in sorted(SPOKEN_OF.keys() & set(group.types)):
            await group.take(*_spoken_of(type_name, next(versions)))


@asynccontextmanager
async def _opened(name: str, databases: Databases, clock: Clock) -> AsyncIterator[list[_Group]]:
    ground = ProcessContext(
        settings=_SettingsOf.at(name, await databases.url(name), databases.folder / name),
        http=HTTPSettings(),
        clock=clock,
        signing_key=SigningKey.generate(),
        metrics=Metrics(),
    )
    service: Service = import_module(f"services.{name}.bootstrap").bootstrap_cluster(ground).service
    await service.store.open()
    await service.open()
    try:
        groups = [_Group(service, subscription, clock) for subscription in service.subscriptions]
        groups.sort(key=lambda group: _as_told(group.types[0]))  # the directory before the rest
        yield groups
    finally:
        await service.close()
        await service.store.close()


@pytest.mark.parametrize("name", EVENT_SERVICES)
async def test_handlers_keep_the_laws(name: str, databases: Databases, clock: Clock) -> None:
    """Twice the same is once; an old version is nothing; a field that is not known yet does no harm."""
    versions = count(FIRST_VERSION)
    async with _opened(name, databases, clock) as groups:
        for group in groups:
            await _tell_the_world(groups, versions)
            for type_name in group.types:
                old = _Arriving.example(type_name).again(version=next(versions))
                told = old.again(version=next(versions))
                (first,) = await group.take(told)
                assert first in HANDLED, type_name
                after_once = await group.state()

                again = [told, old, told] if _has_versions(type_name) else [told, told]
                for copies in ([told], again):
                    assert await group.take(*copies) == [_repeated(type_name)] * len(copies), type_name
                assert await group.state() == after_once, f"{type_name} handled again changed something"

                wider = told.again(version=next(versions)).with_unknown_fields()
                outcomes = await group.take(wider, wider)
                assert outcomes[0] in HANDLED, type_name
                assert outcomes[1] is _repeated(type_name), type_name


@pytest.mark.parametrize("name", EVENT_SERVICES)
def test_every_group_of_a_service_is_held_to_them(name: str) -> None:
    handled = import_module(f"services.{name}.handlers")
    routed = {
        type_name
        for literal in vars(handled)
        if literal.endswith("_HANDLERS")
        for type_name in getattr(handled, literal)
    }
    assert routed
    assert all((EXAMPLES / f"{type_name}.json").exists() for type_name in routed)
    assert {group.service for group in GROUPS.values()} == set(EVENT_SERVICES)


def _has_versions(type_name: str) -> bool:
    return EVENT_TYPES[type_name].topic.deduplication is Deduplication.VERSION


def _repeated(type_name: str) -> Outcome:
    return Outcome.STALE if _has_versions(type_name) else Outcome.DUPLICATE
