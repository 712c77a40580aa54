"""The connection to an Elasticsearch cluster. Only what 7.17, 8 and 9 have in common is asked of it.

The client is of version 8: its compatibility headers are understood by 8 and 9, and 7.17 takes them. It is
imported when first used: one of the libraries beneath it binds a socket as it is imported.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.catalog.search.domain.index import CatalogIndexError

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

CONNECTIONS_PER_NODE = 25
RETRIES_MAX = 1
"""Reads and versioned writes may be sent twice; longer absences are for the caller's own retry."""

_ANSWERS = ("application/vnd.elasticsearch+json", "application/json")


@dataclass(frozen=True, slots=True)
class ElasticsearchSettings:
    """Where the cluster is, and who we are. ``timeout_seconds`` bounds a search, ``bulk_…`` a write."""

    urls: tuple[str, ...]
    index_prefix: str = "nutmeg"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout_seconds: float = 10.0
    bulk_timeout_seconds: float = 60.0


def connect(settings: ElasticsearchSettings) -> "AsyncElasticsearch":
    """A client. Nothing is sent yet."""
    from elasticsearch import AsyncElasticsearch
    from elasticsearch.serializer import OrjsonSerializer

    # It tells of each failed attempt with a traceback; what failed in the end is raised, and told once by us.
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)
    chosen: dict[str, Any] = {}
    if settings.api_key is not None:
        chosen["api_key"] = settings.api_key
    elif settings.username is not None:
        chosen["basic_auth"] = (settings.username, settings.password or "")
    if settings.ca_file is not None:
        chosen["ca_certs"] = str(settings.ca_file)
    return AsyncElasticsearch(
        list(settings.urls),
        request_timeout=settings.timeout_seconds,
        max_retries=RETRIES_MAX,
        retry_on_timeout=False,
        connections_per_node=CONNECTIONS_PER_NODE,
        serializers=dict.fromkeys(_ANSWERS, OrjsonSerializer()),
        **chosen,
    )


@contextmanager
def engine_errors() -> Iterator[None]:
    """Tell every failure of the engine as :class:`CatalogIndexError`."""
    from elasticsearch import ApiError, TransportError

    try:
        yield
    except (ApiError, TransportError) as error:
        raise CatalogIndexError(f"Elasticsearch failed: {error}") from error
