"""The first operator: a person with a token in a file, so that somebody can let the others in."""

from datetime import timedelta

from services.governance.bootstrap import Governance
from services.governance.commands.access import INSTALLATION, add_person
from services.host.data_directory import DataDirectory
from services.host.settings import HostSettings
from shared.events.governance import GrantState
from shared.identity.tokens import LIFETIME_MAX, AuthenticationError
from shared.identity.viewer import Role

__all__ = ["ensure_admin_token", "issue_admin_token"]

ADMIN_NAME = "Administrator"
TOKEN_LABEL = "administrator of this data directory"  # noqa: S105 - a label, not a token
LIFETIME = min(LIFETIME_MAX, timedelta(days=366))
ADMIN_ROLES = (Role.OPERATOR, Role.CHIEF_DATA_OFFICER)


async def ensure_admin_token(
    governance: Governance, directory: DataDirectory, settings: HostSettings
) -> None:
    """Issue the token at the first start, and again once it has expired or was revoked."""
    held = directory.read_admin_token()
    if held is not None:
        try:
            await governance.authenticator.authenticate(held)
        except AuthenticationError:
            held = None
    if held is not None:
        return
    directory.write_admin_token(await issue_admin_token(governance, settings.admin_email))


async def issue_admin_token(governance: Governance, email: str) -> str:
    """Make the operator of that address, unless there already, and return a new token of theirs."""
    async with governance.service.store.unit_of_work() as work:
        await add_person(
            work,
            governance.ports,
            email=email,
            display_name=ADMIN_NAME,
            grants=[GrantState(role=role) for role in ADMIN_ROLES],
            by=INSTALLATION,
        )
        ids = await governance.ports.directory.person_ids_by_email(work, [email])
        return await governance.sign_in.issue_token(work, ids[email], label=TOKEN_LABEL, lifetime=LIFETIME)
