"""Which fields of a dataset differ. Pure."""

from shared.events.catalog import DatasetState

__all__ = ["changed_fields"]

_NOT_COMPARED = frozenset(("dataset_id", "source_id", "registered_at", "metadata_changed_at"))


def changed_fields(previous: DatasetState, current: DatasetState) -> list[str]:
    """Names of the fields that differ, in the order of the model, without identity and bookkeeping times."""
    return [
        name
        for name in DatasetState.model_fields
        if name not in _NOT_COMPARED and getattr(previous, name) != getattr(current, name)
    ]
