"""Three brokers of which the leader is killed again and again under load: nothing lost, nothing repeated."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from shared.events.topics import TOPICS
from tests.servers.kafka import Kafka
from tests.soak.checks import check_counts, check_rest
from tests.soak.load import EVENTS_PER_SECOND
from tests.soak.results import Findings
from tests.soak.running import put_under_load, running_whole, settle, wait_until_idle
from tests.soak.showing import Shown
from tests.soak.watching import wait_for

__all__ = ["run_brokers"]

BROKERS = 3
KILL_EVERY_SECONDS = 40.0
DOWN_SECONDS = 10.0
IN_SYNC_SECONDS_MAX = 120.0


@dataclass
class Killing:
    """Kills the broker that leads most partitions of hits, and starts it again."""

    kafka: Kafka
    topic: str
    kills: int = 0
    in_sync_seconds: list[float] = field(default_factory=list)

    def once(self, number: int) -> None:
        """Kill, wait, start, and wait until every partition has all its copies again."""
        if number == 0:
            return  # the first kill meets a cluster under load
        leader, _ = Counter(each["leader"] for each in self._partitions()).most_common(1)[0]
        broker = self.kafka.brokers[leader - 1]
        broker.kill()
        self.kills += 1
        time.sleep(DOWN_SECONDS)
        started = time.monotonic()
        broker.start()
        wait_for(self._is_in_sync, "all copies to be in step", seconds_max=IN_SYNC_SECONDS_MAX)
        self.in_sync_seconds.append(time.monotonic() - started)

    def _is_in_sync(self) -> bool:
        return all(len(each["isr"]) == BROKERS for each in self._partitions())

    def _partitions(self) -> list[dict[str, Any]]:
        async def describe() -> list[dict[str, Any]]:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.address)
            await admin.start()
            try:
                (topic,) = await admin.describe_topics([self.topic])
            finally:
                await admin.close()
            partitions: list[dict[str, Any]] = topic["partitions"]
            return partitions

        return asyncio.run(describe())


def run_brokers(minutes: float, shown: Shown) -> Findings:
    """Run it."""
    found = Findings(
        "brokers",
        f"{minutes:g} minutes at {EVENTS_PER_SECOND:.0f} events/s over 5 apis and 5 workers; "
        f"{BROKERS} brokers, replication 3, min.insync.replicas 2; every {KILL_EVERY_SECONDS:.0f} s the "
        f"leader of most partitions of hits is killed -9 and is away for {DOWN_SECONDS:.0f} s",
    )
    with running_whole(shown, brokers=BROKERS) as run:
        settle(run, shown)
        prefix = run.cluster.environment["NUTMEG_KAFKA_PREFIX"]
        killing = Killing(run.ground.kafka, prefix + TOPICS["usage.hits"].name)
        put_under_load(run, minutes * 60, shown, (KILL_EVERY_SECONDS, killing.once))
        shown.tell("waiting until all is handled")
        wait_until_idle(run.cluster)
        published = check_rest(found, run.cluster)
        check_counts(found, run.cluster, run.feed, run.hits, run.mail.message_ids)
    found.add("kills of a leader", killing.kills, "kills")
    found.must_hold("at least one leader was killed", killing.kills > 0)
    found.add("all copies in step after a start at most", max(killing.in_sync_seconds, default=0.0), "s")
    found.add("published in all", published, "events")
    found.add("lag in time at most", run.most("lag_seconds"), "s")
    found.add("outbox at most", run.most("outbox_records"), "records")
    return found
