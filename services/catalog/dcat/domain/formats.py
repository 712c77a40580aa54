"""Media types and file formats: what feeds write, and the standard form of it."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

MEDIA_TYPE_UNKNOWN = "application/octet-stream"
"""RFC 2046, section 4.5.1: what a body of unknown type is called."""

_MEDIA_TYPE = re.compile(r"[-\w]{1,127}/[-\w]{1,127}(?:\.[-\w]{1,127}){0,16}(?:\+[-\w]{1,127})?", re.ASCII)


class FileFormat(NamedTuple):
    """One format: the label people know, its registered media type, and other ways to name it."""

    label: str
    media_type: str
    names: tuple[str, ...] = ()


FILE_FORMATS = (
    FileFormat(
        "CSV", "text/csv", ("text/comma-separated-values", "application/csv", "text/x-csv", "comma separated")
    ),
    FileFormat("TSV", "text/tab-separated-values", ("tab", "text/tsv")),
    FileFormat("JSON", "application/json", ("text/json", "application/x-json")),
    FileFormat("GeoJSON", "application/geo+json", ("application/vnd.geo+json", "geo.json")),
    FileFormat("JSON-LD", "application/ld+json", ("jsonld",)),
    FileFormat("JSON Lines", "application/jsonl", ("jsonl", "ndjson", "application/x-ndjson")),
    FileFormat("XML", "application/xml", ("text/xml",)),
    FileFormat("RDF", "application/rdf+xml", ("rdfxml",)),
    FileFormat("Turtle", "text/turtle", ("ttl",)),
    FileFormat(
        "XLS", "application/vnd.ms-excel", ("excel", "msexcel", "application/excel", "application/x-excel")
    ),
    FileFormat("XLSX", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ("excel xlsx",)),
    FileFormat("ODS", "application/vnd.oasis.opendocument.spreadsheet"),
    FileFormat("PDF", "application/pdf"),
    FileFormat("HTML", "text/html", ("htm", "web page", "webpage", "website", "application/xhtml+xml")),
    FileFormat("Text", "text/plain", ("txt", "plain text")),
    FileFormat("DOC", "application/msword", ("word",)),
    FileFormat("DOCX", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    FileFormat("ZIP", "application/zip", ("application/x-zip-compressed", "application/x-zip")),
    FileFormat("GZIP", "application/gzip", ("gz", "application/x-gzip")),
    FileFormat("Shapefile", "application/vnd.shp", ("shp", "esri shapefile", "shape")),
    FileFormat("KML", "application/vnd.google-earth.kml+xml"),
    FileFormat("KMZ", "application/vnd.google-earth.kmz"),
    FileFormat("GeoPackage", "application/geopackage+sqlite3", ("gpkg",)),
    FileFormat("GeoTIFF", "image/tiff", ("tiff", "tif")),
    FileFormat("Parquet", "application/vnd.apache.parquet", ("application/x-parquet", "application/parquet")),
    FileFormat("Access database", "application/vnd.ms-access", ("mdb", "accdb", "application/x-msaccess")),
    FileFormat("RSS", "application/rss+xml"),
    FileFormat("Atom", "application/atom+xml"),
    FileFormat("PNG", "image/png"),
    FileFormat("JPEG", "image/jpeg", ("jpg",)),
)


def _key(text: str) -> str:
    return re.sub(r"[\s._-]+", "", text.lower())


_FORMAT_OF = {
    _key(name): file_format
    for file_format in reversed(FILE_FORMATS)
    for name in (file_format.label, file_format.media_type, *file_format.names)
}


def format_named(text: str | None) -> FileFormat | None:
    """The format that a label, an extension or a media type names; None for one that is not in the table."""
    if text is None or len(text) > 200:
        return None
    return _FORMAT_OF.get(_key(text.split(";", 1)[0]))


def format_of_url(url: str | None) -> FileFormat | None:
    """The format by the extension of the URL's path, or of a whole value of its query."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    for text in (parts.path, *parts.query.split("&")[:20]):
        name, dot, extension = text.rpartition(".")
        if dot and name and (found := format_named(extension)) is not None:
            return found
    return None


def is_media_type(text: str) -> bool:
    """Whether ``text`` has the form that DCAT-US 1.1 asks of ``mediaType``."""
    return _MEDIA_TYPE.fullmatch(text) is not None
