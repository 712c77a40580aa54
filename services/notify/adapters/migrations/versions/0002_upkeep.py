"""Pass on what nobody takes, find what is over, and drop a table that nothing uses."""

import sqlalchemy as sa
from alembic import op

from shared.store import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kept_mail_changes",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("is_removed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    op.add_column("matters", sa.Column("passed_on_occurrence", sa.Integer(), nullable=True))
    op.create_index("ix_matters_state", "matters", ["state", "changed_at"])
    op.create_index("ix_deliveries_finished", "deliveries", ["finished_at"])
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")


def downgrade() -> None:
    op.drop_table("kept_mail_changes")
    op.create_table('idempotency_keys',
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('viewer', sa.String(length=80), nullable=False),
    sa.Column('route', sa.String(length=200), nullable=False),
    sa.Column('request_hash', sa.String(length=64), nullable=False),
    sa.Column('status', sa.Integer(), nullable=False),
    sa.Column('body', types.JSONDocument(), nullable=False),
    sa.Column('headers', types.JSONDocument(), nullable=False),
    sa.Column('created_at', types.UTCDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('key', 'viewer', 'route')
    )
    op.create_index('ix_idempotency_keys_created_at', 'idempotency_keys', ['created_at'], unique=False)
    op.drop_index("ix_deliveries_finished", table_name="deliveries")
    op.drop_index("ix_matters_state", table_name="matters")
    op.drop_column("matters", "passed_on_occurrence")
