"""Profiles made by hand, for tests of what is compared and scored."""

from datetime import UTC, datetime
from typing import Any

from services.quality.profiling.domain.profile import ColumnProfile, Profile

PROFILED_AT = datetime(2026, 1, 15, 12, tzinfo=UTC)


def column(name: str, type_name: Any = "string", **fields: Any) -> ColumnProfile:
    return ColumnProfile(**{"null_count": 0, "distinct_estimate": 50, **fields}, name=name, type=type_name)


def profile(*columns: ColumnProfile, rows: int = 1000, **fields: Any) -> Profile:
    return Profile(
        **{
            "row_count": rows,
            "column_count": len(columns),
            "size_bytes": 10_000,
            "columns": columns,
            "sampled": False,
            "profiled_at": PROFILED_AT,
            "sha256": "0" * 64,
            "measured_row_count": rows,
            **fields,
        }
    )
