"""What a document holds for searching, whatever the engine: checks, bounds, kept forms and sort keys."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from services.catalog.search.domain.query_text import terms, words
from services.catalog.search.domain.ranking import RankFeatures
from services.catalog.search.domain.search import FACETS, Facet, FacetCount, SearchDocument

REVISION_MAX = 2**63 - 1
VALUE_CHARACTERS_MAX = 200
LIST_ENTRIES_MAX = 10_000
STORED_DESCRIPTION_CHARACTERS = 2_000
INDEXED_TEXT_CHARACTERS = 200_000
"""More text of one document than this is not indexed; an event holds 64 KiB per text at most."""

LABEL_MARK = "\t"
"""Between the id and the name of an agency in its label."""

_HASH_BITS_MASK = (1 << 32) - 1


class UnindexableDocumentError(ValueError):
    """The document can never be indexed. The message names the field and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class SortKeys:
    """Whole numbers to sort by, and ``tie``: 32 bits of the id, so that equals keep one order everywhere.

    ``modified`` are seconds since 1970, at least 1; 0 for not known. ``quality`` is 0 when not measured.
    """

    standing: int
    modified: int
    popular: int
    quality: int
    tie: int


def check_document(document: SearchDocument) -> None:
    """Every field's type and bounds. Raises :class:`UnindexableDocumentError`."""
    _expect(document, "dataset_id", UUID)
    _expect(document, "agency_id", UUID, None)
    for name in ("title", "description", "access_level", "freshness", "condition"):
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


def facet_value(facet: Facet, value: str) -> str:
    """The form in which a value is kept and compared: keywords without case, formats in capitals."""
    is_short = len(value) <= VALUE_CHARACTERS_MAX
    return _remembered_value(facet, value) if is_short else _facet_value(facet, value)


def kept_values(facet: Facet, values: Iterable[str]) -> list[str]:
    """Values in their kept form, each once, without empty ones."""
    return [value for value in dict.fromkeys(facet_value(facet, value) for value in values) if value]


def facet_values(document: SearchDocument) -> dict[Facet, list[str]]:
    """A document's values of every facet, in their kept form."""
    found: dict[Facet, tuple[str, ...]] = {
        "agency": () if document.agency_id is None else (str(document.agency_id),),
        "theme": document.themes,
        "keyword": document.keywords,
        "format": document.formats,
        "access_level": (document.access_level,),
        "condition": (document.condition,),
        "freshness": (document.freshness,),
        "license": (document.license or "",),
    }
    return {facet: kept_values(facet, found[facet]) for facet in FACETS}


def agency_label(document: SearchDocument) -> str:
    """An agency's id and name together, so that both come with one count."""
    return f"{document.agency_id}{LABEL_MARK}{facet_value('agency', document.agency_name or '')}"


def counted_facet(labels: Iterable[tuple[str, int]], chosen: set[str]) -> list[FacetCount]:
    """Counts by value, most first, from counted labels.

    An agency that is being renamed has two labels for a while: the first names it.
    """
    counts: dict[str, FacetCount] = {}
    for label, number in labels:
        value, marked, name = label.partition(LABEL_MARK)
        before = counts[value].count if value in counts else 0
        told = counts[value].label if value in counts else (name if marked and name else value)
        counts[value] = FacetCount(value, told, before + number, value in chosen)
    return sorted(counts.values(), key=lambda count: (-count.count, count.label))


def indexed_texts(document: SearchDocument) -> Iterator[str]:
    """The terms of each text of a document, joined by blanks; no phrase may span two of them."""
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
            yield " ".join(terms(entry[:room]))
            room -= len(entry)


def title_words(document: SearchDocument) -> str:
    """The words of the title for typeahead, each once."""
    return " ".join(dict.fromkeys(words(document.title)))


def sort_keys(document: SearchDocument, features: RankFeatures) -> SortKeys:
    """What explicit orders, and the order without words, go by."""
    return SortKeys(
        standing=int(features.standing * 1_000_000),
        modified=_seconds(document.data_updated_at),
        popular=min(document.popularity_bucket, 2**31),
        quality=0 if document.quality_score is None else 1 + int(document.quality_score * 1_000_000),
        tie=document.dataset_id.int & _HASH_BITS_MASK,
    )


def _facet_value(facet: Facet, value: str) -> str:
    value = " ".join(value.split())[:VALUE_CHARACTERS_MAX]
    if not value.isascii():
        # A filter comes from outside and may hold half a character (a lone surrogate).
        value = value.encode("utf-8", "replace").decode("utf-8")
    if facet == "keyword":
        return value.casefold()
    if facet == "format":
        return value.upper()
    return value


_remembered_value = lru_cache(maxsize=16_384)(_facet_value)


def _seconds(at: datetime | None) -> int:
    """Whole seconds since 1970. Fits 34 bits until the year 2514."""
    if at is None:
        return 0
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max(1, int(aware.timestamp())), 2**34 - 1)


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
