"""What a dataset's page and the home page know of alerts and of several changes in one day."""

from uuid import UUID

from services.catalog.domain.views import AlertView, DatasetView
from shared.events.alerts import AlertChanged, AlertOpened, AlertResolved, AlertState
from shared.events.governance import StewardshipChanged, StewardshipState
from shared.events.registry import (
    QUALITY_ALERT_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
    STEWARDSHIP_CHANGED,
    USAGE_ALERT_OPENED,
)
from shared.identity.viewer import ANONYMOUS, Viewer
from tests.support.catalog_service import AGENCY_A, VIEWERS, RunningCatalog, dataset, feed_of

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
