"""An attack: planted hidden records are looked for everywhere, by everyone who may not see them."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from services.catalog.changes_feed.api.changes import Bell, stream_changes
from shared.events.alerts import AlertOpened, AlertState
from shared.events.catalog import Visibility
from shared.events.governance import (
    AgencyChanged,
    AgencyState,
    SharingRequestState,
    SharingRequestSubmitted,
    StewardshipChanged,
    StewardshipState,
)
from shared.events.quality import Measurement, MeasurementRecorded
from shared.events.registry import (
    AGENCY_CHANGED,
    MEASUREMENT_RECORDED,
    QUALITY_ALERT_OPENED,
    SHARING_REQUEST_SUBMITTED,
    STEWARDSHIP_CHANGED,
)
from shared.identity.viewer import ANONYMOUS
from tests.support.catalog_service import (
    AGENCY_A,
    AGENCY_B,
    VIEWERS,
    RunningCatalog,
    bearer,
    dataset,
    feed_of,
)

SECRET = "zyzzogeton"
"""A word that stands in every text of the planted records, and nowhere else."""

MAY_SEE: Mapping[str, set[str | None]] = {
    "public": {None, "requester", "steward-a", "steward-b", "officer", "operator"},
    "government": {"steward-a", "steward-b", "officer", "operator"},
    "agency-a": {"steward-a", "officer", "operator"},
    "agency-b": {"steward-b", "officer", "operator"},
}
PLANTED = ("government", "agency-a", "agency-b")
EVERYONE = (None, *VIEWERS)


def planted(name: str) -> dict[str, Any]:
    return dataset(
        name,
        title=f"{SECRET} {name}",
        description=f"{SECRET} of {name}",
        keyword=[f"{SECRET}-{name}"],
        theme=[f"{SECRET} theme {name}"],
        license=f"https://licenses.example.gov/{SECRET}/{name}",
        distribution=[{"downloadURL": f"https://files.example.gov/{SECRET}/{name}.geojson"}],
    )


async def plant(running: RunningCatalog) -> dict[str, str]:
    """Harvest one public and three hidden records; return their ids by name."""
    for number, agency_id in enumerate((AGENCY_A, AGENCY_B)):
        agency = AgencyState(agency_id=agency_id, code=f"A{number}", name=f"Agency {number}")
        await running.tell(AGENCY_CHANGED, AgencyChanged(agency=agency), str(agency_id))
    for name, agency_id, visibility in (
        ("government", AGENCY_A, "government"),
        ("agency-a", AGENCY_A, "agency"),
        ("agency-b", AGENCY_B, "agency"),
    ):
        state = StewardshipState(identifier=name, agency_id=agency_id, visibility=visibility)
        await running.tell(STEWARDSHIP_CHANGED, StewardshipChanged(stewardship=state), name)
    await running.harvest(feed_of(dataset("public"), *(planted(name) for name in PLANTED)))
    page = await running.search("operator", limit=100)
    ids = {result["identifier"]: result["id"] for result in page["results"]}
    for name in PLANTED:
        dataset_id = UUID(ids[name])
        measurement = Measurement(
            dataset_id=dataset_id,
            kind="metadata",
            reason=f"{SECRET} {name}",
            measured_at=running.clock.now(),
        )
        await running.tell(
            MEASUREMENT_RECORDED, MeasurementRecorded(measurement=measurement), f"{dataset_id}/metadata"
        )
    return ids


def hidden_from(viewer: str | None) -> set[str]:
    return {name for name in PLANTED if viewer not in MAY_SEE[name]}


def assert_tells_nothing(text: str, hidden: set[str], ids: dict[str, str]) -> None:
    lowered = text.lower()
    for name in hidden:
        assert ids[name] not in lowered
        assert f"{SECRET} {name}" not in lowered
        assert f"{SECRET}-{name}" not in lowered
        assert f"{SECRET}/{name}" not in lowered
        assert f"{SECRET} theme {name}" not in lowered


@pytest.mark.parametrize("viewer", EVERYONE)
async def test_no_list_count_facet_suggestion_export_or_feed_tells_of_a_hidden_record(
    running: RunningCatalog, viewer: str | None
) -> None:
    ids = await plant(running)
    hidden = hidden_from(viewer)
    for params in (
        {},
        {"q": SECRET},
        {"q": f'"{SECRET} agency-a"'},
        {"sort": "title"},
        {"keyword": [f"{SECRET}-{name}" for name in PLANTED]},
        {"agency": [str(AGENCY_A), str(AGENCY_B)]},
    ):
        found = await running.search(viewer, **params)
        assert_tells_nothing(str(found["results"]), hidden, ids)
        counted = {one["value"] for facet in found["facets"].values() for one in facet if one["count"]}
        assert_tells_nothing(str(counted), hidden, ids)
    for name in PLANTED:
        theme = f"{SECRET} theme {name}"
        answer = await running.get(f"/api/v1/datasets?theme={quote(theme)}", viewer)
        assert answer.status_code == (422 if name in hidden else 200)
        assert_tells_nothing(answer.text.replace(theme, ""), hidden, ids)
    everything = await running.search(viewer)
    assert everything["total"] == 1 + len(PLANTED) - len(hidden)
    for path in (
        f"/api/v1/datasets/suggest?prefix={SECRET[:5]}",
        "/api/v1/events?limit=500",
        "/data.json",
        *(f"/api/v1/events?dataset={ids[name]}" for name in hidden),
    ):
        answer = await running.get(path, viewer)
        assert answer.status_code == 200
        assert_tells_nothing(answer.text, hidden, ids)
    agencies = (await running.get("/api/v1/agencies", viewer)).json()["items"]
    assert sum(agency["datasets"] for agency in agencies) == len(PLANTED) - len(hidden)


@pytest.mark.parametrize("viewer", EVERYONE)
async def test_a_hidden_and_an_unknown_dataset_are_answered_alike(
    running: RunningCatalog, viewer: str | None
) -> None:
    ids = await plant(running)
    unknown = "6a4b1c4e-9999-4d5e-9a11-000000000001"
    for suffix in ("", "/dcat"):
        missing = await running.get(f"/api/v1/datasets/{unknown}{suffix}", viewer)
        assert missing.status_code == 404
        for name in PLANTED:
            answer = await running.get(f"/api/v1/datasets/{ids[name]}{suffix}", viewer)
            if name not in hidden_from(viewer):
                assert answer.status_code == 200
                continue
            assert answer.status_code == 404
            told, expected = answer.json(), missing.json()
            for document in (told, expected):
                document.pop("request_id")
                document.pop("instance")
            assert str(told).replace(ids[name], unknown) == str(expected)


@pytest.mark.parametrize("viewer", EVERYONE)
async def test_no_page_view_tells_of_a_hidden_record(running: RunningCatalog, viewer: str | None) -> None:
    ids = await plant(running)
    hidden = hidden_from(viewer)
    readers = running.catalog.readers
    who = VIEWERS[viewer] if viewer else VIEWERS["requester"]
    shown = [
        await readers.home.home(who),
        await readers.searches.themes(who),
        await readers.datasets.agencies(who),
    ]
    public = await readers.datasets.dataset(UUID(ids["public"]), who)
    assert_tells_nothing(str([*shown, public]), hidden, ids)


async def test_what_turns_hidden_disappears_and_what_turns_public_keeps_its_hidden_past(
    running: RunningCatalog,
) -> None:
    ids = await plant(running)

    async def decide(name: str, visibility: str) -> None:
        path = f"/api/v1/datasets/{ids[name]}"
        etag = (await running.get(path, "officer")).headers["etag"]
        answer = await running.client.patch(
            path, json={"visibility": visibility}, headers=bearer("officer") | {"If-Match": etag}
        )
        assert answer.status_code == 200
        await running.idle()

    await decide("public", "agency")
    await decide("agency-a", "public")
    feed = (await running.get("/api/v1/events?limit=500")).json()["events"]
    about = {(event["subject"].split("/")[0], event["type"].split(".")[3]) for event in feed}
    assert about == {(ids["agency-a"], "changed"), (ids["public"], "withdrawn")}
    exported = (await running.get("/data.json")).json()["dataset"]
    assert [item["identifier"] for item in exported] == ["agency-a"]
    assert (await running.search())["total"] == 1


async def withdrawn_from(
    running: RunningCatalog, cursors: dict[str | None, str]
) -> dict[str | None, list[str]]:
    """Read on for every viewer; return the subjects that each is told to be withdrawn."""
    told: dict[str | None, list[str]] = {}
    for viewer in EVERYONE:
        cursor = {"cursor": cursors[viewer]} if viewer in cursors else {}
        page = (await running.get("/api/v1/events", viewer, limit=500, **cursor)).json()
        cursors[viewer] = page["next_cursor"]
        gone = [event for event in page["events"] if event["type"] == "nutmeg.catalog.dataset.withdrawn.v1"]
        for event in gone:
            assert set(event) == {
                "specversion",
                "id",
                "type",
                "source",
                "subject",
                "time",
                "subjectversion",
            }
        if gone:
            told[viewer] = [event["subject"] for event in gone]
    return told


async def test_who_followed_a_dataset_is_told_when_it_is_withdrawn_and_nobody_else(
    running: RunningCatalog,
) -> None:
    ids = await plant(running)
    cursors: dict[str | None, str] = {}
    assert await withdrawn_from(running, cursors) == {}

    async def assign(name: str, agency_id: UUID, visibility: Visibility, version: int) -> None:
        state = StewardshipState(identifier=name, agency_id=agency_id, visibility=visibility)
        await running.tell(STEWARDSHIP_CHANGED, StewardshipChanged(stewardship=state), name, version)

    await assign("public", AGENCY_A, "government", 2)
    assert await withdrawn_from(running, cursors) == {None: [ids["public"]], "requester": [ids["public"]]}
    await assign("public", AGENCY_A, "agency", 3)
    assert await withdrawn_from(running, cursors) == {"steward-b": [ids["public"]]}
    await assign("public", AGENCY_B, "agency", 4)
    assert await withdrawn_from(running, cursors) == {"steward-a": [ids["public"]]}
    await assign("agency-a", AGENCY_B, "agency", 2)
    assert await withdrawn_from(running, cursors) == {"steward-a": [ids["agency-a"]]}
    await assign("agency-b", AGENCY_B, "public", 2)
    assert await withdrawn_from(running, cursors) == {}


async def test_a_public_dataset_that_is_retired_is_told_as_retired_to_everybody(
    running: RunningCatalog,
) -> None:
    await running.harvest(feed_of(dataset("kept"), dataset("left"), dataset("other")))
    cursor = (await running.get("/api/v1/events")).json()["next_cursor"]
    await running.harvest(feed_of(dataset("kept"), dataset("other")))
    (told,) = (await running.get("/api/v1/events", cursor=cursor)).json()["events"]
    assert told["type"] == "nutmeg.catalog.dataset.retired.v1"
    assert told["data"]["dataset"]["identifier"] == "left"


async def test_alerts_are_for_people_of_the_agency_and_requests_for_their_parties(
    running: RunningCatalog,
) -> None:
    ids = await plant(running)
    now = running.clock.now()
    public = UUID(ids["public"])
    alert = AlertState(
        alert_id=UUID(int=70),
        dataset_id=public,
        dataset_title="Public",
        agency_id=AGENCY_A,
        kind="freshness-stale",
        severity="warning",
        state="open",
        cause="late",
        next_act="update it",
        opened_at=now,
        changed_at=now,
    )
    await running.tell(QUALITY_ALERT_OPENED, AlertOpened(alert=alert), str(alert.alert_id))
    requester = VIEWERS["requester"].person_id
    assert requester is not None
    request = SharingRequestState(
        request_id=UUID(int=71),
        dataset_id=public,
        dataset_title="Public",
        agency_id=AGENCY_A,
        requester_id=requester,
        status="submitted",
        purpose="a private purpose",
        data_wanted="all of it",
        submitted_at=now,
        changed_at=now,
    )
    await running.tell(
        SHARING_REQUEST_SUBMITTED, SharingRequestSubmitted(request=request), str(request.request_id)
    )
    readers: dict[str, set[str | None]] = {"alert": set(), "sharing-request": set()}
    for viewer in EVERYONE:
        answer = await running.get("/api/v1/events?limit=500", viewer)
        assert "private purpose" not in answer.text
        assert str(requester) not in answer.text
        for event in answer.json()["events"]:
            subject = event["type"].split(".")[2]
            if subject in readers:
                readers[subject].add(viewer)
    assert readers["alert"] == {"steward-a", "officer", "operator"}
    assert readers["sharing-request"] == {"requester", "steward-a", "officer"}


async def change_hidden(running: RunningCatalog, title: str) -> None:
    """Change each hidden record, and nothing else."""
    changed = [{**planted(name), "title": title} for name in PLANTED]
    await running.harvest(feed_of(dataset("public"), *changed))


async def test_a_cursor_says_nothing_of_what_its_reader_may_not_see(running: RunningCatalog) -> None:
    await plant(running)
    numbered = await running.catalog.readers.changes.last_sequence()
    first = (await running.get("/api/v1/events", cursor="latest")).json()
    still = (await running.get("/api/v1/events", cursor=first["next_cursor"])).json()
    await change_hidden(running, "Once")
    after = (await running.get("/api/v1/events", cursor=still["next_cursor"])).json()
    assert await running.catalog.readers.changes.last_sequence() > numbered
    assert (first["events"], still["events"], after["events"]) == ([], [], [])
    cursors = [page["next_cursor"] for page in (first, still, after)]
    # Another text at each answer, of one length: that it changes is no sign of a hidden change.
    assert len({*cursors}) == 3
    assert len({len(cursor) for cursor in cursors}) == 1


async def test_a_hidden_change_is_no_sign_of_life_in_a_stream(running: RunningCatalog) -> None:
    await plant(running)
    changes, cursors, bell = running.catalog.readers.changes, running.app.state.cursors, Bell()
    start = await changes.last_sequence()
    stream = stream_changes(changes, cursors, bell, ANONYMOUS, after=start)
    assert (await anext(stream)).startswith(b"retry")
    coming = asyncio.ensure_future(anext(stream, b"the end"))
    for title in ("Once", "Twice"):
        await change_hidden(running, title)
        bell.ring()
        done, _ = await asyncio.wait({coming}, timeout=0.2)
        assert not done
    assert await changes.last_sequence() > start
    bell.close()
    assert await coming == b"the end"
