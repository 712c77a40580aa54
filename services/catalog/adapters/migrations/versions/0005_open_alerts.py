"""Keep the alerts that are open, for the pages of datasets."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from shared.store import types

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

CHANGES = sa.table(
    "changes",
    sa.column("sequence", sa.BigInteger()),
    sa.column("event_type", sa.String()),
    sa.column("data", types.JSONDocument()),
)


def upgrade() -> None:
    open_alerts = op.create_table(
        "open_alerts",
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=80), nullable=False),
        sa.Column("severity", sa.String(length=20), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("opened_at", types.UTCDateTime(), nullable=False),
        sa.Column("is_taken", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id"),
    )
    op.create_index(op.f("ix_open_alerts_dataset_id"), "open_alerts", ["dataset_id"])
    op.create_table(
        "alert_deliveries",
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("steward_sent_at", types.UTCDateTime(), nullable=True),
        sa.Column("other_sent_at", types.UTCDateTime(), nullable=True),
        sa.Column("failed_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id"),
    )
    # The changes feed has told every alert: what it told last of each is what stands now.
    told = sa.select(CHANGES.c.data).where(CHANGES.c.event_type.like("nutmeg.%.alert.%"))
    alerts: dict[str, dict[str, Any]] = {}
    for data in op.get_bind().execute(told.order_by(CHANGES.c.sequence)).scalars():
        alerts[data["alert"]["alert_id"]] = data["alert"]
    rows = [_row(alert) for alert in alerts.values() if alert["state"] != "resolved"]
    if rows:
        op.bulk_insert(open_alerts, rows)


def downgrade() -> None:
    op.drop_table("alert_deliveries")
    op.drop_index(op.f("ix_open_alerts_dataset_id"), table_name="open_alerts")
    op.drop_table("open_alerts")


def _row(alert: dict[str, Any]) -> dict[str, Any]:
    return {
        "alert_id": UUID(alert["alert_id"]),
        "dataset_id": UUID(alert["dataset_id"]),
        "kind": alert["kind"],
        "severity": alert["severity"],
        "cause": alert["cause"],
        "opened_at": datetime.fromisoformat(alert["opened_at"]),
        "is_taken": alert["state"] == "acknowledged",
    }
