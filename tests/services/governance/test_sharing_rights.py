"""Who may see, decide and list a sharing request: the rule and its query agree, on both stores."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select

from services.governance.adapters.sql_reading import request_seen_by, requests_seen_by
from services.governance.bootstrap import Governance, bootstrap
from services.governance.domain.sharing import (
    TRANSITIONS,
    Action,
    NewRequest,
    SharingRequest,
    Status,
    act,
    may_act,
    submit,
)
from services.governance.migrations.tables import KNOWN_DATASETS
from services.governance.settings import GovernanceSettings
from shared.clock import SimulatedClock
from shared.datasets.read_model import visible_to
from shared.errors import ConflictError, NotAllowedError
from shared.identity.rules import AllOf, AnyOf, Not, Rule
from shared.identity.sharing_rights import (
    AWAITS_DECISION,
    IS_REQUESTER,
    MAY_DECIDE,
    MAY_SEE,
    WAITS_FOR_VIEWER,
)
from shared.identity.signing_key import SigningKey
from shared.identity.viewer import ANONYMOUS, Grant, Role, TokenScope, Viewer
from tests.support.databases import Databases

AGENCIES = (UUID(int=1), UUID(int=2), None)
ASKER = UUID(int=10)
OTHER = UUID(int=11)
CONTENT = NewRequest("to compare outcomes of two programs", "rows of 2024", None, None)
RULES: dict[str, Rule] = {
    "see": MAY_SEE,
    "decide": MAY_DECIDE,
    "waits": WAITS_FOR_VIEWER,
    "own": IS_REQUESTER,
    "others": AllOf((Not(IS_REQUESTER), Not(WAITS_FOR_VIEWER))),
    "open or own": AnyOf((AWAITS_DECISION, IS_REQUESTER)),
}


def viewers() -> list[Viewer]:
    """Everybody: nobody, the asker and another person, without a grant and with each role for each agency."""
    grants: list[frozenset[Grant]] = [frozenset()]
    grants += [frozenset({Grant(role, agency)}) for role, agency in product(Role, AGENCIES)]
    grants.append(frozenset({Grant(Role.STEWARD, AGENCIES[0]), Grant(Role.AGENCY_DATA_OFFICER, AGENCIES[1])}))
    return [ANONYMOUS, *(Viewer(person, held) for person, held in product((ASKER, OTHER), grants))]


def requests() -> list[SharingRequest]:
    """A request in each state for each agency, of the asker and of somebody else."""
    now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    return [
        replace(
            submit(
                CONTENT,
                request_id=uuid4(),
                dataset_id=uuid4(),
                dataset_title="Outcomes",
                agency_id=agency,
                requester_id=requester,
                now=now,
            ),
            status=status,
        )
        for status, agency, requester in product(Status, AGENCIES, (ASKER, UUID(int=12)))
    ]


@pytest.fixture
async def governance(
    tmp_path: Path, clock: SimulatedClock, databases: Databases
) -> AsyncIterator[Governance]:
    built = bootstrap(
        GovernanceSettings(),
        database_url=await databases.url("governance"),
        clock=clock,
        signing_key=SigningKey.load_or_create(tmp_path / "signing-key"),
    )
    await built.service.store.open()
    yield built
    await built.service.store.close()


async def test_a_rule_and_its_query_agree_for_every_role_agency_and_state(governance: Governance) -> None:
    kept = requests()
    async with governance.service.store.unit_of_work() as work:
        for request in kept:
            await governance.ports.requests.add(work, request, event_id=str(uuid4()))
    compared = 0
    async with governance.service.store.read() as connection:
        for viewer in viewers():
            for name, rule in RULES.items():
                found = {one.request_id for one in await requests_seen_by(connection, viewer, rule=rule)}
                # Whatever a list asks for, it holds nothing that its reader may not see.
                expected = {
                    one.request_id for one in kept if rule.holds(viewer, one) and MAY_SEE.holds(viewer, one)
                }
                assert found == expected, (name, viewer)
                compared += len(kept)
            seen = {one.request_id for one in kept if MAY_SEE.holds(viewer, one)}
            shown = [await request_seen_by(connection, viewer, one.request_id) for one in kept[:6]]
            assert [one is not None for one in shown] == [one.request_id in seen for one in kept[:6]]
    assert compared > 8_000


async def test_what_may_be_shown_is_the_same_by_rule_and_by_query(governance: Governance) -> None:
    rows: list[dict[str, Any]] = [
        {
            "dataset_id": uuid4(),
            "source_id": "feed",
            "identifier": f"{visibility}-{agency}",
            "title": "Counts",
            "agency_id": agency,
            "visibility": visibility,
            "access_level": "public",
            "retired": False,
            "changed_at": datetime(2026, 3, 2, tzinfo=UTC),
        }
        for visibility, agency in product(("public", "government", "agency", "unheard-of"), AGENCIES)
    ]
    async with governance.service.store.unit_of_work() as work:
        await work.connection.execute(insert(KNOWN_DATASETS), rows)
    programs = [
        Viewer(OTHER, frozenset({Grant(Role.SERVICE, agency)}), "token", scopes)
        for agency, scopes in product(AGENCIES, (frozenset(), frozenset(TokenScope)))
    ]
    async with governance.service.store.read() as connection:
        for viewer in [*viewers(), *programs]:
            found = await connection.scalars(
                select(KNOWN_DATASETS.c.dataset_id).where(visible_to(viewer, KNOWN_DATASETS))
            )
            expected = {
                row["dataset_id"] for row in rows if viewer.may_see(row["visibility"], row["agency_id"])
            }
            assert set(found) == expected, viewer


@pytest.mark.parametrize("action", list(Action))
def test_what_a_page_offers_is_what_the_command_lets_pass(action: Action) -> None:
    offered = 0
    for viewer, request in product(viewers(), requests()):
        try:
            after = act(
                request,
                action,
                viewer=viewer,
                now=request.changed_at,
                reason="because",
                content=CONTENT,
            )
        except (NotAllowedError, ConflictError):
            assert not may_act(viewer, request, action)
        else:
            assert may_act(viewer, request, action)
            assert MAY_SEE.holds(viewer, request)
            assert after.status is TRANSITIONS[action].leads_to
            offered += 1
    assert offered


def test_what_waits_for_somebody_is_what_they_may_answer() -> None:
    for viewer, request in product(viewers(), requests()):
        assert WAITS_FOR_VIEWER.holds(viewer, request) is may_act(viewer, request, Action.APPROVE)
