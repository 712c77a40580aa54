"""Who may see and decide a sharing request: the one place where it is said.

Governance acts and lists by these rules, the changes feed of the catalog shows requests by them, and notify
tells nobody of a request who could not decide on it. A record has ``requester_id``, ``agency_id`` (of the
dataset) and ``status``.
"""

from shared.identity.rules import AllOf, AnyOf, FieldIn, HoldsRole, IsPerson, Not
from shared.identity.viewer import Role

__all__ = ["AWAITS_DECISION", "DECIDING_ROLES", "IS_REQUESTER", "MAY_DECIDE", "MAY_SEE", "WAITS_FOR_VIEWER"]

DECIDING_ROLES = (Role.STEWARD, Role.AGENCY_DATA_OFFICER, Role.CHIEF_DATA_OFFICER)

IS_REQUESTER = IsPerson("requester_id")
_ANSWERS_FOR_AGENCY = HoldsRole(DECIDING_ROLES, agency="agency_id")

MAY_SEE = AnyOf((IS_REQUESTER, _ANSWERS_FOR_AGENCY))
"""The requester, and those who decide for the agency."""

MAY_DECIDE = AllOf((Not(IS_REQUESTER), _ANSWERS_FOR_AGENCY))
"""A deciding role for the agency; nobody decides on a request of their own."""

AWAITS_DECISION = FieldIn("status", ("submitted",))

WAITS_FOR_VIEWER = AllOf((MAY_DECIDE, AWAITS_DECISION))
"""What a list or a count of "waiting for your decision" holds."""
