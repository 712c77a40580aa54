"""A dataset with the columns of its data dictionary, never larger than one event may be. Pure."""

from shared.events.catalog import Column, DatasetState
from shared.events.topics import RECORD_BYTES_MAX

STATE_BYTES_MAX = RECORD_BYTES_MAX - 8 * 1024
"""What a dataset with its columns may take of one event; the rest is for the names of changed fields."""


def attach_columns(
    state: DatasetState, columns: list[Column], bytes_max: int = STATE_BYTES_MAX
) -> DatasetState:
    """The dataset with its dictionary; if too large for one event, first without descriptions of columns."""
    for candidate in (columns, [column.model_copy(update={"description": None}) for column in columns]):
        described = state.model_copy(update={"columns": candidate})
        if _size_bytes(described) <= bytes_max:
            return described
    bare = state.model_copy(update={"columns": []})
    spare = bytes_max - _size_bytes(bare)
    fitting: list[Column] = []
    for column in columns:
        shortened = column.model_copy(update={"description": None})
        spare -= len(shortened.model_dump_json().encode()) + 1
        if spare < 0:
            break
        fitting.append(shortened)
    return state.model_copy(update={"columns": fitting})


def _size_bytes(state: DatasetState) -> int:
    return len(state.model_dump_json(exclude_none=True).encode())
