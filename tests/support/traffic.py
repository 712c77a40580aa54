"""Clients that keep an installation busy whatever happens to it: they send on until they are answered.

What they got an answer for has happened once; what they got none for they send again with the same key.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from tests.support.file_server import FileServer, csv_of

__all__ = ["ROWS", "ROWS_LEFT", "VISITORS_PER_BATCH", "Traffic", "agencies", "small_feed", "stewardships"]

VISITORS_PER_BATCH = 10
ROWS, ROWS_LEFT = 100, 10
SERVER_ERROR = 500
IN_PROGRESS = 409
ANSWER_SECONDS_MAX = 300.0
AGENCY = "ROADS"


def small_feed(portal: FileServer, pairs: int) -> dict[str, Any]:
    """So many public datasets with a table each, and as many others that have to be asked for."""
    for number in range(pairs):
        portal.files[f"/{number}.csv"] = csv_of(ROWS)
    told = {"description": "A table.", "modified": "2026-02-20"}
    watched = [
        {
            "identifier": f"watched-{number}",
            "title": f"Watched dataset {number}",
            "accessLevel": "public",
            "distribution": [{"downloadURL": portal.url(f"/{number}.csv"), "mediaType": "text/csv"}],
            **told,
        }
        for number in range(pairs)
    ]
    guarded = [
        {
            "identifier": f"asked-{number}",
            "title": f"Guarded dataset {number}",
            "accessLevel": "restricted public",
            "rights": "Ask the agency.",
            **told,
        }
        for number in range(pairs)
    ]
    return {"conformsTo": "https://project-open-data.cio.gov/v1.1/schema", "dataset": [*watched, *guarded]}


def agencies(*others: str) -> str:
    """The agency of the datasets, and ``others`` as code and name, as a file for the directory."""
    return "\n".join(["code,name", f"{AGENCY},Department of Roads", *others, ""])


def stewardships(pairs: int, stewards: int) -> str:
    """Who answers for the datasets of :func:`small_feed`, all of one agency, as a file for the directory."""
    rows = [
        f"{kind}-{number},{AGENCY},steward{number % stewards}@example.gov"
        for kind in ("watched", "asked")
        for number in range(pairs)
    ]
    return "\n".join(["identifier,agency_code,steward_email", *rows, ""])


@dataclass
class Traffic:
    """Hits on every watched dataset in turn; and once for each pair of datasets, in order, as far as
    ``released`` (``None``: all): the watched file loses most of its rows and is measured, and the guarded
    data are asked for.
    """

    connect: Callable[[], httpx.Client]
    portal: FileServer
    watched: Sequence[str]
    guarded: Sequence[str]
    moment: datetime
    pause_seconds: float = 0.0
    released: int | None = None
    batches: int = 0
    retries: int = 0
    happened: int = 0
    failure: str | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Send until told to stop, and at least until all that was released happened."""
        try:
            with self.connect() as client:
                while not self.stop.is_set() or self.happened < self._released():
                    self._hit(client)
                    if self.happened < self._released():
                        self._happen(client, self.happened)
                        self.happened += 1
                    time.sleep(self.pause_seconds)
        except Exception as error:  # noqa: BLE001 - told by the test, in its own thread
            self.failure = repr(error)

    def expected_views(self) -> dict[str, int]:
        """How often each watched dataset was looked at, by its id."""
        count = len(self.watched)
        return {
            dataset_id: VISITORS_PER_BATCH * len(range(number, self.batches, count))
            for number, dataset_id in enumerate(self.watched)
        }

    def _released(self) -> int:
        return len(self.watched) if self.released is None else self.released

    def _hit(self, client: httpx.Client) -> None:
        number = self.batches
        dataset_id = self.watched[number % len(self.watched)]
        hits = [self._hit_of(dataset_id, number, visitor) for visitor in range(VISITORS_PER_BATCH)]
        answer = self._send(client, "/api/v1/usage/hits:batch", f"hits {number}", {"hits": hits})
        assert answer["accepted"] + answer["duplicate"] == VISITORS_PER_BATCH, answer
        self.batches += 1

    def _happen(self, client: httpx.Client, number: int) -> None:
        self.portal.files[f"/{number}.csv"] = csv_of(ROWS_LEFT)
        path = f"/api/v1/quality/datasets/{self.watched[number]}/measure"
        self._send(client, path, f"measure {number}", {})
        wish = {"dataset_id": self.guarded[number], "purpose": "To study roads.", "data_wanted": "All rows."}
        self._send(client, "/api/v1/sharing-requests", f"ask {number}", wish)

    def _hit_of(self, dataset_id: str, number: int, visitor: int) -> dict[str, Any]:
        return {
            "dataset_id": dataset_id,
            "kind": "view",
            "occurred_at": self.moment.isoformat(),
            "visitor": {"address": f"{number}.{visitor}", "user_agent": "Mozilla/5.0 Firefox/132.0"},
        }

    def _send(self, client: httpx.Client, path: str, key: str, body: dict[str, Any]) -> Any:
        until = time.monotonic() + ANSWER_SECONDS_MAX
        while time.monotonic() < until:
            try:
                answer = client.post(path, json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                self.retries += 1
                time.sleep(0.05)
                continue
            if answer.status_code < SERVER_ERROR and answer.status_code != IN_PROGRESS:
                assert answer.is_success, f"{path}: {answer.text}"
                return answer.json()
            assert answer.headers["content-type"] == "application/problem+json", answer.text
            self.retries += 1
            time.sleep(0.05)
        raise AssertionError(f"{path} was not answered, {key}")
