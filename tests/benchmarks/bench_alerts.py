"""From an alert to its mail, at 50 alerts a second. Run: ``python -m tests.benchmarks.bench_alerts``.

The alert is committed by quality in a whole running host; its relay, the log, notify's routing, its message
and a real SMTP server follow. Nothing waits for neighbours (group wait 0). Alerts that fall due while a
message to the same steward is under way share the next one, as they would.
"""

import asyncio
import json
import logging
import os
import re
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from shared.events.alerts import AlertOpened, AlertState
from shared.events.registry import QUALITY_ALERT_OPENED
from shared.gc_tuning import freeze_survivors
from tests.support.host_in_process import RunningHost, feed_of, run_host
from tests.support.mail_server import MailServer, run_mail_server

ALERTS_PER_SECOND = 50
SECONDS = 10
STEWARDS = 50
DATASETS = 500
DRAIN_SECONDS_MAX = 120.0
MATTER = re.compile(rb"/inbox/([0-9a-f-]{36})")


@dataclass
class TimingServer(MailServer):
    """Remembers when each matter's mail was taken."""

    taken_at: dict[UUID, float] = field(default_factory=dict)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        now = time.perf_counter()
        answer = await super().handle_DATA(server, session, envelope)
        for part in self.accepted[-1].walk():
            content = part.get_payload(decode=True)
            for found in MATTER.finditer(content if isinstance(content, bytes) else b""):
                self.taken_at.setdefault(UUID(found[1].decode()), now)
        return answer


def report(name: str, value: float, unit: str) -> None:
    print(json.dumps({"name": name, "value": round(value, 1), "unit": unit}), flush=True)


def alert(dataset_id: str, now: object) -> AlertState:
    return AlertState.model_validate(
        {
            "alert_id": uuid4(),
            "dataset_id": dataset_id,
            "dataset_title": "A dataset",
            "kind": "row-count-dropped",
            "severity": "warning",
            "state": "open",
            "cause": "60 % of the rows are gone.",
            "next_act": "Publish the whole file again.",
            "opened_at": now,
            "changed_at": now,
        }
    )


async def raise_alerts(running: RunningHost, ids: list[str]) -> dict[UUID, float]:
    """Commit alerts at a steady rate; return when each was committed."""
    (quality,) = [each.service for each in running.host.runners if each.service.name == "quality"]
    committed: dict[UUID, float] = {}
    begun = time.perf_counter()
    for number in range(ALERTS_PER_SECOND * SECONDS):
        await asyncio.sleep(max(0.0, begun + number / ALERTS_PER_SECOND - time.perf_counter()))
        state = alert(ids[number % len(ids)], running.host.clock.now())
        async with quality.store.unit_of_work() as work:
            opened = AlertOpened(alert=state)
            work.emit(QUALITY_ALERT_OPENED, opened, subject=str(state.alert_id), subjectversion=1)
        committed[state.alert_id] = time.perf_counter()
    return committed


async def measure(data_dir: Path, server: TimingServer) -> None:
    async with run_host(data_dir) as running:
        names = [f"d{number}" for number in range(DATASETS)]
        rows = [f"{name},steward{number % STEWARDS}@example.gov" for number, name in enumerate(names)]
        await running.import_csv("stewardships", "\n".join(["identifier,steward_email", *rows, ""]))
        await running.idle()
        await running.harvest(feed_of(*names))
        await running.idle()
        rows_of_datasets = await running.rows("catalog", "SELECT dataset_id FROM datasets")
        freeze_survivors()
        mails_before, processor_before = len(server.accepted), time.process_time()
        committed = await raise_alerts(running, [str(UUID(row[0])) for row in rows_of_datasets])
        await running.host.wait_until_idle(timeout_seconds=DRAIN_SECONDS_MAX)
        processor_ms = (time.process_time() - processor_before) * 1_000
        cuts = statistics.quantiles(
            [(server.taken_at[key] - moment) * 1_000 for key, moment in committed.items()], n=20
        )
        report("alert_to_delivered_p50", cuts[9], "ms at 50 alerts/s")
        report("alert_to_delivered_p95", cuts[18], "ms at 50 alerts/s")
        # A busy machine keeps this figure; the mail server's share is in it.
        report("alert_processor_time", processor_ms / len(committed), "ms per alert")
        report("alerts_per_mail", len(committed) / (len(server.accepted) - mails_before), "alerts")


def main() -> None:
    """Measure in a folder that is thrown away, with the collector set as a running server sets it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    server = TimingServer()
    with run_mail_server(server=server), tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "NUTMEG_NOTIFY_SMTP_HOST": "127.0.0.1",
            "NUTMEG_NOTIFY_SMTP_PORT": str(server.port),
            "NUTMEG_NOTIFY_GROUP_WAIT_SECONDS": "0",
        }
        asyncio.run(measure(Path(folder) / "data", server))


if __name__ == "__main__":
    main()
