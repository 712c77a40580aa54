"""All tables of the tests' own service."""

from alembic import op

from tests.support.ledger_service import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    METADATA.create_all(op.get_bind())
