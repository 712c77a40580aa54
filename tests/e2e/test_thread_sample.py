"""The whole thread on the project's own sample: from a harvest to a mail, in the real process, hop by hop."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.host.sample.catalog import sample_dataset, sample_datasets
from services.host.sample.hits import SampleHit, sample_hits
from tests.support.installation import Installation, run_demo
from tests.support.journeys import (
    answer_of,
    client_of,
    dataset_titled,
    inbox_of,
    plain_text,
    sent_about,
)
from tests.support.mail_server import MailServer, run_mail_server

pytestmark = [pytest.mark.timeout(600)]

LEDGER = "Open Expenditures Ledger"
LEDGER_STEWARD = "steward.osc@example.gov"
EXTRACT = "P20 WIN De-identified Outcomes Extract"
EXTRACT_STEWARD = sample_dataset("p20-win-outcomes-extract").steward_email
REQUESTER = "research-desk@example.org"
CHIEF = "chief-data-officer@example.gov"
DAYS_PLAYED = 28
DOUBLE_CLICK = timedelta(seconds=30)
ASKED = {"purpose": "Whether graduates earn more after five years.", "data_wanted": "Totals by programme."}


@dataclass
class Place:
    """A filled demo and the mail server that it writes to."""

    installation: Installation
    mail: MailServer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("thread") / "demo"
    with (
        run_mail_server() as mail,
        run_demo(
            folder,
            NUTMEG_NOTIFY_SMTP_HOST="127.0.0.1",
            NUTMEG_NOTIFY_SMTP_PORT=str(mail.port),
            NUTMEG_NOTIFY_GROUP_WAIT_SECONDS="0",
        ) as installation,
    ):
        installation.wait_until_idle()
        yield Place(installation, mail)


def recipients_of(messages: list[Any]) -> list[str]:
    return sorted(str(one["To"]) for one in messages)


def run_of(installation: Installation, order: str, **content: Any) -> None:
    """Turn a fault on or off, and return once all that follows is handled."""
    with installation.client() as admin:
        answer_of(admin.post(f"/api/v1/demo/{order}", json=content), 202)
    installation.wait_until_idle()


def test_the_first_harvest_brings_every_steward_one_summary_and_no_alert(place: Place) -> None:
    stewards = {one.steward_email for one in sample_datasets()}
    summaries = sent_about(place.mail.accepted, "What the first measurement found")
    assert recipients_of(summaries) == sorted(stewards)
    with place.installation.client() as admin:
        assert answer_of(admin.get("/api/v1/quality/alerts"))["items"] == []
        assert answer_of(admin.get("/api/v1/datasets"))["total"] == len(sample_datasets())


def independent_counts(hits: list[SampleHit]) -> dict[str, Counter[str]]:
    """Count hits without the product: no robots, and clicks at most 30 s apart are one."""
    clicks: dict[tuple[str, str, str, str], list[datetime]] = defaultdict(list)
    for hit in hits:
        if "bot" not in hit.user_agent:
            clicks[hit.dataset_slug, hit.kind, hit.visitor, hit.user_agent].append(hit.at)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for (slug, kind, _visitor, _agent), moments in clicks.items():
        moments.sort()
        starts = 1 + sum(later - earlier > DOUBLE_CLICK for earlier, later in pairwise(moments))
        counts[sample_dataset(slug).title][kind] += starts
    return counts


def test_the_report_of_use_equals_an_independent_count(place: Place) -> None:
    with place.installation.client() as admin:
        report = answer_of(admin.get("/api/v1/usage/report", params={"limit": 1_000}))
    today = datetime.fromisoformat(report["to"]).date()
    expected = independent_counts(list(sample_hits(today, DAYS_PLAYED)))
    assert sum(sum(one.values()) for one in expected.values()) > 1_000
    assert len(report["items"]) == len(sample_datasets())
    for item in report["items"]:
        counts = expected[item["title"]]
        found = (item["views"], item["downloads"], item["api_calls"])
        assert found == (counts["view"], counts["download"], counts["api-call"]), item["title"]


def test_a_degraded_dataset_brings_its_steward_one_mail_and_one_when_it_is_over(place: Place) -> None:
    before = len(place.mail.accepted)
    run_of(place.installation, "degrade")
    (told,) = place.mail.accepted[before:]
    assert told["To"] == LEDGER_STEWARD
    assert LEDGER in " ".join(str(told["Subject"]).split())
    text = plain_text(told)
    assert "60% of the rows are gone." in text
    assert f"You are the steward of “{LEDGER}”." in text
    assert "Publish the complete file again" in text

    with client_of(place.installation, LEDGER_STEWARD) as steward:
        (item,) = [one for one in inbox_of(steward) if one["title"] == LEDGER]
        assert f"/inbox/{item['id']}" in text
        (evidence,) = item["evidence"]
        assert evidence["name"] == "rows"
        assert item["why_me"] == f"You are the steward of “{LEDGER}”."
        assert answer_of(steward.post(f"/api/v1/inbox/{item['id']}/acknowledge"))["state"] == "acknowledged"
        shown = answer_of(steward.get(f"/api/v1/inbox/{item['id']}"))
        assert [one["state"] for one in shown["deliveries"]] == ["sent"]
        place.installation.wait_until_idle()
        alert = answer_of(steward.get(f"/api/v1/quality/alerts/{item['id']}"))
        assert alert["state"] == "acknowledged"

        run_of(place.installation, "repair")
        assert [one["title"] for one in inbox_of(steward, "done")] == [LEDGER]
        assert answer_of(steward.get(f"/api/v1/quality/alerts/{item['id']}"))["state"] == "resolved"
    _began, over = place.mail.accepted[before:]
    assert over["To"] == LEDGER_STEWARD
    assert over["Message-ID"] != told["Message-ID"]
    assert f"{LEDGER} is well again" in plain_text(over)


def step_on(client: httpx.Client, request_id: str, action: str, **content: Any) -> httpx.Response:
    """Take a step on the state that the client has seen."""
    seen = client.get(f"/api/v1/sharing-requests/{request_id}")
    headers = {"If-Match": seen.headers["ETag"]}
    return client.post(f"/api/v1/sharing-requests/{request_id}/{action}", json=content, headers=headers)


def test_a_request_is_returned_sent_again_and_approved_and_the_requester_hears_each_time(
    place: Place,
) -> None:
    before = len(place.mail.accepted)
    with (
        client_of(place.installation, REQUESTER) as requester,
        client_of(place.installation, CHIEF) as chief,
    ):
        dataset = dataset_titled(requester, EXTRACT)
        order = {"dataset_id": dataset["id"], **ASKED}
        request_id = answer_of(requester.post("/api/v1/sharing-requests", json=order), 201)["request_id"]
        place.installation.wait_until_idle()
        (asked,) = place.mail.accepted[before:]
        assert asked["To"] == EXTRACT_STEWARD
        assert step_on(requester, request_id, "approve", reason="I allow it myself.").status_code == 403
        assert step_on(chief, request_id, "approve").status_code == 422, "a decision has a reason"

        answer_of(step_on(chief, request_id, "return", reason="Say how long you keep it."))
        place.installation.wait_until_idle()
        returned = place.mail.accepted[before + 1 :]
        assert recipients_of(returned) == [REQUESTER]
        assert "Say how long you keep it." in plain_text(returned[0])
        (waiting,) = inbox_of(requester)
        assert waiting["next_act"] == "Add what is missing and send it in again."
        with client_of(place.installation, EXTRACT_STEWARD) as steward:
            assert EXTRACT not in [one["title"] for one in inbox_of(steward)], "the turn is the requester's"

        content = {**ASKED, "retention": "Two years, then destroyed."}
        answer_of(step_on(requester, request_id, "resubmit", content=content))
        place.installation.wait_until_idle()
        answer_of(step_on(chief, request_id, "approve", reason="It serves the plan."))
        place.installation.wait_until_idle()
        approved = answer_of(requester.get(f"/api/v1/sharing-requests/{request_id}"))
        assert approved["status"] == "approved"
        assert [one["action"] for one in approved["steps"]] == ["submit", "return", "resubmit", "approve"]
        outcome = place.mail.accepted[-1]
        assert outcome["To"] == REQUESTER
        assert "It serves the plan." in plain_text(outcome)
        (answer,) = inbox_of(requester)
        assert (answer["cause"], answer["href"]) == (
            "The request was approved.",
            f"/sharing-requests/{request_id}",
        )
        read = answer_of(requester.post(f"/api/v1/inbox/{answer['id']}/acknowledge"))
        assert read["state"] == "done"
        assert inbox_of(requester) == []
        assert step_on(chief, request_id, "deny", reason="Too late.").status_code == 409


def test_who_asks_for_public_data_is_told_where_it_is(place: Place) -> None:
    before = len(place.mail.accepted)
    with client_of(place.installation, REQUESTER) as requester:
        dataset = dataset_titled(requester, LEDGER)
        order = {"dataset_id": dataset["id"], **ASKED}
        answer = answer_of(requester.post("/api/v1/sharing-requests", json=order), 200)
        assert (answer["answer"], answer["href"]) == ("here-it-is", f"/datasets/{dataset['id']}")
        asked_for = answer_of(requester.get("/api/v1/sharing-requests"))["items"]
        assert dataset["id"] not in [one["dataset_id"] for one in asked_for]
    place.installation.wait_until_idle()
    assert place.mail.accepted[before:] == []


def test_every_page_and_every_record_of_the_sample_says_that_it_is_one(place: Place) -> None:
    with place.installation.client("") as visitor:
        dataset = dataset_titled(visitor, LEDGER)
        for path in (
            "/",
            "/search?q=town",
            f"/datasets/{dataset['id']}",
            "/quality",
            "/demo",
            "/nothing-here",
        ):
            page = visitor.get(path, headers={"Accept": "text/html"})
            assert "Sample data" in page.text, path
        export = answer_of(visitor.get("/data.json"))
        assert all("sample data" in one["keyword"] for one in export["dataset"])
        assert answer_of(visitor.get(f"/api/v1/datasets/{dataset['id']}"))["is_sample"] is True
