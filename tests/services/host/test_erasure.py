"""A person who asks to be forgotten is in no file of the installation once the log has let go of them.

The proof reads bytes: log, dead letters, outboxes, inboxes, tables, write-ahead logs, search index.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import httpx
import pytest

from services.host.bootstrap import bootstrap_host
from services.host.running import Host
from services.host.settings import HostSettings
from shared.clock import SimulatedClock
from shared.log.port import OutgoingRecord

NAME = "Wilhelmina Quackenbush"
EMAIL = "w.quackenbush@example.gov"
AGENCIES = "code,name,data_officer_email\nDOT,Department of Transportation,officer.dot@example.gov\n"
PEOPLE = (
    "email,display_name,role,agency_code\n"
    f"{EMAIL},{NAME},steward,DOT\n"
    "officer.dot@example.gov,Otto Officer,agency-data-officer,DOT\n"
)
PURPOSE = "My neighbour Wilhelm asked me for an audit of the spending on Elm Street."
OTHERS_PURPOSE = f"As {NAME.upper()} ({EMAIL}) told us, the ledger has it."
REASON = f"{NAME} may have it; write to {EMAIL}."
STEWARDSHIPS = f"identifier,agency_code,steward_email\nledger-1,DOT,{EMAIL}\n"
FEED = {
    "conformsTo": "https://project-open-data.cio.gov/v1.1/schema",
    "dataset": [
        {
            "@type": "dcat:Dataset",
            "identifier": "ledger-1",
            "title": "Expenditure Ledger",
            "description": "What was spent.",
            "keyword": ["spending"],
            "modified": "2026-01-05",
            "publisher": {"name": "Department of Transportation"},
            "contactPoint": {"fn": "Open Data Team", "hasEmail": "mailto:open-data@example.gov"},
            "accessLevel": "restricted public",
        }
    ],
}


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
async def host(tmp_path: Path, clock: SimulatedClock) -> AsyncIterator[Host]:
    started = bootstrap_host(HostSettings(data_dir=tmp_path / "data"), clock=clock)
    await started.start()
    try:
        yield started
    finally:
        await started.stop()


def client_of(host: Host) -> httpx.AsyncClient:
    token = host.directory.read_admin_token()
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(host.app, client=("127.0.0.1", 50_000)),
        base_url="http://127.0.0.1:8080",
        headers={"Authorization": f"Bearer {token}"},
    )


async def fill(host: Host, client: httpx.AsyncClient) -> str:
    """Make the person a steward with mail under way, requests and dead letters; return the id.

    Their own words stand in a request of theirs, their name in the words of others and in a token's label.
    """
    for kind, text in (("agencies", AGENCIES), ("people", PEOPLE), ("stewardships", STEWARDSHIPS)):
        answer = await client.post(
            f"/api/v1/directory/imports/{kind}", content=text, headers={"Content-Type": "text/csv"}
        )
        assert answer.is_success, answer.text
        assert not answer.json()["problems"], answer.text
    people = (await client.get("/api/v1/directory/people")).json()["items"]
    person_id = next(one["person_id"] for one in people if one["email"] == EMAIL)
    answer = await client.post("/api/v1/harvests?source=ledger", json=FEED)
    assert answer.is_success, answer.text
    await host.wait_until_idle()
    token = (
        await client.post("/api/v1/tokens", json={"person_id": person_id, "label": f"audit of {NAME}"})
    ).json()["token"]
    dataset = (await client.get("/api/v1/datasets")).json()["results"][0]["id"]
    answer = await client.post(
        "/api/v1/sharing-requests",
        json={"dataset_id": dataset, "purpose": PURPOSE, "data_wanted": "All rows"},
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "ask-once"},
    )
    assert answer.status_code == 201, answer.text
    own = answer.json()["request_id"]
    await ask_as_the_officer(client, people, dataset)
    where = f"/api/v1/sharing-requests/{own}"
    read = {"If-Match": (await client.get(where)).headers["etag"]}
    decided = await client.post(f"{where}/approve", json={"reason": REASON}, headers=read)
    assert decided.is_success, decided.text
    await fail_on(host, person_id)
    await host.wait_until_idle()
    assert (await host.dead_letters.list(topic="directory.people")).total > 0
    return str(person_id)


async def ask_as_the_officer(client: httpx.AsyncClient, people: list[dict[str, str]], dataset: str) -> None:
    """Have somebody else ask, with the person's name in what they write and on their token."""
    officer = next(one["person_id"] for one in people if one["email"] == "officer.dot@example.gov")
    order = {"person_id": officer, "label": f"on {NAME}'s desk"}
    token = (await client.post("/api/v1/tokens", json=order)).json()["token"]
    answer = await client.post(
        "/api/v1/sharing-requests",
        json={"dataset_id": dataset, "purpose": OTHERS_PURPOSE, "data_wanted": "All rows"},
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "ask-once"},
    )
    assert answer.status_code == 201, answer.text


async def fail_on(host: Host, person_id: str) -> None:
    """Publish a record of the person that no group can read: it ends among the dead letters."""
    damaged = f'{{"person": {{"display_name": "{NAME}", "email": "{EMAIL}"}}}}'.encode()
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"damaged"),
        ("ce_type", b"nutmeg.governance.person.changed.v1"),
        ("ce_source", b"/nutmeg/governance"),
        ("ce_subject", person_id.encode()),
        ("ce_time", b"2026-01-05T12:00:00Z"),
        ("ce_subjectversion", b"1000"),
    ]
    await host.log.publish([OutgoingRecord("directory.people", person_id, person_id, headers, damaged)])


def files_with(directory: Path, text: str) -> list[str]:
    """Return the files that hold ``text`` in any letters, also as a mail encodes it."""
    wanted = text.lower().encode()
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and wanted in _plain(path).lower()
    )


def _plain(path: Path) -> bytes:
    if "mail" not in path.parts:
        return path.read_bytes()
    message = message_from_bytes(path.read_bytes())
    parts = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
    texts = [" ".join(bytes(part).decode().split()) for part in parts if isinstance(part, bytes)]
    return " ".join([*map(str, message.values()), *texts]).encode()


async def prune(host: Host) -> None:
    """What every service and the log do each hour."""
    for runner in host.runners:
        await runner.relay.prune()
    await host.prune_log()


@pytest.mark.timeout(240)
async def test_an_erased_person_is_in_no_file_a_day_later(host: Host, clock: SimulatedClock) -> None:
    directory = host.directory.path
    async with client_of(host) as client:
        person_id = await fill(host, client)
        before = files_with(directory, EMAIL)
        assert {name.split(".")[0].split("/")[0] for name in before} >= {
            "governance",
            "notify",
            "log",
            "mail",
        }
        assert {name.split(".")[0].split("/")[0] for name in files_with(directory, "neighbour Wilhelm")} >= {
            "governance",
            "notify",
            "log",
            "mail",
        }
        answer = await client.delete(f"/api/v1/directory/people/{person_id}")
        assert answer.status_code == 204, answer.text
        await host.wait_until_idle()
        clock.advance(timedelta(hours=25))
        await prune(host)

        assert files_with(directory, EMAIL) == []
        assert files_with(directory, NAME) == []
        assert files_with(directory, "neighbour Wilhelm") == []
        assert files_with(directory, "the ledger has it") != [], "what others wrote stays, but for the name"
        assert files_with(directory, "officer.dot@example.gov") != []
        assert (await client.get("/api/v1/datasets", params={"q": NAME})).json()["total"] == 0
        shown = (await client.get("/api/v1/directory/people")).json()["items"]
        assert person_id not in [one["person_id"] for one in shown]
