"""Quality as it runs: baselines, degradations and recoveries, time, acknowledgements, retirement."""

from datetime import timedelta

from services.quality.alerts.domain.alerts import AlertKey, alert_id_of
from shared.events.topics import TOPICS
from tests.services.quality.quality_system import (
    STEWARD,
    Portal,
    QualitySystem,
    csv_of,
    dataset_id,
)


async def test_a_new_dataset_is_measured_in_every_kind_and_opens_no_alert(
    system: QualitySystem, portal: Portal
) -> None:
    portal.files["/roads.csv"] = csv_of(100)
    await system.register("roads", has_file=True)
    told = await system.events(TOPICS["quality.measurements"].name)
    assert {event.subject.partition("/")[2] for event in told} == {
        "metadata",
        "freshness",
        "overall",
        "profile",
    }
    (profile,) = await system.measurements("roads", "profile")
    assert profile.row_count == 100
    assert [column.name for column in profile.columns] == ["town", "count"]
    assert profile.preview_rows[0] == ["Town 0", "0"]
    overall = (await system.measurements("roads", "overall"))[-1]
    assert {one.dimension: one.score for one in overall.dimensions}["consistency"] == 1.0
    assert await system.alerts() == []


async def test_lost_rows_open_one_alert_and_their_return_resolves_it(
    system: QualitySystem, portal: Portal
) -> None:
    portal.files["/roads.csv"] = csv_of(100)
    await system.register("roads", has_file=True)
    await system.update_file("roads", csv_of(30))
    ((word, kind, alert),) = await system.alerts()
    assert (word, kind, alert.state) == ("opened", "row-count-dropped", "open")
    assert alert.dataset_title == "Roads"
    assert [(one.name, one.observed) for one in alert.evidence] == [("rows", "30")]
    assert alert.next_act

    await system.update_file("roads", csv_of(31))
    await system.update_file("roads", csv_of(101))
    told = await system.events(TOPICS["quality.alerts"].name)
    assert await system.alert_words() == [
        "opened row-count-dropped",
        "changed row-count-dropped",
        "resolved row-count-dropped",
    ]
    assert [event.subjectversion for event in told] == [1, 2, 3]


async def test_redelivered_and_repeated_events_change_nothing(system: QualitySystem, portal: Portal) -> None:
    portal.files["/roads.csv"] = csv_of(100)
    await system.register("roads", has_file=True)
    event = await system.update_file("roads", csv_of(30))
    before = await system.events(TOPICS["quality.measurements"].name)
    asked = list(portal.asked)
    await system.publish([event, event])
    await system.settle()
    assert await system.events(TOPICS["quality.measurements"].name) == before
    assert await system.alert_words() == ["opened row-count-dropped"]
    assert portal.asked == asked


async def test_an_unchanged_file_is_asked_for_conditionally_and_not_profiled_again(
    system: QualitySystem, portal: Portal
) -> None:
    portal.files["/roads.csv"] = csv_of(10)
    await system.register("roads", has_file=True)
    await system.change("roads", modified="2026-03-01")
    assert portal.asked == [("/roads.csv", 200), ("/roads.csv", 304)]
    assert len(await system.measurements("roads", "profile")) == 1


async def test_a_change_that_cannot_touch_the_file_fetches_nothing(
    system: QualitySystem, portal: Portal
) -> None:
    portal.files["/roads.csv"] = csv_of(10)
    await system.register("roads", has_file=True)
    await system.change("roads", title="Roads of the state")
    assert len(portal.asked) == 1


async def test_time_alone_makes_a_dataset_late_then_stale_then_an_alert_that_an_update_resolves(
    system: QualitySystem,
) -> None:
    await system.register("roads")
    await system.pass_time(timedelta(days=39))
    await system.pass_time(timedelta(days=30))
    statuses = [one.status for one in await system.measurements("roads", "freshness")]
    assert statuses == ["ok", "late", "stale"]
    assert await system.alert_words() == ["opened freshness-stale"]
    await system.change("roads", data_updated_at=system.clock.now())
    assert await system.alert_words() == ["opened freshness-stale", "resolved freshness-stale"]


async def test_time_alone_makes_the_warning_of_a_stale_dataset_an_error_and_asks_again_for_a_person(
    system: QualitySystem,
) -> None:
    await system.register("roads")
    await system.pass_time(timedelta(days=69))
    ((_, _, warning),) = await system.alerts()
    await system.acknowledge(warning.alert_id, "roads")
    await system.pass_time(timedelta(days=52))
    assert [alert.severity for _, _, alert in await system.alerts()] == ["warning", "warning"]
    await system.pass_time(timedelta(days=3))
    word, _, alert = (await system.alerts())[-1]
    assert (word, alert.severity, alert.state) == ("changed", "error", "open")
    await system.pass_time(timedelta(days=400))
    assert len(await system.alerts()) == 3


async def test_a_dataset_stale_at_baseline_alerts_only_after_it_was_once_fresh(system: QualitySystem) -> None:
    await system.register("roads", data_updated_at=system.clock.now() - timedelta(days=400))
    await system.change("roads", title="Still stale")
    assert await system.alerts() == []
    await system.change("roads", data_updated_at=system.clock.now())
    await system.pass_time(timedelta(days=100))
    assert await system.alert_words() == ["opened freshness-stale"]


async def test_a_dataset_late_at_baseline_alerts_when_it_becomes_stale(system: QualitySystem) -> None:
    await system.register("roads", data_updated_at=system.clock.now() - timedelta(days=45))
    (late,) = await system.measurements("roads", "freshness")
    assert late.status == "late"
    assert await system.alerts() == []
    await system.pass_time(timedelta(days=30))
    assert await system.alert_words() == ["opened freshness-stale"]


async def test_a_description_that_loses_what_it_had_opens_an_alert_and_its_return_resolves_it(
    system: QualitySystem,
) -> None:
    await system.register("roads")
    good = system.states["roads"]
    await system.change("roads", description="", contact_email=None, license=None)
    await system.change("roads", description=good.description, contact_email="a@b.gov", license=good.license)
    assert await system.alert_words() == ["opened metadata-degraded", "resolved metadata-degraded"]


async def test_an_acknowledged_alert_says_by_whom_and_a_second_acknowledgement_changes_nothing(
    system: QualitySystem, portal: Portal
) -> None:
    portal.files["/roads.csv"] = csv_of(100)
    await system.register("roads", has_file=True)
    await system.update_file("roads", csv_of(30))
    alert_id = alert_id_of(dataset_id("roads"), AlertKey("row-count-dropped"))
    await system.acknowledge(alert_id, "roads")
    await system.acknowledge(alert_id, "roads")
    told = await system.alerts()
    assert [word for word, _, _ in told] == ["opened", "changed"]
    assert (told[-1][2].state, told[-1][2].acknowledged_by) == ("acknowledged", STEWARD)


async def test_retirement_resolves_open_alerts_with_that_cause(system: QualitySystem, portal: Portal) -> None:
    portal.files["/roads.csv"] = csv_of(100)
    await system.register("roads", has_file=True)
    await system.update_file("roads", csv_of(30))
    await system.retire("roads")
    word, kind, alert = (await system.alerts())[-1]
    assert (word, kind, alert.cause) == ("resolved", "row-count-dropped", "The dataset was retired.")
    assert await system.job("roads") is None
    await system.pass_time(timedelta(days=400))
    assert len(await system.alerts()) == 2


async def test_an_alert_is_ended_ninety_days_after_it_was_resolved_and_can_come_back(
    system: QualitySystem,
) -> None:
    await system.register("roads")
    await system.pass_time(timedelta(days=75))
    await system.change("roads", data_updated_at=system.clock.now())
    await system.pass_time(timedelta(days=91))
    events = await system.events(TOPICS["quality.alerts"].name)
    # 91 days later the monthly promise is broken again: the alert that came back is not ended.
    assert [event.subjectversion for event in events] == [1, 2, 3]
    assert events[-1].data is not None
    await system.change("roads", data_updated_at=system.clock.now(), accrual_periodicity="irregular")
    await system.pass_time(timedelta(days=91))
    events = await system.events(TOPICS["quality.alerts"].name)
    assert [event.subjectversion for event in events] == [1, 2, 3, 4, 5]
    assert events[-1].data is None


async def test_values_of_rows_are_withdrawn_when_a_record_is_closed(
    system: QualitySystem, portal: Portal
) -> None:
    portal.files["/roads.csv"] = csv_of(10)
    await system.register("roads", has_file=True)
    await system.change("roads", visibility="government")
    hidden = (await system.measurements("roads", "profile"))[-1]
    assert hidden.preview_rows == []
    assert [column.maximum for column in hidden.columns] == [None, None]
    assert [column.commonest for column in hidden.columns] == [[], []]
    await system.change("roads", access_level="non-public")
    last = (await system.events(TOPICS["quality.measurements"].name))[-3:]
    ended = [event for event in last if event.data is None]
    assert [event.subject for event in ended] == [f"{dataset_id('roads')}/profile"]
    assert await system.job("roads") is None
