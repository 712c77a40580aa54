"""What a dataset's page and the home page know of alerts and of several changes in one day."""

from datetime import timedelta
from uuid import UUID, uuid4
from xml.etree import ElementTree as ET

from sqlalchemy import select

from services.catalog.datasets.domain.views import AlertView, DatasetView
from services.catalog.migrations.tables import ALERT_DELIVERIES
from shared.clock import SimulatedClock
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved, AlertState
from shared.events.governance import StewardshipChanged, StewardshipState
from shared.events.model import EventModel
from shared.events.notify import Delivery, DeliveryDead, DeliveryDeferred, DeliverySent
from shared.events.quality import DimensionScore, Measurement, MeasurementRecorded
from shared.events.registry import (
    DELIVERY_DEAD,
    DELIVERY_DEFERRED,
    DELIVERY_SENT,
    MEASUREMENT_RECORDED,
    QUALITY_ALERT_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
    ROLLUP_UPDATED,
    STEWARDSHIP_CHANGED,
    USAGE_ALERT_OPENED,
    EventType,
)
from shared.events.usage import Rollup, RollupUpdated
from shared.identity.viewer import ANONYMOUS, Grant, Role, Viewer
from tests.support.catalog_service import AGENCY_A, AGENCY_B, VIEWERS, RunningCatalog, dataset, feed_of

ATOM = {"atom": "http://www.w3.org/2005/Atom"}
STEWARD = UUID(int=77)
CAUSE = "60% of the rows are gone."


async def dataset_id_of(running: RunningCatalog, identifier: str) -> UUID:
    results = (await running.search("operator"))["results"]
    return next(UUID(one["id"]) for one in results if one["identifier"] == identifier)


def alert(running: RunningCatalog, dataset_id: UUID, number: int, **changes: object) -> AlertState:
    now = running.clock.now()
    whole = AlertState(
        alert_id=UUID(int=number),
        dataset_id=dataset_id,
        dataset_title="Roads",
        kind="row-count-dropped",
        severity="warning",
        state="open",
        cause=CAUSE,
        next_act="Publish the whole file.",
        opened_at=now,
        changed_at=now,
    )
    return whole.model_copy(update=changes)


async def shown(
    running: RunningCatalog, dataset_id: UUID, viewer: Viewer = ANONYMOUS
) -> tuple[AlertView, ...]:
    view = await running.catalog.readers.datasets.dataset(dataset_id, viewer)
    assert isinstance(view, DatasetView)
    return view.alerts


async def test_an_alert_shows_until_it_is_resolved_and_says_when_somebody_took_charge(
    running: RunningCatalog,
) -> None:
    await running.harvest(feed_of(dataset("roads"), dataset("other")))
    roads = await dataset_id_of(running, "roads")
    opened = alert(running, roads, 1)
    await running.tell(QUALITY_ALERT_OPENED, AlertOpened(alert=opened), str(opened.alert_id))
    silent = alert(running, roads, 2, kind="use-silent", severity="info")
    await running.tell(USAGE_ALERT_OPENED, AlertOpened(alert=silent), str(silent.alert_id))
    assert [(one.kind, one.is_taken, one.cause) for one in await shown(running, roads)] == [
        ("row-count-dropped", False, CAUSE),
        ("use-silent", False, CAUSE),
    ]
    assert await shown(running, await dataset_id_of(running, "other")) == ()

    taken = opened.model_copy(update={"state": "acknowledged"})
    change = AlertChanged(alert=taken, change="acknowledged")
    await running.tell(QUALITY_ALERT_CHANGED, change, str(opened.alert_id), 2)
    assert [one.is_taken for one in await shown(running, roads)] == [True, False]

    over = opened.model_copy(update={"state": "resolved"})
    await running.tell(QUALITY_ALERT_RESOLVED, AlertResolved(alert=over), str(opened.alert_id), 3)
    assert [one.kind for one in await shown(running, roads)] == ["use-silent"]
    await running.tell_the_end(USAGE_ALERT_OPENED, str(silent.alert_id), 2)
    assert await shown(running, roads) == ()


def use_of(running: RunningCatalog, dataset_id: UUID) -> Rollup:
    start = running.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return Rollup(dataset_id=dataset_id, granularity="day", window_start=start, views=5)


def entry_of(feed: str) -> tuple[str, str]:
    """The status and the title of the feed's entry about how the dataset stands."""
    root = ET.fromstring(feed)
    category = root.find("atom:entry/atom:category", ATOM)
    assert category is not None
    return category.attrib["term"], root.findtext("atom:entry/atom:title", "", ATOM)


async def test_an_open_alert_is_nowhere_well_and_all_is_as_before_when_it_is_resolved(
    running: RunningCatalog,
) -> None:
    await running.harvest(feed_of(dataset("roads")))
    roads = await dataset_id_of(running, "roads")
    filled = DimensionScore(dimension="completeness", score=0.92, reason="92% of the cells hold a value")
    score = Measurement(
        dataset_id=roads,
        kind="overall",
        score=0.92,
        dimensions=[filled],
        measured_at=running.clock.now(),
    )
    fresh = Measurement(dataset_id=roads, kind="freshness", status="ok", measured_at=running.clock.now())
    for one in (score, fresh):
        await running.tell(MEASUREMENT_RECORDED, MeasurementRecorded(measurement=one), f"{roads}/{one.kind}")
    await running.tell(ROLLUP_UPDATED, RollupUpdated(rollup=use_of(running, roads)), f"{roads}/day")

    async def looks() -> dict[str, object]:
        result = (await running.search())["results"][0]
        feed = (await running.get(f"/datasets/{roads}/changes.atom")).text
        pages = {
            name: (await running.get(path)).text
            for name, path in (("page", f"/datasets/{roads}"), ("results", "/search"), ("home", "/"))
        }
        found = [
            status
            for status in ("ok", "notice", "attention", "problem")
            if (await running.search(condition=status))["total"] == 1
        ]
        return {
            "result": result["condition"]["status"],
            "api": (await running.get(f"/api/v1/datasets/{roads}")).json()["condition"],
            "atom": entry_of(feed),
            "index": found,
            "says": {name: "Rows are missing" in text for name, text in pages.items()},
            "score": "with 1 open problem" in pages["page"],
        }

    before = await looks()
    assert before["index"] == ["ok"]
    opened = alert(running, roads, 1, severity="error")
    await running.tell(QUALITY_ALERT_OPENED, AlertOpened(alert=opened), str(opened.alert_id))
    assert await looks() == {
        "result": "problem",
        "api": {"status": "problem", "cause": "alert", "alert_kind": opened.kind, "open_alerts": 1},
        "atom": ("problem", "Rows are missing: Title of roads"),
        "index": ["problem"],
        "says": {"page": True, "results": True, "home": True},
        "score": True,
    }
    over = opened.model_copy(update={"state": "resolved"})
    await running.tell(QUALITY_ALERT_RESOLVED, AlertResolved(alert=over), str(opened.alert_id), 2)
    assert await looks() == before
    # An older word of the alert comes late: it is over all the same.
    await running.tell(QUALITY_ALERT_OPENED, AlertOpened(alert=opened), str(opened.alert_id), 1)
    assert await looks() == before


async def test_alerts_of_both_services_count_together_and_outlive_a_change_of_the_record(
    running: RunningCatalog,
) -> None:
    await running.harvest(feed_of(dataset("roads")))
    roads = await dataset_id_of(running, "roads")
    dropped, silent = alert(running, roads, 1), alert(running, roads, 2, kind="use-silent", severity="info")
    await running.tell(USAGE_ALERT_OPENED, AlertOpened(alert=silent), str(silent.alert_id))
    await running.tell(QUALITY_ALERT_OPENED, AlertOpened(alert=dropped), str(dropped.alert_id))
    await running.harvest(feed_of(dataset("roads", title="Roads, anew")))

    async def condition() -> tuple[str, str | None, int]:
        found = (await running.get(f"/api/v1/datasets/{roads}")).json()["condition"]
        return found["status"], found["alert_kind"], found["open_alerts"]

    assert await condition() == ("attention", "row-count-dropped", 2)
    await running.tell_the_end(QUALITY_ALERT_OPENED, str(dropped.alert_id), 2)
    assert await condition() == ("notice", "use-silent", 1)
    await running.tell_the_end(USAGE_ALERT_OPENED, str(silent.alert_id), 2)
    assert await condition() == ("not-known", None, 0)


async def told(running: RunningCatalog, about: AlertState, kind: EventType, **fields: object) -> None:
    """Publish what became of a message about an alert."""
    delivery = Delivery(
        delivery_id=uuid4(),
        about_id=about.alert_id,
        about_kind=about.kind,
        dataset_id=about.dataset_id,
        person_id=STEWARD,
        channel="email",
        attempts=1,
        result="250 ok",
        occurred_at=running.clock.now(),
    ).model_copy(update=fields)
    later = running.clock.now() + timedelta(minutes=5)
    data: dict[str, EventModel] = {
        DELIVERY_SENT.name: DeliverySent(delivery=delivery),
        DELIVERY_DEAD.name: DeliveryDead(delivery=delivery),
        DELIVERY_DEFERRED.name: DeliveryDeferred(delivery=delivery, next_attempt_at=later),
    }
    await running.tell(kind, data[kind.name], str(delivery.delivery_id))


async def test_a_page_says_that_somebody_was_notified_only_where_a_delivery_says_so(
    running: RunningCatalog, clock: SimulatedClock
) -> None:
    state = StewardshipState(identifier="roads", agency_id=AGENCY_A, steward_id=STEWARD)
    await running.tell(STEWARDSHIP_CHANGED, StewardshipChanged(stewardship=state), "roads")
    await running.harvest(feed_of(dataset("roads")))
    roads = await dataset_id_of(running, "roads")

    async def says() -> str:
        page = (await running.get(f"/datasets/{roads}")).text
        start = page.index('id="alerts"')
        return " ".join(page[start : page.index("</section>", start)].split())

    opened = alert(running, roads, 1)
    await running.tell(QUALITY_ALERT_OPENED, AlertOpened(alert=opened), str(opened.alert_id))
    for about in (DELIVERY_DEFERRED, None):
        assert "Nobody was notified yet." in await says()
        assert "was told" not in await says()
        if about is not None:
            await told(running, opened, about)
    await told(running, opened, DELIVERY_SENT, about_kind="sharing-request-submitted")
    await told(running, opened, DELIVERY_SENT, occurred_at=opened.opened_at - timedelta(days=1))
    assert "Nobody was notified yet." in await says()
    await told(running, opened, DELIVERY_DEAD, person_id=UUID(int=99))
    assert "A message about it could not be delivered on" in await says()
    await told(running, opened, DELIVERY_SENT, person_id=UUID(int=99))
    assert "Somebody who is responsible for it was notified on" in await says()
    await told(running, opened, DELIVERY_SENT)
    assert "Its data steward was notified on" in await says()
    taken = opened.model_copy(update={"state": "acknowledged"})
    change = AlertChanged(alert=taken, change="acknowledged")
    await running.tell(QUALITY_ALERT_CHANGED, change, str(opened.alert_id), 2)
    assert "Somebody is handling it." in await says()

    # A delivery may be told before its alert, and what is old goes once the alert is over.
    early = alert(running, roads, 2, kind="use-silent")
    await told(running, early, DELIVERY_SENT)
    await running.tell(USAGE_ALERT_OPENED, AlertOpened(alert=early), str(early.alert_id))
    assert [one.notified for one in await shown(running, roads)] == ["steward", "steward"]
    await running.tell_the_end(QUALITY_ALERT_OPENED, str(opened.alert_id), 3)
    clock.advance(timedelta(days=31))
    upkeep = next(work for work in running.catalog.service.works if work.name == "catalog.upkeep")
    await upkeep.run_once()
    async with running.catalog.service.store.read() as connection:
        kept = (await connection.scalars(select(ALERT_DELIVERIES.c.alert_id))).all()
    assert kept == [early.alert_id]


async def test_what_was_found_in_data_that_is_not_public_is_read_by_its_agency_alone(
    running: RunningCatalog,
) -> None:
    state = StewardshipState(identifier="roads", agency_id=AGENCY_A)
    await running.tell(STEWARDSHIP_CHANGED, StewardshipChanged(stewardship=state), "roads")
    await running.harvest(feed_of(dataset("roads", accessLevel="restricted public", rights="Names.")))
    roads = await dataset_id_of(running, "roads")
    opened = alert(running, roads, 1, agency_id=AGENCY_A)
    await running.tell(QUALITY_ALERT_OPENED, AlertOpened(alert=opened), str(opened.alert_id))
    causes = {
        name: [one.cause for one in await shown(running, roads, viewer)]
        for name, viewer in {"anybody": ANONYMOUS, **VIEWERS}.items()
    }
    told = [name for name, found in causes.items() if found == [CAUSE]]
    assert sorted(told) == ["officer", "operator", "steward-a"]
    assert all(len(found) == 1 for found in causes.values())


async def test_home_shows_those_who_answer_for_datasets_their_own_with_open_alerts(
    running: RunningCatalog,
) -> None:
    for identifier, agency_id, steward_id in (("a", AGENCY_A, UUID(int=3)), ("b", AGENCY_B, None)):
        state = StewardshipState(
            identifier=identifier, agency_id=agency_id, steward_id=steward_id, visibility="agency"
        )
        await running.tell(STEWARDSHIP_CHANGED, StewardshipChanged(stewardship=state), identifier)
    await running.harvest(feed_of(dataset("a"), dataset("b"), dataset("c")))
    for number, identifier in enumerate("ab", 1):
        opened = alert(running, await dataset_id_of(running, identifier), number)
        await running.tell(QUALITY_ALERT_OPENED, AlertOpened(alert=opened), str(opened.alert_id))
    officer_a = Viewer(UUID(int=8), frozenset({Grant(Role.AGENCY_DATA_OFFICER, AGENCY_A)}))
    viewers = {"anybody": ANONYMOUS, "officer-a": officer_a, **VIEWERS}
    found: dict[str, tuple[int, int, list[str]] | None] = {}
    for name, viewer in viewers.items():
        own = (await running.catalog.readers.home.home(viewer)).own
        names = sorted(one.identifier for one in own.worst) if own else []
        found[name] = None if own is None else (own.datasets, own.with_alerts, names)
    assert found == {
        "anybody": None,
        "requester": None,
        "operator": None,
        "officer-a": (1, 1, ["a"]),
        "steward-a": (1, 1, ["a"]),
        "steward-b": (0, 0, []),
        "officer": (3, 2, ["a", "b"]),
    }
    page = (await running.get("/", "officer")).text
    assert "3 datasets, 2 with an open alert, 0 out of date." in page
    assert 'href="/search?condition=attention&amp;condition=problem"' in page
    assert "What you answer for" not in (await running.get("/")).text


async def test_home_tells_several_changes_of_a_dataset_in_one_line(running: RunningCatalog) -> None:
    await running.harvest(feed_of(*(dataset(f"d{number}") for number in range(12))))
    for title in ("First", "Second"):
        await running.harvest(
            feed_of(
                dataset("d3", title=title), *(dataset(f"d{number}") for number in range(12) if number != 3)
            )
        )
    home = await running.catalog.readers.home.home(ANONYMOUS)
    assert home.changed_today_total == 12
    assert len(home.changed_today) == 10
    first = home.changed_today[0]
    assert (first.title, first.kind, first.times) == ("Second", "registered", 3)
    assert len({line.dataset_id for line in home.changed_today}) == 10
