"""A whole Nutmeg under load: ten processes on real servers, hits and changing datasets, mail taken in."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any
from uuid import UUID

import httpx
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.soak.ground import Ground, real_servers
from tests.soak.load import CYCLE_SECONDS, DATASETS, STEWARDS, Feed, Hits, steward_email
from tests.soak.processes import resident_mib
from tests.soak.showing import Shown
from tests.soak.watching import standing_of, wait_for
from tests.support.cluster import Cluster, run_cluster
from tests.support.cluster_facts import unpublished
from tests.support.journeys import answer_of
from tests.support.mail_server import MailServer, run_mail_server

__all__ = ["BACKLOG", "Run", "Steadily", "put_under_load", "running_whole", "settle", "wait_until_idle"]

SOURCE = "portal"
SAMPLE_SECONDS = 15.0
REPEATED_EVERY = 20
"""Each twentieth batch of hits is sent twice, as after a lost answer."""
ATTEMPTS_MAX = 3
READY_SECONDS_MAX = 300.0
IDLE_SECONDS_MAX = 900.0

BACKLOG = ("lag_records", "lag_seconds", "outbox_records")
"""What of the standing is sampled."""

Steadily = tuple[float, Callable[[int], None]]
"""A period in seconds, and what is done with each number of it."""


class CountingMailServer(MailServer):
    """Remembers no message, only each Message-ID that came, so that the soak itself hardly grows."""

    def __init__(self) -> None:
        super().__init__()
        self.message_ids: list[str] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.message_ids.append(str(message_from_bytes(envelope.content)["Message-ID"]))
        return self.default_answer


@dataclass
class Run:
    """A cluster under load, and all that is known of it."""

    cluster: Cluster
    ground: Ground
    mail: CountingMailServer
    feed: Feed = field(default_factory=Feed)
    hits: Hits = field(default_factory=lambda: Hits([]))
    samples: list[dict[str, float]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    late_seconds_max: float = 0.0

    def pids(self) -> dict[str, int]:
        """Every process under watch, by name."""
        own = {name: process.popen.pid for name, process in self.cluster.processes.items()}
        return own | self.ground.pids()

    def most(self, name: str) -> float:
        """The largest value that was sampled."""
        return max((row[name] for row in self.samples if name in row), default=0.0)

    def every(self, period_seconds: float, seconds: float, act: Callable[[int], None]) -> None:
        """Act at a steady rate for so long, catching up where an act took longer; note the worst delay."""
        begun = time.monotonic()
        for number in range(int(seconds / period_seconds)):
            due = begun + number * period_seconds
            if self.stopped.wait(max(0.0, due - time.monotonic())):
                return
            self.late_seconds_max = max(self.late_seconds_max, time.monotonic() - due)
            act(number)


@contextmanager
def running_whole(shown: Shown, *, brokers: int = 1) -> Iterator[Run]:
    """Start servers and processes; all end with the block."""
    shown.tell("starting servers")
    mail = CountingMailServer()
    with real_servers(brokers=brokers) as ground, run_mail_server(server=mail):
        shown.tell("starting ten processes")
        with run_cluster(
            ground.folder,
            kafka=ground.kafka.address,
            postgres=ground.postgres.address,
            elasticsearch=ground.elasticsearch.address,
            NUTMEG_KAFKA_REPLICATION_FACTOR=str(brokers),
            NUTMEG_NOTIFY_SMTP_HOST="127.0.0.1",
            NUTMEG_NOTIFY_SMTP_PORT=str(mail.port),
            NUTMEG_QUALITY_BASELINE_WAIT_SECONDS="1",
        ) as cluster:
            yield Run(cluster, ground, mail)


def settle(run: Run, shown: Shown) -> None:
    """Bring people and datasets in, and wait until every service knows them."""
    shown.tell("bringing in people and datasets")
    people = "".join(f"{steward_email(number)},Steward {number},steward,DOT\n" for number in range(STEWARDS))
    stewards = "".join(f"road-{number},{steward_email(number)}\n" for number in range(DATASETS))
    with run.cluster.client() as admin:
        for kind, lines in (
            ("agencies", "code,name\nDOT,Department of Transportation\n"),
            ("people", f"email,display_name,role,agency_code\n{people}"),
            ("stewardships", f"identifier,steward_email\n{stewards}"),
        ):
            imported = admin.post(
                f"/api/v1/directory/imports/{kind}", content=lines, headers={"Content-Type": "text/csv"}
            )
            answer_of(imported)
        wait_for(
            lambda: admin.get("/api/v1/harvests").status_code == 200,
            "the catalogue to know the operator",
            seconds_max=READY_SECONDS_MAX,
        )
        assert _harvest(admin, run.feed)["created"] == DATASETS
        wait_until_idle(run.cluster)
        run.hits.dataset_ids = sorted(_dataset_ids(admin))


def _dataset_ids(admin: httpx.Client) -> list[UUID]:
    report = answer_of(admin.get("/api/v1/usage/report"))
    return [UUID(item["dataset_id"]) for item in report["items"]]


def _harvest(admin: httpx.Client, feed: Feed) -> dict[str, int]:
    order = {"source": SOURCE, "wait": "true"}
    key = f"cycle {feed.cycles}"
    job = answer_of(_posted(admin, "/api/v1/harvests", key, params=order, content=feed.document()))
    result: dict[str, int] = job["result"]
    return result


def _posted(client: httpx.Client, path: str, key: str, **request: Any) -> httpx.Response:
    """Post, again where no answer comes: a kept connection may end just as it is used. A key counts once."""
    for _ in range(ATTEMPTS_MAX - 1):
        with suppress(httpx.TransportError):
            return client.post(path, headers={"Idempotency-Key": key}, **request)
    return client.post(path, headers={"Idempotency-Key": key}, **request)


def put_under_load(run: Run, seconds: float, shown: Shown, *more: Steadily) -> None:
    """Send hits, change the feed, sample and do ``more``, each from a thread of its own, for so long."""
    begun = time.monotonic()
    with run.cluster.client() as hits, run.cluster.client() as harvests:

        def send(number: int) -> None:
            batch = {"hits": run.hits.batch()}
            for _ in range(2 if number % REPEATED_EVERY == 0 else 1):
                answer_of(_posted(hits, "/api/v1/usage/hits:batch", f"batch {number}", json=batch), 202)

        def change(_number: int) -> None:
            changed = run.feed.change()
            result = _harvest(harvests, run.feed)
            assert result["changed"] == changed, result

        def sample(_number: int) -> None:
            row = _sample(run, begun)
            words = ", ".join(f"{name} {row[name]:.0f}" for name in BACKLOG if name in row)
            shown.advance(
                row["seconds"], seconds, f"{run.hits.sent:,} hits, {run.feed.cycles} harvests, {words}"
            )

        acts: Sequence[Steadily] = ((1.0, send), (CYCLE_SECONDS, change), (SAMPLE_SECONDS, sample), *more)
        with ThreadPoolExecutor(len(acts)) as threads:
            working = [threads.submit(run.every, period, seconds, act) for period, act in acts]
            try:
                wait(working, return_when=FIRST_EXCEPTION)
            finally:
                run.stopped.set()
            for each in working:
                each.result()


def _sample(run: Run, begun: float) -> dict[str, float]:
    row = resident_mib(run.pids()) | {"seconds": time.monotonic() - begun}
    # A machine that is too busy gives no answer in time now and then; memory is sampled all the same.
    with suppress(httpx.HTTPError):
        standing = standing_of(run.cluster)
        row |= {name: float(getattr(standing, name)) for name in BACKLOG}
    run.samples.append(row)
    return row


def wait_until_idle(cluster: Cluster) -> None:
    """Return once nothing is left to do, seen three times in a row."""
    quiet: list[bool] = []

    def look() -> bool:
        with suppress(httpx.HTTPError):
            quiet.append(standing_of(cluster).is_idle and not unpublished(cluster))
        return quiet[-3:] == [True] * 3

    wait_for(look, "lag, outboxes and due work to be 0", seconds_max=IDLE_SECONDS_MAX)
