"""Whether all that the directory told is known here, by the offsets of the group that takes it in."""

from shared.consuming.group_lag import group_lag
from shared.events.topics import GROUPS, TOPICS
from shared.log.port import EventLog

_GROUP = GROUPS["catalog.enrichment"]
_TOPICS = tuple(name for name in _GROUP.topics if TOPICS[name].owner == "governance")


class DirectoryLag:
    """Whether the directory has said more than is known here yet."""

    def __init__(self) -> None:
        self._log: EventLog | None = None

    def read_from(self, log: EventLog) -> None:
        """Take the log that the service's consumers read."""
        self._log = log

    async def pending_changes(self) -> int:
        if self._log is None:
            raise RuntimeError("harvests run where the directory is read: no log was handed over")
        return await group_lag(self._log, _GROUP.name, _TOPICS)
