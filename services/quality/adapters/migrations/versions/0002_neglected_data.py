"""Look again at data that is stale with a warning: time alone makes it an error from now on."""

import sqlalchemy as sa
from alembic import op

from shared.store import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STANDINGS = sa.table(
    "standings", sa.column("dataset_id", sa.Uuid()), sa.column("next_check_at", types.UTCDateTime())
)
ALERTS = sa.table(
    "alerts",
    sa.column("dataset_id", sa.Uuid()),
    sa.column("kind", sa.String()),
    sa.column("state", sa.String()),
    sa.column("severity", sa.String()),
    sa.column("changed_at", types.UTCDateTime()),
)


def upgrade() -> None:
    warned = (
        sa.select(ALERTS.c.changed_at)
        .where(
            ALERTS.c.dataset_id == STANDINGS.c.dataset_id,
            ALERTS.c.kind == "freshness-stale",
            ALERTS.c.state != "resolved",
            ALERTS.c.severity == "warning",
        )
        .scalar_subquery()
    )
    op.execute(
        sa.update(STANDINGS)
        .where(STANDINGS.c.next_check_at.is_(None), warned.is_not(None))
        .values(next_check_at=warned)
    )


def downgrade() -> None:
    """Nothing to take back: a check that finds nothing new changes nothing."""
