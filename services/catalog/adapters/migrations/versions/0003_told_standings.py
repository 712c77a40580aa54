"""Remember who may see each dataset by the changes feed, so that a withdrawal can be told."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "told_standings",
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("visibility", sa.String(length=20), nullable=False),
        sa.Column("agency_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id"),
    )
    # What was told before this table was there is taken to be what stands now.
    op.execute(
        "INSERT INTO told_standings (dataset_id, visibility, agency_id) "
        "SELECT dataset_id, visibility, agency_id FROM datasets"
    )


def downgrade() -> None:
    op.drop_table("told_standings")
