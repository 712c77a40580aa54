"""A message on which two processes died is taken up by nobody until an operator releases it."""

from datetime import timedelta
from uuid import uuid4

from services.notify.delivery.domain import OutgoingEmail
from shared.clock import SimulatedClock
from shared.events.alerts import AlertOpened
from shared.events.registry import QUALITY_ALERT_OPENED
from shared.jobs.parking import PARKED_BECAUSE
from tests.services.notify.test_notify_service import Bench, Start, alert, start
from tests.support.installation import free_port

__all__ = ["start"]


async def begin(bench: Bench) -> list[OutgoingEmail]:
    """Take the next message in hand, and say nothing more, as a process does that is killed."""
    dispatcher = bench.notify.dispatcher
    bench.clock.advance(timedelta(hours=2))
    async with bench.notify.service.store.unit_of_work() as work:
        return await dispatcher.deliveries.lease(work, bench.clock.now(), lease_for=dispatcher.lease, limit=1)


async def due(bench: Bench) -> int:
    (post,) = [work for work in bench.notify.service.works if work.name == "notify.post"]
    return await post.pending()


async def deferred(start: Start, clock: SimulatedClock) -> Bench:
    """One message that a mail server did not take; nothing looks for it again by itself in this test."""
    bench: Bench = await start(smtp_host="127.0.0.1", smtp_port=free_port(), poll_seconds=3_600)
    alert_id = uuid4()
    await bench.publish(QUALITY_ALERT_OPENED, AlertOpened(alert=alert(clock, alert_id)), alert_id)
    await bench.idle()
    return bench


async def test_two_deaths_park_a_message_until_an_operator_releases_it(
    start: Start, clock: SimulatedClock
) -> None:
    bench = await deferred(start, clock)
    (queue,) = bench.notify.service.queues
    (first,) = await begin(bench)
    assert await queue.parked(10) == []
    (second,) = await begin(bench)
    assert first.delivery_id == second.delivery_id
    assert await queue.parked(10) == [], "it is in hand: its lease is not over"

    assert await begin(bench) == []
    assert await due(bench) == 0
    (job,) = await queue.parked(10)
    assert (job.job_id, job.reason) == (first.delivery_id, PARKED_BECAUSE)
    assert await queue.parked_count() == 1

    assert await queue.release(job.job_id)
    assert await queue.parked_count() == 0
    assert not await queue.release(job.job_id)
    assert [email.delivery_id for email in await begin(bench)] == [first.delivery_id]


async def test_an_attempt_that_ended_or_was_given_back_is_no_death(
    start: Start, clock: SimulatedClock
) -> None:
    bench = await deferred(start, clock)
    dispatcher = bench.notify.dispatcher
    for is_given_back in (True, False, True, False):
        (email,) = await begin(bench)
        async with bench.notify.service.store.unit_of_work() as work:
            if is_given_back:
                await dispatcher.deliveries.give_back(work, email.delivery_id)
            else:
                await dispatcher.deliveries.record_result(
                    work, email, state="deferred", result="away", next_attempt_at=clock.now()
                )
    assert len(await begin(bench)) == 1
