"""The thread on real feeds: Connecticut's datasets with their owners, federal feeds, a feed's history."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from jsonschema import Draft4Validator
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from tests.support.installation import Installation, run_installation
from tests.support.journeys import answer_of, client_of, dataset_titled, inbox_of, plain_text, sent_about
from tests.support.mail_server import MailServer, run_mail_server

pytestmark = [pytest.mark.timeout(900)]

DEATHS_ID = "https://data.ct.gov/api/views/rybz-nyjw"
DEATHS_FILE = "accidental-drug-related-deaths-2012-2018.csv"
FILES_SERVED = 8
"""Enough to measure real rows; every further one would only cost time."""


class QuietFiles(SimpleHTTPRequestHandler):
    """Files of a folder, without a line per request."""

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@dataclass
class State:
    """An installation of Connecticut's real catalogue, an agency's own file server, and a mail server."""

    installation: Installation
    mail: MailServer
    files: Path
    feed_path: Path
    feed: dict[str, Any]
    overlay: list[dict[str, str]]
    first: dict[str, Any]

    def harvest(self, feed: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Harvest Connecticut's feed, or a changed one, and return once all that follows is handled."""
        self.feed_path.write_text(json.dumps(feed or self.feed))
        with self.installation.client() as admin:
            found = harvested(admin, self.feed_path.read_bytes(), "ct")
        self.installation.wait_until_idle(300)
        return found


@pytest.fixture(scope="module")
def file_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    folder = tmp_path_factory.mktemp("files")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield folder, server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def state(
    tmp_path_factory: pytest.TempPathFactory, real_data: Path, file_server: tuple[Path, int]
) -> Iterator[State]:
    folder = tmp_path_factory.mktemp("real")
    files, port = file_server
    feed = with_files_here(json.loads((real_data / "ct" / "data.json").read_bytes()), real_data, files, port)
    feed_path = folder / "ct.json"
    feed_path.write_text(json.dumps(feed))
    with (
        run_mail_server() as mail,
        run_installation(
            folder / "data",
            NUTMEG_NOTIFY_SMTP_HOST="127.0.0.1",
            NUTMEG_NOTIFY_SMTP_PORT=str(mail.port),
            NUTMEG_NOTIFY_GROUP_WAIT_SECONDS="0",
            NUTMEG_ALLOWED_NETWORKS='["127.0.0.0/8"]',
            NUTMEG_ALLOWED_PORTS=f"[{port}]",
        ) as installation,
    ):
        owners = ("--agencies", real_data / "ct/agencies.csv", "--stewardships", real_data / "ct/overlay.csv")
        first = installation.answer("harvest", feed_path, "--source", "ct", *owners)
        installation.wait_until_idle(300)
        with (real_data / "ct" / "overlay.csv").open(newline="") as lines:
            overlay = list(csv.DictReader(lines))
        yield State(installation, mail, files, feed_path, feed, overlay, first)


def with_files_here(feed: dict[str, Any], real_data: Path, files: Path, port: int) -> dict[str, Any]:
    """Serve some real rows from this machine, and name no address of the open internet."""
    served = 0
    for record in feed["dataset"]:
        name = record["identifier"].rsplit("/", 1)[1]
        rows = real_data / "ct" / "rows" / f"{name}.csv"
        if record["identifier"] == DEATHS_ID:
            rows = real_data / "ct" / "files" / DEATHS_FILE
        elif served >= FILES_SERVED or not rows.exists():
            record.pop("distribution", None)
            continue
        served += 1
        (files / f"{name}.csv").write_bytes(rows.read_bytes())
        url = f"http://127.0.0.1:{port}/{name}.csv"
        record["distribution"] = [{"downloadURL": url, "mediaType": "text/csv", "format": "CSV"}]
    return feed


def harvested(client: httpx.Client, feed: bytes, source: str, **parameters: str) -> dict[str, Any]:
    """Harvest, wait for the end of it, and return the job with what it did."""
    parameters = {"source": source, "wait": "true", **parameters}
    answer = client.post("/api/v1/harvests", params=parameters, content=feed, timeout=300)
    job = answer_of(answer)
    return {**job, **(job["result"] or {})}


def official_judge(real_data: Path) -> Validator:
    """The official schema for non-federal datasets, with formats checked."""
    schema = json.loads((real_data / "schemas/dcatus1.1/non-federal_dataset.json").read_bytes())
    kind = validator_for(schema, default=Draft4Validator)
    return kind(schema, format_checker=kind.FORMAT_CHECKER)


def test_all_307_are_kept_and_the_published_catalogue_satisfies_the_official_schema(
    state: State, real_data: Path
) -> None:
    assert {name: state.first[name] for name in ("created", "rejected", "retired")} == {
        "created": 307,
        "rejected": 0,
        "retired": 0,
    }
    judge = official_judge(real_data)
    assert sum(not judge.is_valid(record) for record in state.feed["dataset"]) >= 200, (
        "the source is not valid"
    )
    with state.installation.client("") as visitor, state.installation.client() as admin:
        published = {one["identifier"]: one for one in answer_of(visitor.get("/data.json"))["dataset"]}
        everything = answer_of(admin.get("/api/v1/datasets"))["total"]
    assert everything == 307
    assert published.keys() == {one["identifier"] for one in state.overlay if one["visibility"] == "public"}
    problems = {
        name: [error.message for error in judge.iter_errors(record)] for name, record in published.items()
    }
    assert {name: found for name, found in problems.items() if found} == {}
    assert all(one["publisher"]["name"] for one in published.values())


def test_each_dataset_falls_on_its_agency_and_each_steward_gets_one_summary_and_no_alert(
    state: State, real_data: Path
) -> None:
    with (real_data / "ct" / "agencies.csv").open(newline="") as lines:
        agencies = list(csv.DictReader(lines))
    names = {one["code"]: one["name"] for one in agencies}
    expected = Counter(names[one["agency_code"]] for one in state.overlay)
    with state.installation.client() as admin:
        facet = answer_of(admin.get("/api/v1/datasets", params={"limit": 1}))["facets"]["agency"]
        assert answer_of(admin.get("/api/v1/quality/alerts"))["items"] == []
    found = {one["label"]: one["count"] for one in facet}
    assert found == {name: expected[name] for name in found}
    summaries = sent_about(state.mail.accepted, "What the first measurement found")
    assert sorted(str(one["To"]) for one in summaries) == sorted(
        {one["steward_email"] for one in state.overlay}
    )
    # Whoever answers for an agency got one of all its datasets, the chief data officer of all; none got two.
    overviews = sent_about(state.mail.accepted, "First quality check")
    held = {one["agency_code"] for one in state.overlay}
    officers = {one["data_officer_email"] for one in agencies if one["code"] in held}
    recipients = Counter(str(one["To"]) for one in overviews)
    assert set(recipients.values()) == {1}
    assert officers <= recipients.keys()
    assert len(recipients.keys() - officers) <= 1
    assert len(state.mail.accepted) == len(summaries) + len(overviews)


def test_a_real_file_that_loses_rows_and_a_record_that_loses_its_text_reach_their_stewards(
    state: State,
) -> None:
    steward_of = {one["identifier"]: one["steward_email"] for one in state.overlay}
    record = next(one for one in state.feed["dataset"] if one["identifier"] == DEATHS_ID)
    other = next(
        one
        for one in state.feed["dataset"]
        if one["identifier"] != DEATHS_ID and one.get("description") and one.get("keyword")
    )
    file = state.files / f"{DEATHS_ID.rsplit('/', 1)[1]}.csv"
    whole = file.read_bytes()
    worse = json.loads(json.dumps(state.feed))
    for one in worse["dataset"]:
        if one["identifier"] == DEATHS_ID:
            one["modified"] = "2026-01-20"
        if one["identifier"] == other["identifier"]:
            del one["description"], one["keyword"]
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:2_001]))
    before = len(state.mail.accepted)
    job = state.harvest(worse)
    assert (job["created"], job["changed"], job["retired"]) == (0, 2, 0)
    told = {
        " ".join(str(one["Subject"]).split()): (str(one["To"]), plain_text(one))
        for one in state.mail.accepted[before:]
    }
    assert len(told) == 2, told
    (rows,) = [told[name] for name in told if record["title"] in name]
    (text,) = [told[name] for name in told if other["title"] in name]
    assert rows[0] == steward_of[DEATHS_ID]
    assert "There were 5,105 rows, now there are 2,000 rows." in rows[1]
    assert text[0] == steward_of[other["identifier"]]
    with client_of(state.installation, steward_of[DEATHS_ID]) as steward:
        (item,) = [one for one in inbox_of(steward) if one["title"] == record["title"]]
        answer_of(steward.post(f"/api/v1/inbox/{item['id']}/acknowledge"))

    file.write_bytes(whole)
    mended = json.loads(json.dumps(state.feed))
    next(one for one in mended["dataset"] if one["identifier"] == DEATHS_ID)["modified"] = "2026-01-21"
    state.harvest(mended)
    over = state.mail.accepted[before + 2 :]
    assert sorted(str(one["To"]) for one in over) == sorted([rows[0], text[0]])
    assert all("is well again" in plain_text(one) for one in over)
    with state.installation.client() as admin:
        items = answer_of(admin.get("/api/v1/quality/alerts"))["items"]
        assert {one["state"] for one in items} == {"resolved"}


def test_hits_on_real_datasets_are_counted_exactly_and_a_batch_sent_twice_once(state: State) -> None:
    public = [one["identifier"] for one in state.overlay if one["visibility"] == "public"][:50]
    hits = [
        {
            "identifier": identifier,
            "kind": kind,
            "occurred_at": f"2026-01-10T1{hour}:00:00Z",
            "visitor": {
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Firefox/132.0",
                "session": f"v{hour}",
            },
        }
        for position, identifier in enumerate(public)
        for hour in range(1 + position % 4)
        for kind in ("view", "download")
    ]
    with state.installation.client() as admin:
        for _ in range(2):
            answer = admin.post(
                "/api/v1/usage/hits:batch", json={"hits": hits}, headers={"Idempotency-Key": "real-1"}
            )
            assert answer.is_success, answer.text
        state.installation.wait_until_idle()
        days: dict[str, str | int] = {"from": "2026-01-10", "to": "2026-01-10", "limit": 1_000}
        report = answer_of(admin.get("/api/v1/usage/report", params=days))["items"]
    assert sum(one["views"] or 0 for one in report) == len(hits) // 2
    assert sum(one["downloads"] or 0 for one in report) == len(hits) // 2


def test_restricted_real_data_is_asked_for_and_decided_by_its_agency(state: State) -> None:
    row = next(
        one
        for one in state.overlay
        if (one["access_level"], one["visibility"]) == ("restricted public", "public")
    )
    title = next(one["title"] for one in state.feed["dataset"] if one["identifier"] == row["identifier"])
    asking = next(one["steward_email"] for one in state.overlay if one["agency_code"] != row["agency_code"])
    with (
        client_of(state.installation, asking) as requester,
        client_of(state.installation, row["steward_email"]) as steward,
    ):
        dataset = dataset_titled(requester, title)
        order = {
            "dataset_id": dataset["id"],
            "purpose": "A plan for safer roads in our towns.",
            "data_wanted": "All years, by town.",
        }
        request = answer_of(requester.post("/api/v1/sharing-requests", json=order), 201)
        seen = steward.get(f"/api/v1/sharing-requests/{request['request_id']}")
        answer_of(
            steward.post(
                f"/api/v1/sharing-requests/{request['request_id']}/deny",
                json={"reason": "The law keeps it here."},
                headers={"If-Match": seen.headers["ETag"]},
            )
        )
    state.installation.wait_until_idle()
    outcome = state.mail.accepted[-1]
    assert outcome["To"] == asking
    assert "The law keeps it here." in plain_text(outcome)


@pytest.fixture(scope="module")
def federal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with run_installation(tmp_path_factory.mktemp("federal") / "data") as installation:
        yield installation


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Counter[tuple[str, str]]:
    """What one state of a feed changed, computed from the files alone."""
    return Counter(
        [
            *(("new", name) for name in after.keys() - before.keys()),
            *(("changed", name) for name in after.keys() & before.keys() if after[name] != before[name]),
            *(("retired", name) for name in before.keys() - after.keys()),
        ]
    )


def events_after(client: httpx.Client, cursor: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """Return all events after the cursor as an outside service reads them, and where they end."""
    events: list[dict[str, Any]] = []
    while True:
        page = answer_of(client.get("/api/v1/events", params={"cursor": cursor} if cursor else {}))
        if not page["events"]:
            return events, cursor
        events += page["events"]
        cursor = page["next_cursor"]


def test_an_outside_service_reads_the_real_history_of_a_feed_as_its_differences(
    federal: Installation, real_data: Path
) -> None:
    known: dict[str, Any] = {}
    ever: set[str] = set()
    cursor: str | None = None
    with federal.client() as admin, federal.client("") as visitor:
        for path in sorted((real_data / "federal" / "fcc-history").glob("*.json")):
            feed = path.read_bytes()
            records = {one["identifier"]: one for one in json.loads(feed)["dataset"]}
            harvested(admin, feed, "fcc", confirm="true")
            federal.wait_until_idle()
            events, cursor = events_after(visitor, cursor)
            told = Counter(
                (event["type"].split(".")[3], event["data"]["dataset"]["identifier"])
                for event in events
                if event["data"] and "dataset" in event["data"]
            )
            expected: Counter[tuple[str, str]] = Counter()
            for (what, name), count in differences(known, records).items():
                kind = {"new": "changed" if name in ever else "registered"}.get(what, what)
                expected[kind, name] += count
            assert told == expected, path.name
            ever |= records.keys()
            known = records


def test_stale_federal_feeds_open_no_alert(federal: Installation, real_data: Path) -> None:
    with federal.client() as admin:
        for name, count in (("gsa", 339), ("opm", 134)):
            feed = json.loads((real_data / "federal" / f"{name}.json").read_bytes())
            for record in feed["dataset"]:
                record.pop("distribution", None)  # no test reaches the open internet
            job = harvested(admin, json.dumps(feed).encode(), name)
            assert job["created"] == count
        federal.wait_until_idle(300)
        summary = answer_of(admin.get("/api/v1/quality/summary"))
        assert summary["freshness"]["stale"] >= 200
        assert answer_of(admin.get("/api/v1/quality/alerts"))["items"] == []


def counts(job: Mapping[str, Any]) -> dict[str, int]:
    return {name: job[name] for name in ("created", "changed", "unchanged", "retired", "rejected")}


def test_a_bad_feed_fails_whole_and_a_bad_record_alone(federal: Installation, real_data: Path) -> None:
    good = [
        {"identifier": f"bad-{number}", "title": f"Bridges {number}", "accessLevel": "public"}
        for number in range(4)
    ]
    with federal.client() as admin:
        for broken in (b'{"dataset": [{"identifier": "a"', json.dumps({"dataset": good}).encode("utf-16")):
            job = harvested(admin, broken, "bad")
            assert job["status"] == "failed"
            assert job["message"]
        long = {
            "identifier": "long",
            "title": "Long",
            "description": "word " * 40_000,
            "accessLevel": "public",
        }
        twice = {**good[0], "title": "The same identifier again"}
        job = harvested(
            admin, json.dumps({"dataset": [*good, long, twice, {"title": "Nameless"}]}).encode(), "bad"
        )
        assert (job["created"], job["rejected"]) == (5, 2)
        assert all(one["problems"][0]["cure"] for one in job["rejections"])
        federal.wait_until_idle()
        kept = dataset_titled(admin, "Long")
        shown = answer_of(admin.get(f"/api/v1/datasets/{kept['id']}"))
        assert len(shown["description"].encode()) <= 65_536
        assert any(one["field"] == "description" for one in shown["cures"])

        held = harvested(admin, json.dumps({"dataset": good[:1]}).encode(), "bad")
        assert (held["status"], held["retired"]) == ("held", 0)
        assert answer_of(admin.get(f"/api/v1/datasets/{kept['id']}"))["title"] == "Long"


def test_every_case_of_wrong_records_is_kept_unless_it_has_no_identity(
    federal: Installation, real_data: Path
) -> None:
    with federal.client() as admin:
        for path in sorted((real_data / "dcatus-cases").glob("dcatus_*.json")):
            feed = json.loads(path.read_bytes())
            for record in feed["dataset"]:
                record.pop("distribution", None)
            nameless = sum(not record.get("identifier") for record in feed["dataset"])
            job = harvested(admin, json.dumps(feed).encode(), path.stem)
            assert job["status"] == "completed", path.name
            assert job["rejected"] >= nameless, path.name
            kept = job["created"]
            assert kept + job["rejected"] == len(feed["dataset"]), path.name
            assert kept == len({one["identifier"] for one in feed["dataset"] if one.get("identifier")}), (
                path.name
            )
