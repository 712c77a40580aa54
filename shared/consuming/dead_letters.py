"""What operators do with dead letters: list them, look at one, have them handled again, discard them.

A dead letter is a record of ``<topic>.dlq``. Its state is kept apart, in the store of the service whose group
failed (:mod:`shared.consuming.replays`); a record without a row there is ``open``.
"""

import builtins
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from shared.consuming.dead_letter_record import DeadLetter, read_dead_letter
from shared.consuming.replays import UNDECIDED, DeadLetterAct, ReplayQueue, ReplayState
from shared.errors import InvalidEventError, InvalidInputError, NotFoundError
from shared.events.topics import DEAD_LETTER_SUFFIX, GROUPS, TOPICS
from shared.log.port import EventLog, TopicPartition
from shared.store.engine import Store

__all__ = ["DeadLetterPage", "DeadLetterView", "DeadLetters"]

logger = structlog.get_logger(__name__)

READ_RECORDS = 500
LETTERS_MAX = 10_000
"""How many are looked at for one answer; the budget of each consumer keeps the real number far below."""


@dataclass(frozen=True, slots=True)
class DeadLetterView:
    """A dead letter with what became of it; ``detail`` says why a replay failed or what it did."""

    letter: DeadLetter
    state: ReplayState
    detail: str | None


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """Dead letters, the latest first. ``next_cursor`` is ``None`` on the last page."""

    items: Sequence[DeadLetterView]
    next_cursor: str | None
    total: int


class DeadLetters:
    """Works on the log and the stores of all services given. ``stores`` is keyed by service name."""

    def __init__(
        self,
        *,
        log: EventLog,
        stores: Mapping[str, Store],
        on_requested: Callable[[str], None] = lambda _group: None,
    ) -> None:
        self._log = log
        self._queues = {service: ReplayQueue(store, log) for service, store in stores.items()}
        self._on_requested = on_requested
        self._counted: set[tuple[str, str]] = set()

    async def list(
        self,
        *,
        topic: str | None = None,
        group: str | None = None,
        state: ReplayState | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DeadLetterPage:
        """Return a page. ``topic`` is the source topic. Raises ``NotFoundError`` (topic, cursor)."""
        views = [
            view
            for view in await self._views(await self._letters(topic, group))
            if state is None or view.state is state
        ]
        first = 0
        if cursor is not None:
            places = [view.letter.id for view in views]
            if cursor not in places:
                raise NotFoundError(
                    f"No dead letter has the id {cursor!r}.",
                    what="page",
                    field="cursor",
                    fix="Start without a cursor.",
                )
            first = places.index(cursor) + 1
        items = views[first : first + limit]
        has_more = first + limit < len(views)
        return DeadLetterPage(items, items[-1].letter.id if has_more else None, len(views))

    async def show(self, identity: str) -> DeadLetterView:
        """Return one. Raises ``NotFoundError`` if there is none, or it is past its retention."""
        for letter in await self._letters(None, None):
            if letter.id == identity:
                return (await self._views([letter]))[0]
        raise _unknown_letter(identity, "dead_letter_id")

    async def history(self, view: DeadLetterView) -> builtins.list[DeadLetterAct]:
        """Return what people did about a dead letter, oldest first."""
        service = _service_of(view.letter.group)
        return await self._queues[service].acts(view.letter.id) if service in self._queues else []

    async def undecided(self) -> dict[tuple[str, str], int]:
        """Return how many wait for a person, by source topic and group; 0 where none does any more."""
        counts = dict.fromkeys(self._counted, 0)
        for view in await self._views(await self._letters(None, None)):
            place = (view.letter.source.topic, view.letter.group)
            counts[place] = counts.get(place, 0) + (view.state in UNDECIDED)
        # A letter that has left the log must not go on being counted.
        self._counted |= counts.keys()
        return counts

    async def discard(
        self,
        ids: Sequence[str] | None = None,
        *,
        reason: str,
        by: UUID | None = None,
        topic: str | None = None,
        group: str | None = None,
    ) -> builtins.list[str]:
        """Decide that these are never handled, with a reason; return their ids.

        By ``ids`` (any state), or all open and failed ones of a source topic or group. Raises
        ``NotFoundError``, ``InvalidInputError`` without a reason or a choice, and ``ConflictError`` while a
        replay of one is under way; of each service either all are discarded or none.
        """
        if not reason.strip():
            raise InvalidInputError(
                "A dead letter is discarded for a reason.",
                field="reason",
                fix="Say why it is never to be handled.",
                code="missing",
            )
        if ids is None and topic is None and group is None:
            raise InvalidInputError(
                "Nothing was chosen.", field="ids", fix="Name ids, a topic or a group.", code="missing"
            )
        by_service = await self._chosen(ids, topic, group)
        for service, letters in by_service.items():
            await self._queue(service).discard(letters, reason=reason.strip(), by=by)
        discarded = [letter for letters in by_service.values() for letter in letters]
        for letter in discarded:
            logger.info(
                "dead letter discarded", dead_letter=letter.id, group=letter.group, person=str(by or "")
            )
        return [letter.id for letter in discarded]

    async def replay(
        self,
        ids: Sequence[str] | None = None,
        *,
        by: UUID | None = None,
        topic: str | None = None,
        group: str | None = None,
    ) -> builtins.list[str]:
        """Ask the failing groups to handle these again; return the ids asked for.

        By ``ids`` (any state), or all open and failed ones of a source topic and group; without either, all.
        Raises ``NotFoundError`` for an unknown id or topic, before anything is asked for.
        """
        by_service = await self._chosen(ids, topic, group)
        for service, asked in by_service.items():
            await self._queue(service).request(asked, by=by)
            for name in {letter.group for letter in asked}:
                self._on_requested(name)
        return [letter.id for letters in by_service.values() for letter in letters]

    async def _chosen(
        self, ids: Sequence[str] | None, topic: str | None, group: str | None
    ) -> dict[str, builtins.list[DeadLetter]]:
        """Return the letters meant, by service. Raises ``NotFoundError``."""
        letters = await self._letters(topic, group)
        if ids is not None:
            by_id = {letter.id: letter for letter in letters}
            if missing := [identity for identity in ids if identity not in by_id]:
                raise _unknown_letter(missing[0], "ids")
            chosen = [by_id[identity] for identity in ids]
        else:
            chosen = [view.letter for view in await self._views(letters) if view.state in UNDECIDED]
        by_service: defaultdict[str, builtins.list[DeadLetter]] = defaultdict(builtins.list)
        for letter in sorted(chosen, key=lambda each: (each.place, each.place_offset)):
            by_service[_service_of(letter.group)].append(letter)
        return by_service

    async def _letters(self, topic: str | None, group: str | None) -> builtins.list[DeadLetter]:
        if topic is not None and topic not in TOPICS:
            raise NotFoundError(
                f"No topic is called {topic!r}.",
                what="topic",
                field="topic",
                fix=f"Use one of: {', '.join(sorted(TOPICS))}.",
            )
        found: dict[str, DeadLetter] = {}
        for name in [topic] if topic else sorted(TOPICS):
            try:
                ends = await self._log.end_offsets(name + DEAD_LETTER_SUFFIX)
            except KeyError:
                continue  # nobody has created that topic here
            for place, end in ends.items():
                await self._collect(place, end, found)
        letters = [letter for letter in found.values() if group in {None, letter.group}]
        return sorted(letters, key=lambda each: (each.last_at, each.id), reverse=True)

    async def _collect(self, place: TopicPartition, end: int, found: dict[str, DeadLetter]) -> None:
        offset = 0
        while offset < end and len(found) < LETTERS_MAX:
            records = await self._log.read(place, from_offset=offset, records_max=READ_RECORDS)
            if not records:
                return
            for record in records:
                try:
                    letter = read_dead_letter(record)
                except InvalidEventError:
                    continue  # somebody else wrote to the topic; it is not ours to replay
                found.setdefault(letter.id, letter)
            offset = records[-1].offset + 1

    async def _views(self, letters: Sequence[DeadLetter]) -> builtins.list[DeadLetterView]:
        by_service: defaultdict[str, builtins.list[str]] = defaultdict(builtins.list)
        for letter in letters:
            by_service[_service_of(letter.group)].append(letter.id)
        states: dict[str, tuple[ReplayState, str | None]] = {}
        for service, ids in by_service.items():
            if service in self._queues:
                states |= await self._queues[service].states(ids)
        return [
            DeadLetterView(letter, *states.get(letter.id, (ReplayState.OPEN, None))) for letter in letters
        ]

    def _queue(self, service: str) -> ReplayQueue:
        if service not in self._queues:
            raise KeyError(f"the store of service {service!r} is not at hand; given: {sorted(self._queues)}")
        return self._queues[service]


def _unknown_letter(identity: str, field: str) -> NotFoundError:
    return NotFoundError(
        f"No dead letter has the id {identity!r}.",
        what="dead letter",
        field=field,
        fix="List them to see the ids: nutmeg dlq list.",
    )


def _service_of(group: str) -> str:
    # A group that this version no longer has still carries its service's name in front.
    return GROUPS[group].service if group in GROUPS else group.split(".")[0]
