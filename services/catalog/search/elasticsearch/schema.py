"""The Elasticsearch mapping, and how a document of ours becomes one of the engine's.

The words are ours (``query_text``): a text field holds terms joined by blanks and is split on blanks. So both
engines find the same documents, and no version of an engine's stemmer decides what is found.
"""

from typing import Any
from uuid import UUID

import orjson

from services.catalog.search.domain.index_fields import (
    STORED_DESCRIPTION_CHARACTERS,
    VALUE_CHARACTERS_MAX,
    SortKeys,
    agency_label,
    check_document,
    facet_values,
    indexed_texts,
    sort_keys,
    title_words,
)
from services.catalog.search.domain.ranking import RankFeatures, rank_features
from services.catalog.search.domain.rescoring import StoredHit
from services.catalog.search.domain.search import FACETS, Facet, SearchDocument

SCHEMA_VERSION = 4
"""Raised whenever the mapping or the analysis changes: an index of another version is rebuilt."""

REFRESH_INTERVAL = "1s"
"""Every write of ours refreshes by itself; this is for one whose sender died before."""

REPLICAS = "0-1"
"""One replica wherever there is a second node."""

COUNT_FIELDS: dict[Facet, str] = {facet: facet for facet in FACETS} | {"agency": "agency_label"}

_KEYWORD = {"type": "keyword", "ignore_above": 1_000}
# Our values are cut at 200 characters; the bound holds for whatever else might write.
_LOOKED_UP = {**_KEYWORD, "doc_values": False}
_TERMS = {"type": "text", "analyzer": "whitespace", "position_increment_gap": 100}
_WORDS = {"type": "text", "analyzer": "whitespace", "index_options": "docs", "norms": False}
# Kept beside the source: hundreds of candidates a search are read without taking their sources apart.
_KEPT = {"type": "keyword", "index": False, "doc_values": False, "store": True}
_SORTED_NUMBER = {"type": "long", "index": False}

LOADING_SETTINGS: dict[str, Any] = {
    "refresh_interval": "-1",
    "auto_expand_replicas": False,
    "number_of_replicas": 0,
}
"""While an index is filled: nobody reads it, and a copy is cheaper made at the end."""

SERVING_SETTINGS: dict[str, Any] = {
    "refresh_interval": REFRESH_INTERVAL,
    "auto_expand_replicas": REPLICAS,
}


def index_settings(*, loading: bool, mapped: bool) -> dict[str, Any]:
    """Settings of a new index.

    One shard holds a catalogue of millions, counts facets exactly, and numbers its writes in one row. Deleted
    revisions are forgotten at once: only a purge deletes, and it is to forget.

    ``mapped`` into memory, what is kept with hundreds of candidates is read twice as fast as by the engine's
    own choice, which reads such files piece by piece. Not every cluster allows it.
    """
    fixed: dict[str, Any] = {"number_of_shards": 1, "gc_deletes": "0s"}
    if mapped:
        fixed["store.type"] = "mmapfs"
    return fixed | (LOADING_SETTINGS if loading else SERVING_SETTINGS)


def index_mappings(*, builder: str) -> dict[str, Any]:
    """The mapping of version :data:`SCHEMA_VERSION`. Fields that it doesn't name are kept, never indexed.

    ``builder`` names the process that makes the index.
    """
    properties: dict[str, Any] = {
        "revision": _SORTED_NUMBER,
        "hidden": {"type": "boolean"},
        "audience": _LOOKED_UP,
        "title_key": _LOOKED_UP,
        "identifier_key": _LOOKED_UP,
        "title": _TERMS,
        "text": _TERMS,
        "title_words": _WORDS,
        "agency_label": _KEYWORD,
        "sort_title": {**_KEYWORD, "index": False},
        "standing_weight": {"type": "float", "index": False},
        "stored": _KEPT,
    }
    properties |= dict.fromkeys(FACETS, _KEYWORD)
    for name in ("sort_standing", "sort_modified", "sort_popular", "sort_quality", "tie"):
        properties[name] = _SORTED_NUMBER
    meta = {**index_meta(complete=False), "builder": builder}
    return {"dynamic": False, "_meta": meta, "properties": properties}


def index_meta(*, complete: bool) -> dict[str, Any]:
    """What an index says of itself. ``complete`` once it was filled from the catalogue."""
    return {"schema_version": SCHEMA_VERSION, "complete": complete}


def to_source(document: SearchDocument) -> bytes:
    """The JSON of a document for the engine.

    Raises :class:`~services.catalog.search.domain.index_fields.UnindexableDocumentError`.
    """
    check_document(document)
    source: dict[str, Any] = {
        "revision": document.revision,
        "hidden": document.hidden,
    }
    audience = document.audience()
    if audience is None:
        return orjson.dumps(source)
    features = rank_features(document)
    keys = sort_keys(document, features)
    title_key = features.title_key[:VALUE_CHARACTERS_MAX]
    source |= {
        "audience": audience,
        "title_key": title_key,
        "title": features.title,
        "title_words": title_words(document),
        "text": list(indexed_texts(document)),
        "sort_title": f"{title_key}\x00{document.dataset_id}",
        "sort_standing": keys.standing,
        "sort_modified": keys.modified,
        "sort_popular": keys.popular,
        "sort_quality": keys.quality,
        "tie": _tie(document.dataset_id, keys),
        "standing_weight": features.standing / 200,
        "stored": _stored(document, features),
    }
    source.update((str(facet), values) for facet, values in facet_values(document).items())
    if features.identifier_key:
        source["identifier_key"] = features.identifier_key[:VALUE_CHARACTERS_MAX]
    if document.agency_id is not None:
        source["agency_label"] = agency_label(document)
    return orjson.dumps(source)


def stored_hit(hit: dict[str, Any]) -> StoredHit:
    """What the engine kept with one of its hits."""
    title, description, *features = orjson.loads(hit["fields"]["stored"][0])
    return StoredHit(UUID(hit["_id"]), title, description, RankFeatures(*features))


def _tie(dataset_id: UUID, keys: SortKeys) -> int:
    """63 bits that no two documents share: the 32 that end each order of any engine, then 31 more."""
    return keys.tie << 31 | dataset_id.int >> 32 & 0x7FFF_FFFF


def _stored(document: SearchDocument, features: RankFeatures) -> str:
    description = document.description[:STORED_DESCRIPTION_CHARACTERS]
    return orjson.dumps((document.title, description, *features.as_tuple())).decode()
