"""A request sent twice acts once, and gets the same answer."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import APIRouter, Form
from sqlalchemy import func, insert, select
from starlette.requests import Request
from starlette.responses import Response
from structlog.testing import capture_logs

from shared.clock import SimulatedClock
from shared.http.idempotency import Answer, act_once, prune_idempotency_keys
from shared.http.viewing import ViewerDependency, access
from shared.store.engine import Store
from shared.store.unit_of_work import UnitOfWork
from tests.support.databases import Databases
from tests.unit.http.application import build, client
from tests.unit.http.stores import IDEMPOTENCY_KEYS, ORDERS, open_store


@pytest.fixture
async def store(tmp_path: Path, clock: SimulatedClock, databases: Databases) -> AsyncIterator[Store]:
    async with open_store(tmp_path, clock, databases) as opened:
        yield opened


class Orders:
    """A small service: it places orders, and can be made to wait or to fail."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.has_begun = asyncio.Event()
        self.failures_left = 0
        self.router = APIRouter(dependencies=[access("public")])
        self.router.post("/api/v1/orders", status_code=201)(self.place)
        self.router.post("/orders", status_code=201)(self.place_by_form)

    async def place(self, request: Request, body: dict[str, str], viewer: ViewerDependency) -> Response:
        return await act_once(request, viewer, self.store, lambda unit: self.act(unit, body["title"]))

    async def place_by_form(
        self, request: Request, title: Annotated[str, Form()], viewer: ViewerDependency
    ) -> Response:
        return await act_once(request, viewer, self.store, lambda unit: self.act(unit, title))

    async def act(self, unit_of_work: UnitOfWork, title: str) -> Answer:
        self.has_begun.set()
        await self.may_go_on.wait()
        done = await unit_of_work.connection.execute(insert(ORDERS).values(title=title))
        if self.failures_left:
            self.failures_left -= 1
            raise RuntimeError("the disk is full")
        number = done.inserted_primary_key[0] if done.inserted_primary_key else 0
        return Answer(201, {"id": number, "title": title}, {"Location": f"/api/v1/orders/{number}"})

    async def placed(self) -> int:
        async with self.store.read() as connection:
            return int((await connection.execute(select(func.count()).select_from(ORDERS))).scalar_one())


@pytest.fixture
def orders(store: Store) -> Orders:
    return Orders(store)


KEY = {"Idempotency-Key": "3f2a-once"}
BODY = {"title": "Lead in water"}


async def test_the_same_request_again_gets_the_kept_answer(orders: Orders) -> None:
    async with client(build(orders.router)) as http:
        first = await http.post("/api/v1/orders", json=BODY, headers=KEY)
        second = await http.post("/api/v1/orders", json=BODY, headers=KEY)
    assert await orders.placed() == 1
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert first.headers["location"] == second.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"


async def test_without_a_key_each_request_acts(orders: Orders) -> None:
    async with client(build(orders.router)) as http:
        for _ in range(2):
            assert (await http.post("/api/v1/orders", json=BODY)).status_code == 201
    assert await orders.placed() == 2


async def test_the_same_key_with_another_request_is_refused(orders: Orders) -> None:
    async with client(build(orders.router)) as http:
        await http.post("/api/v1/orders", json=BODY, headers=KEY)
        answer = await http.post("/api/v1/orders", json={"title": "Radon"}, headers=KEY)
    assert await orders.placed() == 1
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:nutmeg:problem:idempotency-mismatch"
    assert answer.json()["errors"][0]["header"] == "Idempotency-Key"


async def test_two_people_may_use_the_same_key(orders: Orders) -> None:
    app = build(orders.router)
    for token in ("steward-token", "operator-token"):
        async with client(app, token=token) as http:
            assert (await http.post("/api/v1/orders", json=BODY, headers=KEY)).status_code == 201
    assert await orders.placed() == 2


async def test_while_the_first_still_runs_the_second_is_told_to_wait(orders: Orders) -> None:
    orders.may_go_on.clear()
    async with client(build(orders.router)) as http:
        first = asyncio.create_task(http.post("/api/v1/orders", json=BODY, headers=KEY))
        await orders.has_begun.wait()
        second = await http.post("/api/v1/orders", json=BODY, headers=KEY)
        orders.may_go_on.set()
        assert (await first).status_code == 201
        third = await http.post("/api/v1/orders", json=BODY, headers=KEY)
    assert second.status_code == 409
    assert second.headers["retry-after"] == "1"
    assert third.headers["idempotent-replayed"] == "true"
    assert await orders.placed() == 1


async def test_a_request_that_failed_leaves_nothing_and_may_be_sent_again(orders: Orders) -> None:
    orders.failures_left = 1
    async with client(build(orders.router)) as http:
        with capture_logs():
            failed = await http.post("/api/v1/orders", json=BODY, headers=KEY)
        again = await http.post("/api/v1/orders", json=BODY, headers=KEY)
    assert (failed.status_code, again.status_code) == (500, 201)
    assert "idempotent-replayed" not in again.headers
    assert await orders.placed() == 1


async def test_forms_act_once_too_although_their_csrf_token_differs(orders: Orders) -> None:
    async with client(build(orders.router)) as http:
        answers = [
            await http.post("/orders", data=BODY | {"csrf_token": token}, headers=KEY) for token in "ab"
        ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert await orders.placed() == 1


async def test_a_key_is_kept_for_a_day(orders: Orders, clock: SimulatedClock) -> None:
    async with client(build(orders.router)) as http:
        await http.post("/api/v1/orders", json=BODY, headers=KEY)
        clock.advance(timedelta(hours=23))
        await http.post("/api/v1/orders", json=BODY, headers=KEY)
        assert await orders.placed() == 1
        clock.advance(timedelta(hours=2))
        await http.post("/api/v1/orders", json=BODY, headers=KEY)
    assert await orders.placed() == 2


async def test_old_keys_are_pruned_and_young_ones_stay(orders: Orders, clock: SimulatedClock) -> None:
    async with client(build(orders.router)) as http:
        await http.post("/api/v1/orders", json=BODY, headers={"Idempotency-Key": "old"})
        clock.advance(timedelta(hours=25))
        await http.post("/api/v1/orders", json=BODY, headers={"Idempotency-Key": "young"})
    async with orders.store.unit_of_work() as unit_of_work:
        assert await prune_idempotency_keys(unit_of_work, IDEMPOTENCY_KEYS) == 1
    async with orders.store.read() as connection:
        kept = (await connection.execute(select(IDEMPOTENCY_KEYS.c.key))).scalars().all()
    assert kept == ["young"]


@pytest.mark.parametrize("key", ["", "x" * 201])
async def test_a_key_that_cannot_be_kept_is_refused(orders: Orders, key: str) -> None:
    async with client(build(orders.router)) as http:
        answer = await http.post("/api/v1/orders", json=BODY, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert await orders.placed() == 0
