"""What a dataset's page and the home page know of alerts and of several changes in one day."""

from uuid import UUID
from xml.etree import ElementTree as ET

from services.catalog.domain.views import AlertView, DatasetView
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved, AlertState
from shared.events.governance import StewardshipChanged, StewardshipState
from shared.events.quality import DimensionScore, Measurement, MeasurementRecorded
from shared.events.registry import (
    MEASUREMENT_RECORDED,
    QUALITY_ALERT_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
    ROLLUP_UPDATED,
    STEWARDSHIP_CHANGED,
    USAGE_ALERT_OPENED,
)
from shared.events.usage import Rollup, RollupUpdated
from shared.identity.viewer import ANONYMOUS, Viewer
from tests.support.catalog_service import AGENCY_A, VIEWERS, RunningCatalog, dataset, feed_of

ATOM = {"atom": "http://www.w3.org/2005/Atom"}
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
    view = await running.catalog.reader.dataset(dataset_id, viewer)
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


async def test_home_tells_several_changes_of_a_dataset_in_one_line(running: RunningCatalog) -> None:
    await running.harvest(feed_of(*(dataset(f"d{number}") for number in range(12))))
    for title in ("First", "Second"):
        await running.harvest(
            feed_of(
                dataset("d3", title=title), *(dataset(f"d{number}") for number in range(12) if number != 3)
            )
        )
    home = await running.catalog.reader.home(ANONYMOUS)
    assert home.changed_today_total == 12
    assert len(home.changed_today) == 10
    first = home.changed_today[0]
    assert (first.title, first.kind, first.times) == ("Second", "registered", 3)
    assert len({line.dataset_id for line in home.changed_today}) == 10
