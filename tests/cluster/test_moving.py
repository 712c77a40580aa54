"""An installation moves from one process to a cluster: everything is there, and nothing is told twice."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.cluster import Cluster, run_cluster
from tests.support.installation import Installation, run_demo
from tests.support.journeys import answer_of, eventually
from tests.support.mail_server import MailServer, run_mail_server

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

MOVED = ("catalog", "notify")
LAG = re.compile(r"^nutmeg_consumer_lag_records\{.*\} (\S+)$", re.MULTILINE)


@dataclass
class Moved:
    """The cluster, what the one process answered before, what the import said, and a mail server."""

    cluster: Cluster
    before: dict[str, int]
    words: str
    mail: MailServer


def counts_of(client: httpx.Client) -> dict[str, int]:
    """How many datasets are found, published and in the change feed, and how many matters wait."""
    return {
        "found": answer_of(client.get("/api/v1/datasets"))["total"],
        "published": len(answer_of(client.get("/data.json"))["dataset"]),
        "changes": len(answer_of(client.get("/api/v1/events", params={"limit": 500}))["events"]),
        "inbox": len(answer_of(client.get("/api/v1/inbox", params={"state": "open"}))["items"]),
    }


def exported(demo: Installation, folder: Path) -> None:
    demo.stop()
    done = demo.run("export", folder)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def moved(
    tmp_path_factory: pytest.TempPathFactory, real_kafka: str, real_postgres: str, real_elasticsearch: str
) -> Iterator[Moved]:
    folder: Path = tmp_path_factory.mktemp("moving")
    said: list[str] = []
    with ExitStack() as stack:
        mail = stack.enter_context(run_mail_server())
        with run_demo(folder / "demo", NUTMEG_NOTIFY_GROUP_WAIT_SECONDS="0") as demo:
            demo.wait_until_idle()
            with demo.client() as admin:
                before = counts_of(admin)
            token = demo.admin_token
            exported(demo, folder / "export")

        def bring(cluster: Cluster) -> str:
            done = cluster.run("import", "installation", str(folder / "export"))
            assert done.returncode == 0, done.stderr + done.stdout
            said.append(done.stdout)
            again = cluster.run("import", "installation", str(folder / "export"))
            assert again.returncode == 1
            assert "import goes into new databases only" in again.stderr
            return token

        cluster = stack.enter_context(
            run_cluster(
                folder,
                kafka=real_kafka,
                postgres=real_postgres,
                elasticsearch=real_elasticsearch,
                services=MOVED,
                prepare=bring,
                NUTMEG_SIGNING_KEY=(folder / "demo" / "signing-key").read_text().strip(),
                NUTMEG_NOTIFY_SMTP_HOST="127.0.0.1",
                NUTMEG_NOTIFY_SMTP_PORT=str(mail.port),
                NUTMEG_NOTIFY_GROUP_WAIT_SECONDS="0",
            )
        )
        yield Moved(cluster, before, said[0], mail)


def test_the_index_that_was_built_anew_is_as_the_rows_are(moved: Moved) -> None:
    assert "0 missing, 0 extra, 0 stale" in moved.words


def test_everything_is_there_and_the_old_token_works(moved: Moved) -> None:
    with moved.cluster.client() as admin:
        assert counts_of(admin) == moved.before


def test_nothing_is_told_twice(moved: Moved) -> None:
    worker = moved.cluster.processes["notify-worker"]

    def lags() -> list[str]:
        return LAG.findall(httpx.get(f"http://127.0.0.1:{worker.port}/metrics", timeout=10).text)

    assert {float(lag) for lag in eventually(lags, "the worker to tell its lag")} == {0.0}
    assert moved.mail.attempts == 0
