"""Keep feeds that are sent to an api where every worker can read them."""

import sqlalchemy as sa
from alembic import op

from shared.store import types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feed_chunks",
        sa.Column("harvest_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("received_at", types.UTCDateTime(timezone=True), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("harvest_id", "number"),
    )


def downgrade() -> None:
    op.drop_table("feed_chunks")
