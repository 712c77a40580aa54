"""Who a token belongs to, learnt from the directory's events."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from shared.clock import SimulatedClock
from shared.events.envelope import Event, new_event, tombstone
from shared.events.governance import GrantState, PersonChanged, PersonState
from shared.events.registry import PERSON_CHANGED
from shared.identity.principals import Principals, TokenAuthenticator, remember_people
from shared.identity.signing_key import SigningKey
from shared.identity.tokens import AuthenticationError, Tokens
from shared.identity.viewer import Grant, Role, TokenScope, scopes_open_to
from shared.store.engine import Store
from tests.support.databases import Databases
from tests.unit.http.stores import PRINCIPALS, open_store

PERSON = UUID("6a4b1c4e-2222-4d5e-9a11-000000000002")
AGENCY = UUID("6a4b1c4e-1111-4d5e-9a11-000000000001")
DAY = timedelta(days=1)


@pytest.fixture
async def store(tmp_path: Path, clock: SimulatedClock, databases: Databases) -> AsyncIterator[Store]:
    async with open_store(tmp_path, clock, databases) as opened:
        yield opened


@pytest.fixture
def tokens(clock: SimulatedClock) -> Tokens:
    return Tokens(SigningKey(b"k" * 32), clock)


FOR_AN_AGENCY = ("steward", "galactic-overseer", "agency-data-officer")


def person_changed(
    clock: SimulatedClock,
    *,
    role: str = "steward",
    tokens_valid_from: datetime | None = None,
    revoked: tuple[str, ...] = (),
) -> Event:
    person = PersonState(
        person_id=PERSON,
        display_name="Ada Example",
        email="ada@example.gov",
        grants=[GrantState(role=role, agency_id=AGENCY if role in FOR_AN_AGENCY else None)],
        tokens_valid_from=tokens_valid_from,
        revoked_token_ids=list(revoked),
    )
    return new_event(PERSON_CHANGED, PersonChanged(person=person), subject=str(PERSON), time=clock.now())


def person_erased(clock: SimulatedClock) -> Event:
    return tombstone(PERSON_CHANGED, subject=str(PERSON), partition_key=str(PERSON), time=clock.now())


async def tell(store: Store, principals: Principals, *batch: Event) -> None:
    async with store.unit_of_work() as unit_of_work:
        await remember_people(batch, unit_of_work, principals)


async def reason_of(authenticator: TokenAuthenticator, token: str) -> str:
    with pytest.raises(AuthenticationError) as caught:
        await authenticator.authenticate(token)
    return caught.value.reason


@pytest.mark.parametrize("is_cached", [False, True])
async def test_a_known_person_s_token_gives_their_grants(
    store: Store, tokens: Tokens, clock: SimulatedClock, is_cached: bool
) -> None:
    principals = Principals(PRINCIPALS, is_cached=is_cached)
    authenticator = TokenAuthenticator(tokens, store, principals)
    token = tokens.issue(PERSON, DAY)
    assert await reason_of(authenticator, token) == "unknown"
    await tell(store, principals, person_changed(clock))
    viewer = await authenticator.authenticate(token)
    assert viewer.person_id == PERSON
    assert viewer.grants == {Grant(Role.STEWARD, AGENCY)}


@pytest.mark.parametrize("is_cached", [False, True])
async def test_revoking_one_token_leaves_the_person_s_others(
    store: Store, tokens: Tokens, clock: SimulatedClock, is_cached: bool
) -> None:
    principals = Principals(PRINCIPALS, is_cached=is_cached)
    authenticator = TokenAuthenticator(tokens, store, principals)
    lost, kept = tokens.issue(PERSON, DAY), tokens.issue(PERSON, DAY)
    await tell(store, principals, person_changed(clock))
    await authenticator.authenticate(lost)
    await tell(store, principals, person_changed(clock, revoked=(tokens.verify(lost).token_id,)))
    assert await reason_of(authenticator, lost) == "revoked"
    assert (await authenticator.authenticate(kept)).person_id == PERSON


async def test_a_cut_ends_tokens_issued_before_it_within_the_same_second_too(
    store: Store, tokens: Tokens, clock: SimulatedClock
) -> None:
    principals = Principals(PRINCIPALS)
    authenticator = TokenAuthenticator(tokens, store, principals)
    before = tokens.issue(PERSON, DAY)
    await tell(store, principals, person_changed(clock, tokens_valid_from=clock.now()))
    after = tokens.issue(PERSON, DAY)
    assert await reason_of(authenticator, before) == "revoked"
    assert (await authenticator.authenticate(after)).person_id == PERSON


@pytest.mark.parametrize("is_cached", [False, True])
async def test_an_erased_person_is_unknown_and_leaves_no_row(
    store: Store, tokens: Tokens, clock: SimulatedClock, is_cached: bool
) -> None:
    principals = Principals(PRINCIPALS, is_cached=is_cached)
    authenticator = TokenAuthenticator(tokens, store, principals)
    token = tokens.issue(PERSON, DAY)
    await tell(store, principals, person_changed(clock))
    await authenticator.authenticate(token)
    await tell(store, principals, person_erased(clock))
    assert await reason_of(authenticator, token) == "unknown"
    async with store.read() as connection:
        assert (await connection.execute(PRINCIPALS.select())).first() is None


async def test_the_last_state_of_a_person_in_a_batch_counts(
    store: Store, tokens: Tokens, clock: SimulatedClock
) -> None:
    principals = Principals(PRINCIPALS)
    authenticator = TokenAuthenticator(tokens, store, principals)
    batch = [person_changed(clock), person_erased(clock), person_changed(clock, role="operator")]
    await tell(store, principals, *batch)
    assert (await authenticator.authenticate(tokens.issue(PERSON, DAY))).roles == {Role.OPERATOR}


async def test_a_role_that_this_version_does_not_know_grants_nothing(
    store: Store, tokens: Tokens, clock: SimulatedClock
) -> None:
    principals = Principals(PRINCIPALS)
    await tell(store, principals, person_changed(clock, role="galactic-overseer"))
    viewer = await TokenAuthenticator(tokens, store, principals).authenticate(tokens.issue(PERSON, DAY))
    assert viewer.is_signed_in
    assert viewer.grants == frozenset()


async def test_a_rolled_back_write_does_not_change_who_may_do_what(
    store: Store, tokens: Tokens, clock: SimulatedClock
) -> None:
    principals = Principals(PRINCIPALS, is_cached=True)
    authenticator = TokenAuthenticator(tokens, store, principals)
    token = tokens.issue(PERSON, DAY)
    await tell(store, principals, person_changed(clock))
    await authenticator.authenticate(token)

    async def erase_and_fail() -> None:
        async with store.unit_of_work() as unit_of_work:
            await remember_people([person_erased(clock)], unit_of_work, principals)
            raise RuntimeError("something later in the transaction")

    with pytest.raises(RuntimeError, match="later"):
        await erase_and_fail()
    assert (await authenticator.authenticate(token)).person_id == PERSON


async def test_the_table_holds_neither_name_nor_address(store: Store, clock: SimulatedClock) -> None:
    await tell(store, Principals(PRINCIPALS), person_changed(clock))
    async with store.read() as connection:
        row = (await connection.execute(PRINCIPALS.select())).one()
    assert "Ada" not in str(row)
    assert "ada@" not in str(row)


async def test_a_role_of_the_whole_installation_that_is_held_for_one_agency_grants_nothing(
    store: Store, tokens: Tokens, clock: SimulatedClock
) -> None:
    principals = Principals(PRINCIPALS)
    person = PersonState(
        person_id=PERSON,
        display_name="Ada Example",
        grants=[GrantState(role="operator", agency_id=AGENCY), GrantState(role="steward", agency_id=AGENCY)],
    )
    event = new_event(PERSON_CHANGED, PersonChanged(person=person), subject=str(PERSON), time=clock.now())
    await tell(store, principals, event)
    viewer = await TokenAuthenticator(tokens, store, principals).authenticate(tokens.issue(PERSON, DAY))
    assert viewer.roles == {Role.STEWARD}


@pytest.mark.parametrize(
    ("role", "asked", "granted"),
    [
        ("service", {TokenScope.METRICS}, {TokenScope.METRICS}),
        ("operator", {TokenScope.METRICS, TokenScope.HITS}, {TokenScope.METRICS, TokenScope.HITS}),
        ("steward", {TokenScope.METRICS}, None),
        ("chief-data-officer", {TokenScope.EVENTS}, None),
    ],
)
async def test_a_token_with_scopes_has_the_rights_of_a_program_and_no_others_of_its_owner(
    store: Store,
    tokens: Tokens,
    clock: SimulatedClock,
    role: str,
    asked: set[TokenScope],
    granted: set[TokenScope] | None,
) -> None:
    principals = Principals(PRINCIPALS)
    authenticator = TokenAuthenticator(tokens, store, principals)
    await tell(store, principals, person_changed(clock, role=role))
    token = tokens.issue(PERSON, DAY, scopes=asked)
    if granted is None:
        assert await reason_of(authenticator, token) == "revoked"
        return
    viewer = await authenticator.authenticate(token)
    assert viewer.grants == {Grant(Role.SERVICE)}
    assert viewer.scopes == granted


def test_a_program_of_one_agency_gets_no_scope_that_reaches_the_whole_installation() -> None:
    grants, scopes = scopes_open_to([Grant(Role.SERVICE, AGENCY)], TokenScope)
    assert grants == {Grant(Role.SERVICE, AGENCY)}
    assert scopes == {TokenScope.HITS, TokenScope.EVENTS}
