"""Write down who lets others in."""

import sqlalchemy as sa
from alembic import op

from shared.store import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "directory_audit",
        sa.Column("line_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("act", sa.String(length=30), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("happened_at", types.UTCDateTime(), nullable=False),
        sa.Column("is_beyond", sa.Boolean(), nullable=False),
        sa.Column("details", types.JSONDocument(), nullable=False),
        sa.PrimaryKeyConstraint("line_id"),
    )
    op.create_index(op.f("ix_directory_audit_actor_id"), "directory_audit", ["actor_id"])
    op.create_index(op.f("ix_directory_audit_person_id"), "directory_audit", ["person_id"])
    op.add_column("tokens", sa.Column("issued_by", sa.Uuid(), nullable=True))
    # Nobody has a token yet that this column would have to be filled for.
    op.add_column("tokens", sa.Column("scopes", types.JSONDocument(), nullable=False, server_default="[]"))
    op.add_column("sign_in_codes", sa.Column("issued_by", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("sign_in_codes", "issued_by")
    op.drop_column("tokens", "scopes")
    op.drop_column("tokens", "issued_by")
    op.drop_index(op.f("ix_directory_audit_person_id"), table_name="directory_audit")
    op.drop_index(op.f("ix_directory_audit_actor_id"), table_name="directory_audit")
    op.drop_table("directory_audit")
