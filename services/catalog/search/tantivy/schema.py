"""The tantivy schema, and how a document of ours becomes one of tantivy's.

The words are ours (``query_text``): a text field holds terms joined by blanks and is split on blanks.
"""

import hashlib
from uuid import UUID

import orjson
import tantivy

from services.catalog.search.domain.index_fields import (
    STORED_DESCRIPTION_CHARACTERS,
    VALUE_CHARACTERS_MAX,
    agency_label,
    check_document,
    facet_values,
    indexed_texts,
    kept_values,
    sort_keys,
    title_words,
)
from services.catalog.search.domain.ranking import RankFeatures, rank_features
from services.catalog.search.domain.search import Facet, SearchDocument

SCHEMA_VERSION = 2
"""Raised whenever the schema or the analysis changes: an index of another version is rebuilt."""

TERMS = "nutmeg_terms"
RAW = "raw"

FACET_FIELDS: dict[Facet, str] = {
    "agency": "agency",
    "theme": "theme",
    "keyword": "keyword",
    "format": "format",
    "access_level": "access_level",
    "condition": "condition",
    "freshness": "freshness",
    "license": "license",
}
AGENCY_LABEL_FIELD = "agency_label"


def build_schema() -> tantivy.Schema:
    """The schema of version :data:`SCHEMA_VERSION`."""
    builder = tantivy.SchemaBuilder()
    for name in ("id", "audience", "title_key", "identifier_key", "sort_title"):
        builder.add_text_field(name, fast=name == "sort_title", tokenizer_name=RAW, index_option="basic")
    for facet, name in FACET_FIELDS.items():
        if facet != "keyword":
            builder.add_text_field(name, fast=facet != "agency", tokenizer_name=RAW, index_option="basic")
    for name in ("keyword", AGENCY_LABEL_FIELD):
        builder.add_unsigned_field(name, indexed=True, fast=True)
    builder.add_text_field("title", tokenizer_name=TERMS, index_option="position")
    builder.add_text_field("text", tokenizer_name=TERMS, index_option="position")
    builder.add_text_field("title_words", tokenizer_name=TERMS, index_option="basic")
    for name in (
        "id_high",
        "id_low",
        "revision",
        "sort_standing",
        "sort_modified",
        "sort_popular",
        "sort_quality",
    ):
        builder.add_unsigned_field(name, fast=True)
    builder.add_float_field("standing_weight", fast=True)
    builder.add_boolean_field("hidden", indexed=True, fast=True)
    builder.add_bytes_field("stored", stored=True)
    return builder.build()


def register_analysis(index: tantivy.Index) -> None:
    """Teach an opened index to split on blanks; it must be done each time that one is opened."""
    analyser = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
    index.register_tokenizer(TERMS, analyser)


def to_tantivy(document: SearchDocument) -> tantivy.Document:
    """A document ready for the writer.

    Raises :class:`UnindexableDocumentError`: a wrong type must be found
    here, because one that reaches the writer's thread ends that thread, and with it every later write.
    """
    check_document(document)
    features = rank_features(document)
    made = tantivy.Document()
    number = document.dataset_id.int
    made.add_text("id", str(document.dataset_id))
    made.add_unsigned("id_high", number >> 64)
    made.add_unsigned("id_low", number & (2**64 - 1))
    made.add_unsigned("revision", document.revision)
    made.add_boolean("hidden", document.hidden)
    audience = document.audience()
    if audience is None:
        return made
    made.add_text("audience", audience)
    _add_words(made, document, features)
    _add_facets(made, document)
    _add_orders(made, document, features)
    description = document.description[:STORED_DESCRIPTION_CHARACTERS]
    labels = [*kept_values("keyword", document.keywords), agency_label(document)]
    made.add_bytes("stored", orjson.dumps((document.title, description, labels, *features.as_tuple())))
    return made


def from_stored(stored: bytes) -> tuple[str, str, RankFeatures]:
    """Title, description and rank features of a hit."""
    title, description, _, *features = orjson.loads(stored)
    return title, description, RankFeatures(*features)


def stored_labels(stored: bytes) -> dict[int, str]:
    """A document's keywords and its agency's label by their numbers: what a counted number means."""
    labels: list[str] = orjson.loads(stored)[2]
    return {number_of(label): label for label in labels}


def number_of(label: str) -> int:
    """What stands for a keyword or an agency's label in the index: 52 bits of a hash.

    A large catalogue has hundreds of thousands of keywords, and counting numbers costs a tenth of counting
    texts. The engine tells counted numbers as floats, which are exact up to 53 bits.
    """
    digest = hashlib.blake2b(label.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 12


def uuid_of(high: int, low: int) -> UUID:
    """The id from its two halves."""
    return UUID(int=(high << 64) | low)


def _add_words(made: tantivy.Document, document: SearchDocument, features: RankFeatures) -> None:
    made.add_text("title_key", features.title_key[:VALUE_CHARACTERS_MAX])
    if features.identifier_key:
        made.add_text("identifier_key", features.identifier_key[:VALUE_CHARACTERS_MAX])
    made.add_text("title", features.title)
    made.add_text("title_words", title_words(document))
    # Each is a value of its own: tantivy leaves a gap between values, so no phrase spans two.
    for text in indexed_texts(document):
        made.add_text("text", text)


def _add_facets(made: tantivy.Document, document: SearchDocument) -> None:
    for facet, values in facet_values(document).items():
        for value in values:
            if facet == "keyword":
                made.add_unsigned(FACET_FIELDS[facet], number_of(value))
            else:
                made.add_text(FACET_FIELDS[facet], value)
    if document.agency_id is not None:
        made.add_unsigned(AGENCY_LABEL_FIELD, number_of(agency_label(document)))


def _add_orders(made: tantivy.Document, document: SearchDocument, features: RankFeatures) -> None:
    """Sort keys, unique by 32 bits of the id, so that a page can begin after a key."""
    keys = sort_keys(document, features)
    made.add_unsigned("sort_standing", keys.standing << 32 | keys.tie)
    made.add_unsigned("sort_modified", keys.modified << 30 | keys.tie >> 2)
    made.add_unsigned("sort_popular", keys.popular << 32 | keys.tie)
    made.add_unsigned("sort_quality", keys.quality << 32 | keys.tie)
    made.add_text("sort_title", f"{features.title_key[:VALUE_CHARACTERS_MAX]}\x00{document.dataset_id}")
    made.add_float("standing_weight", features.standing / 200)
