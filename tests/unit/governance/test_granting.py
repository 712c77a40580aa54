"""The one guard of every road that gives rights."""

from uuid import UUID

import pytest

from services.governance.domain.granting import (
    INSTALLATION,
    check_giving,
    check_letting_in,
    goes_beyond,
    rights_of_token,
)
from shared.errors import InvalidInputError, NotAllowedError
from shared.identity.viewer import ANONYMOUS, Grant, Role, TokenScope, Viewer

A, B = UUID(int=1), UUID(int=2)
ME, OTHER = UUID(int=10), UUID(int=11)
EVERYWHERE = (
    (
        Role.CHIEF_DATA_OFFICER,
        {Role.CHIEF_DATA_OFFICER, Role.AGENCY_DATA_OFFICER, Role.STEWARD, Role.REQUESTER},
    ),
    (Role.OPERATOR, {Role.OPERATOR, Role.SERVICE, Role.REQUESTER}),
    (Role.SERVICE, {Role.SERVICE}),
    (Role.REQUESTER, {Role.REQUESTER}),
)


@pytest.mark.parametrize(("held", "covered"), EVERYWHERE)
def test_each_role_covers_the_roles_whose_rights_it_has(held: Role, covered: set[Role]) -> None:
    given = set(Role) - {Role.PUBLIC}
    assert {role for role in given if not goes_beyond([Grant(held)], [Grant(role)])} == covered


def test_rights_in_one_agency_cover_no_other_and_not_all() -> None:
    officer = [Grant(Role.AGENCY_DATA_OFFICER, A)]
    assert not goes_beyond(officer, [Grant(Role.STEWARD, A), Grant(Role.REQUESTER)])
    assert goes_beyond(officer, [Grant(Role.STEWARD, B)])
    assert goes_beyond(officer, [Grant(Role.STEWARD)])


def test_one_grant_that_is_not_covered_is_enough() -> None:
    assert goes_beyond([Grant(Role.OPERATOR)], [Grant(Role.SERVICE), Grant(Role.STEWARD, A)])
    assert not goes_beyond([Grant(Role.OPERATOR), Grant(Role.STEWARD, A)], [Grant(Role.STEWARD, A)])
    assert not goes_beyond([], [])


def test_what_one_holds_may_be_given_to_others_and_what_one_does_not_hold_may_not() -> None:
    operator = Viewer(ME, frozenset({Grant(Role.OPERATOR)}))
    check_giving(operator, OTHER, [Grant(Role.OPERATOR), Grant(Role.SERVICE, A)])
    check_giving(operator, None, [])
    with pytest.raises(NotAllowedError) as refused:
        check_giving(operator, OTHER, [Grant(Role.SERVICE), Grant(Role.STEWARD, A)])
    assert (refused.value.code, "steward" in refused.value.detail) == ("beyond_own_rights", True)


def test_nobody_gives_rights_to_themselves_not_even_their_own() -> None:
    everything = Viewer(ME, frozenset({Grant(Role.OPERATOR), Grant(Role.CHIEF_DATA_OFFICER)}))
    with pytest.raises(NotAllowedError, match="themselves"):
        check_giving(everything, ME, [Grant(Role.STEWARD, A)])


@pytest.mark.parametrize(
    "by",
    [
        ANONYMOUS,
        Viewer(ME, frozenset({Grant(Role.SERVICE)}), scopes=frozenset(TokenScope)),
        Viewer(ME, frozenset({Grant(Role.SERVICE), Grant(Role.OPERATOR)}), scopes=frozenset(TokenScope)),
    ],
)
def test_programs_and_visitors_give_nothing_and_let_nobody_in(by: Viewer) -> None:
    with pytest.raises(NotAllowedError):
        check_giving(by, OTHER, [Grant(Role.REQUESTER)])
    for rights in ([Grant(Role.REQUESTER)], []):
        with pytest.raises(NotAllowedError):
            check_letting_in(by, rights)


@pytest.mark.parametrize("by", [INSTALLATION, Viewer(ME, frozenset({Grant(Role.OPERATOR)}))])
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.CHIEF_DATA_OFFICER, Role.REQUESTER])
def test_a_role_of_the_whole_installation_is_held_for_no_agency(by: Viewer, role: Role) -> None:
    with pytest.raises(InvalidInputError, match="whole installation"):
        check_giving(by, OTHER, [Grant(role, A)])


def test_a_program_s_token_has_scopes_and_a_person_s_has_none() -> None:
    program, operator = [Grant(Role.SERVICE)], [Grant(Role.OPERATOR), Grant(Role.CHIEF_DATA_OFFICER)]
    assert rights_of_token(program, [TokenScope.METRICS]) == {Grant(Role.SERVICE)}
    assert rights_of_token(operator, [TokenScope.METRICS]) == {Grant(Role.SERVICE)}
    assert rights_of_token(operator, []) == set(operator)
    assert rights_of_token([], []) == frozenset()
    for held, scopes in (
        (program, []),
        ([Grant(Role.STEWARD, A)], [TokenScope.HITS]),
        ([Grant(Role.SERVICE, A)], [TokenScope.METRICS]),
        ([Grant(Role.SERVICE, A)], [TokenScope.HITS, TokenScope.HARVEST]),
    ):
        with pytest.raises(InvalidInputError):
            rights_of_token(held, scopes)
