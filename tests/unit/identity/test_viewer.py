"""What a viewer may see, and what a page calls them."""

from uuid import UUID

import pytest

from shared.identity.viewer import ANONYMOUS, Grant, Role, Viewer

PERSON = UUID("6a4b1c4e-2222-4d5e-9a11-000000000002")
OWN, OTHER = UUID(int=1), UUID(int=2)


def viewer(*grants: Grant) -> Viewer:
    return Viewer(PERSON, frozenset(grants))


@pytest.mark.parametrize(
    ("who", "visibility", "agency", "may"),
    [
        (ANONYMOUS, "public", OTHER, True),
        (ANONYMOUS, "government", OWN, False),
        (viewer(Grant(Role.REQUESTER)), "government", OWN, False),
        (viewer(Grant(Role.STEWARD, OWN)), "government", OTHER, True),
        (viewer(Grant(Role.STEWARD, OWN)), "agency", OWN, True),
        (viewer(Grant(Role.STEWARD, OWN)), "agency", OTHER, False),
        (viewer(Grant(Role.STEWARD, OWN)), "agency", None, False),
        (viewer(Grant(Role.CHIEF_DATA_OFFICER)), "agency", OTHER, True),
        (viewer(Grant(Role.CHIEF_DATA_OFFICER)), "sealed", OWN, False),
    ],
)
def test_records_show_only_to_those_whose_grants_reach_them(
    who: Viewer, visibility: str, agency: UUID | None, may: bool
) -> None:
    assert who.may_see(visibility, agency) is may


@pytest.mark.parametrize(
    ("who", "name"),
    [
        (ANONYMOUS, "Visitor"),
        (viewer(), "Requester"),
        (viewer(Grant(Role.REQUESTER), Grant(Role.STEWARD, OWN)), "Steward"),
        (viewer(Grant(Role.STEWARD, OWN), Grant(Role.CHIEF_DATA_OFFICER)), "Chief data officer"),
    ],
)
def test_a_page_calls_a_person_by_their_widest_role(who: Viewer, name: str) -> None:
    assert who.display_name == name
