"""Remember when index and rows were last compared."""

import sqlalchemy as sa
from alembic import op

from shared.store import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "index_reconciles",
        sa.Column("index_name", sa.String(length=40), nullable=False),
        sa.Column("compared_at", types.UTCDateTime(timezone=True), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("extra", sa.Integer(), nullable=False),
        sa.Column("stale", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("index_name"),
    )


def downgrade() -> None:
    op.drop_table("index_reconciles")
