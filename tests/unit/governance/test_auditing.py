"""What goes beyond the rights of who lets somebody in."""

from uuid import UUID

import pytest

from services.governance.domain.auditing import goes_beyond
from shared.identity.viewer import Grant, Role

A, B = UUID(int=1), UUID(int=2)
EVERYWHERE = (
    (
        Role.CHIEF_DATA_OFFICER,
        {Role.CHIEF_DATA_OFFICER, Role.AGENCY_DATA_OFFICER, Role.STEWARD, Role.REQUESTER},
    ),
    (Role.OPERATOR, {Role.OPERATOR, Role.SERVICE, Role.REQUESTER}),
    (Role.SERVICE, {Role.SERVICE, Role.REQUESTER}),
    (Role.REQUESTER, {Role.REQUESTER}),
)


@pytest.mark.parametrize(("held", "covered"), EVERYWHERE)
def test_each_role_covers_the_roles_whose_rights_it_has(held: Role, covered: set[Role]) -> None:
    given = set(Role) - {Role.PUBLIC}
    assert {role for role in given if not goes_beyond([Grant(held)], [Grant(role, A)])} == covered


def test_rights_in_one_agency_cover_no_other_and_not_all() -> None:
    officer = [Grant(Role.AGENCY_DATA_OFFICER, A)]
    assert not goes_beyond(officer, [Grant(Role.STEWARD, A), Grant(Role.REQUESTER)])
    assert goes_beyond(officer, [Grant(Role.STEWARD, B)])
    assert goes_beyond(officer, [Grant(Role.STEWARD)])


def test_one_grant_that_is_not_covered_is_enough() -> None:
    assert goes_beyond([Grant(Role.OPERATOR)], [Grant(Role.SERVICE), Grant(Role.STEWARD, A)])
    assert not goes_beyond([Grant(Role.OPERATOR), Grant(Role.STEWARD, A)], [Grant(Role.STEWARD, A)])
    assert not goes_beyond([], [])
