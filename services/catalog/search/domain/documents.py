"""What the index holds of a dataset. Pure."""

from services.catalog.datasets.domain.condition import worst_of
from services.catalog.datasets.domain.entry import CatalogEntry, formats_of, known_freshness
from services.catalog.search.domain.search import SearchDocument
from shared.events.catalog import known_visibility


def search_document(entry: CatalogEntry) -> SearchDocument:
    """The entry as the index holds it. A retired one is a small hidden document that keeps its revision."""
    state = entry.state
    if entry.retired_at is not None:
        return SearchDocument(entry.dataset_id, entry.document_revision, state.title, hidden=True)
    return SearchDocument(
        dataset_id=entry.dataset_id,
        revision=entry.document_revision,
        title=state.title,
        description=state.description,
        keywords=tuple(state.keywords),
        themes=tuple(state.themes),
        agency_id=state.agency_id,
        agency_name=state.agency_name,
        publisher_name=state.publisher_name,
        formats=formats_of(state),
        access_level=state.access_level,
        visibility=known_visibility(state.visibility),
        license=state.license,
        column_names=tuple(name for column in state.columns for name in (column.name, column.title) if name),
        column_descriptions=tuple(column.description for column in state.columns if column.description),
        identifier=state.identifier,
        data_updated_at=state.data_updated_at,
        freshness=known_freshness(entry.freshness),
        condition=worst_of(entry.quality_score, known_freshness(entry.freshness), entry.open_alerts).status,
        quality_score=entry.quality_score,
        popularity_bucket=entry.popularity_bucket,
    )
