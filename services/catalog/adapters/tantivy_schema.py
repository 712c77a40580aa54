"""The tantivy schema, and how a document of ours becomes one of tantivy's.

The words are ours (``query_text``): a text field holds terms joined by blanks and is split on blanks.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import tantivy

from services.catalog.domain.query_text import terms, words
from services.catalog.domain.ranking import RankFeatures, rank_features
from services.catalog.domain.search import Facet, SearchDocument

SCHEMA_VERSION = 1
"""Raised whenever the schema or the analysis changes: an index of another version is rebuilt."""

TERMS = "nutmeg_terms"
RAW = "raw"

FACET_FIELDS: dict[Facet, str] = {
    "agency": "agency",
    "theme": "theme",
    "keyword": "keyword",
    "format": "format",
    "access_level": "access_level",
    "freshness": "freshness",
    "license": "license",
}
AGENCY_LABEL_FIELD = "agency_label"
LABEL_MARK = "\t"
"""Between the id and the name of an agency in its label."""

REVISION_MAX = 2**63 - 1
VALUE_CHARACTERS_MAX = 200
LIST_ENTRIES_MAX = 10_000
STORED_DESCRIPTION_CHARACTERS = 2_000
INDEXED_TEXT_CHARACTERS = 200_000
"""More text of one document than this is not indexed; an event holds 64 KiB per text at most."""

_HASH_BITS_MASK = (1 << 32) - 1


class UnindexableDocumentError(ValueError):
    """The document can never be indexed. The message names the field and what is wrong with it."""


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

    Raises :class:`UnindexableDocumentError`: a wrong type must be found here, because one that reaches the
    writer's thread ends that thread, and with it every later write.
    """
    _check(document)
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
    labels = [*_kept_values("keyword", document.keywords), _agency_label(document)]
    made.add_bytes("stored", orjson.dumps((document.title, description, labels, *astuple(features))))
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


def facet_value(facet: Facet, value: str) -> str:
    """The form in which a value is kept and compared: keywords without case, formats in capitals."""
    value = " ".join(value.split())[:VALUE_CHARACTERS_MAX]
    if not value.isascii():
        # A filter comes from outside and may hold half a character (a lone surrogate).
        value = value.encode("utf-8", "replace").decode("utf-8")
    if facet == "keyword":
        return value.casefold()
    if facet == "format":
        return value.upper()
    return value


def uuid_of(high: int, low: int) -> UUID:
    """The id from its two halves."""
    return UUID(int=(high << 64) | low)


def _add_words(made: tantivy.Document, document: SearchDocument, features: RankFeatures) -> None:
    made.add_text("title_key", features.title_key[:VALUE_CHARACTERS_MAX])
    if features.identifier_key:
        made.add_text("identifier_key", features.identifier_key[:VALUE_CHARACTERS_MAX])
    made.add_text("title", features.title)
    made.add_text("title_words", " ".join(dict.fromkeys(words(document.title))))
    # Each entry is a value of its own: tantivy leaves a gap between values, so no phrase spans two.
    entries = (
        document.title,
        document.agency_name or "",
        document.publisher_name or "",
        document.identifier or "",
        *document.keywords,
        *document.themes,
        *document.column_names,
        *document.column_descriptions,
        document.description,
    )
    room = INDEXED_TEXT_CHARACTERS
    for entry in entries:
        if entry and room > 0:
            made.add_text("text", " ".join(terms(entry[:room])))
            room -= len(entry)


def _add_facets(made: tantivy.Document, document: SearchDocument) -> None:
    values: dict[Facet, tuple[str, ...]] = {
        "theme": document.themes,
        "format": document.formats,
        "access_level": (document.access_level,),
        "freshness": (document.freshness,),
        "license": (document.license or "",),
    }
    for facet, found in values.items():
        for value in _kept_values(facet, found):
            made.add_text(FACET_FIELDS[facet], value)
    for value in _kept_values("keyword", document.keywords):
        made.add_unsigned("keyword", number_of(value))
    if document.agency_id is not None:
        made.add_text("agency", str(document.agency_id))
        made.add_unsigned(AGENCY_LABEL_FIELD, number_of(_agency_label(document)))


def _agency_label(document: SearchDocument) -> str:
    """An agency's id and name together, so that both come with one count."""
    return f"{document.agency_id}{LABEL_MARK}{facet_value('agency', document.agency_name or '')}"


def _kept_values(facet: Facet, values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(facet_value(facet, value) for value in values) if value]


def _add_orders(made: tantivy.Document, document: SearchDocument, features: RankFeatures) -> None:
    """Sort keys, unique by 32 bits of the id, so that a page can begin after a key."""
    tie = document.dataset_id.int & _HASH_BITS_MASK
    quality = 0 if document.quality_score is None else 1 + int(document.quality_score * 1_000_000)
    made.add_unsigned("sort_standing", int(features.standing * 1_000_000) << 32 | tie)
    made.add_unsigned("sort_modified", _seconds(document.data_updated_at) << 30 | tie >> 2)
    made.add_unsigned("sort_popular", min(document.popularity_bucket, 2**31) << 32 | tie)
    made.add_unsigned("sort_quality", quality << 32 | tie)
    made.add_text("sort_title", f"{features.title_key[:VALUE_CHARACTERS_MAX]}\x00{document.dataset_id}")
    made.add_float("standing_weight", features.standing / 200)


def _seconds(at: datetime | None) -> int:
    """Whole seconds since 1970, at least 1; 0 for not known. Fits 34 bits until the year 2514."""
    if at is None:
        return 0
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max(1, int(aware.timestamp())), 2**34 - 1)


def _check(document: SearchDocument) -> None:
    """Every field's type and bounds, before anything is handed to tantivy."""
    _expect(document, "dataset_id", UUID)
    _expect(document, "agency_id", UUID, None)
    for name in ("title", "description", "access_level", "freshness"):
        _expect_text(document, name, getattr(document, name))
    for name in ("agency_name", "publisher_name", "license", "identifier"):
        if getattr(document, name) is not None:
            _expect_text(document, name, getattr(document, name))
    for name in ("keywords", "themes", "formats", "column_names", "column_descriptions"):
        entries = getattr(document, name)
        if not isinstance(entries, tuple) or len(entries) > LIST_ENTRIES_MAX:
            raise UnindexableDocumentError(f"{name}: must be a tuple of texts, not {type(entries).__name__}.")
        for entry in entries:
            _expect_text(document, name, entry)
    for name, most in (("revision", REVISION_MAX), ("popularity_bucket", REVISION_MAX)):
        number = getattr(document, name)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= most:
            raise UnindexableDocumentError(
                f"{name}: must be a whole number from 0 to {most}, not {number!r}."
            )
    quality = document.quality_score
    if quality is not None and not (isinstance(quality, int | float) and 0 <= quality <= 1):
        raise UnindexableDocumentError(f"quality_score: must be 0 to 1 or None, not {quality!r}.")
    _expect(document, "data_updated_at", datetime, None)
    if document.visibility not in {"public", "government", "agency"}:
        raise UnindexableDocumentError(f"visibility: {document.visibility!r} is not one of the three.")
    if not isinstance(document.hidden, bool):
        raise UnindexableDocumentError("hidden: must be true or false.")


def _expect(document: SearchDocument, name: str, *kinds: type | None) -> None:
    value: Any = getattr(document, name)
    wanted = tuple(kind for kind in kinds if kind is not None)
    if not isinstance(value, wanted) and not (value is None and None in kinds):
        raise UnindexableDocumentError(f"{name}: must be {wanted[0].__name__}, not {type(value).__name__}.")


def _expect_text(document: SearchDocument, name: str, value: object) -> None:
    if not isinstance(value, str):
        raise UnindexableDocumentError(
            f"{name}: must be text, not {type(value).__name__} (dataset {document.dataset_id})."
        )
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UnindexableDocumentError(f"{name}: holds half a character (a lone surrogate).") from error
