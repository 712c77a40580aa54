"""From catalog's own row to the document that is searched."""

from services.catalog.domain.search import Freshness, SearchDocument, Visibility
from shared.events.catalog import DatasetState, Distribution

_FORMAT_OF_MEDIA_TYPE = {
    "text/csv": "CSV",
    "application/json": "JSON",
    "application/geo+json": "GEOJSON",
    "application/vnd.geo+json": "GEOJSON",
    "application/xml": "XML",
    "text/xml": "XML",
    "application/rdf+xml": "RDF",
    "application/pdf": "PDF",
    "text/html": "HTML",
    "text/plain": "TXT",
    "application/zip": "ZIP",
    "application/vnd.ms-excel": "XLS",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "XLSX",
    "application/vnd.google-earth.kml+xml": "KML",
    "application/vnd.google-earth.kmz": "KMZ",
    "application/vnd.apache.parquet": "PARQUET",
}
FORMAT_CHARACTERS_MAX = 20


def search_document(
    dataset: DatasetState,
    *,
    revision: int,
    quality_score: float | None = None,
    freshness: Freshness = "not-known",
    popularity_bucket: int = 0,
) -> SearchDocument:
    """The document of a dataset; a retired one is hidden. ``revision`` is its ``document_revision``."""
    formats = (distribution_format(distribution) for distribution in dataset.distributions)
    return SearchDocument(
        dataset_id=dataset.dataset_id,
        revision=revision,
        title=dataset.title,
        description=dataset.description,
        keywords=tuple(dataset.keywords),
        themes=tuple(dataset.themes),
        agency_id=dataset.agency_id,
        agency_name=dataset.agency_name,
        publisher_name=dataset.publisher_name,
        formats=tuple(dict.fromkeys(found for found in formats if found)),
        access_level=dataset.access_level,
        visibility=_visibility(dataset.visibility),
        license=dataset.license,
        column_names=tuple(
            name for column in dataset.columns for name in dict.fromkeys((column.name, column.title)) if name
        ),
        column_descriptions=tuple(column.description for column in dataset.columns if column.description),
        identifier=dataset.identifier,
        data_updated_at=dataset.data_updated_at,
        freshness=freshness,
        quality_score=quality_score,
        popularity_bucket=popularity_bucket,
        hidden=dataset.retired_at is not None,
    )


def distribution_format(distribution: Distribution) -> str | None:
    """The short name of a distribution's format, as people say it: its media type's, else what it states."""
    media_type = (distribution.media_type or "").split(";")[0].strip().lower()
    known = _FORMAT_OF_MEDIA_TYPE.get(media_type)
    stated = (distribution.format or "").strip().lstrip(".").upper()
    if known is not None:
        return known
    if stated and len(stated) <= FORMAT_CHARACTERS_MAX and "/" not in stated:
        return stated
    return None


def _visibility(stated: str) -> Visibility:
    """The visibility; a value that is not known yet is treated as the strictest."""
    if stated == "public":
        return "public"
    return "government" if stated == "government" else "agency"


def popularity_bucket(uses: int) -> int:
    """The logarithmic step of a number of uses: 0, 1, 2 for 2–3, 3 for 4–7, and so on.

    A dataset's document changes only when its use doubles or halves, not with every hit.
    """
    return max(0, uses).bit_length()
