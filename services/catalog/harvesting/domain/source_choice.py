"""Which source a feed belongs to when nobody says it: an unrelated feed is one of its own. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

NAME_CHARACTERS_MAX = 200
UNNAMED = "default"
"""The source of a feed that tells no id and has no file name."""

_USUAL_PATHS = frozenset({"", "data.json"})
_USUAL_PORTS = frozenset({None, 80, 443})


@dataclass(frozen=True, slots=True)
class FeedSketch:
    """What tells feeds apart: the catalogue's own id, and titles by identifier of its first records."""

    catalogue_id: str | None
    titles: dict[str, str]


@dataclass(frozen=True, slots=True)
class SourceMatch:
    """A source that knows some of a sketch's records.

    ``identifiers`` of them are known there, ``records`` under the same title too. ``live`` is its number of
    datasets that are not retired.
    """

    source_id: str
    identifiers: int
    records: int
    live: int


def name_of_address(address: str) -> str | None:
    """Return the source's name for the address of a feed; None for one without a host.

    The usual place of a feed (``/data.json``) is named by its host alone. A query is told by a short hash,
    since it may hold a key, and a user or password not at all.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host:
        return None
    path = _kept(parts.path).strip("/")
    name = host if port in _USUAL_PORTS else f"{host}:{port}"
    name = name if path.casefold() in _USUAL_PATHS else f"{name}/{path}"
    return _bounded(f"{name} ({_short_hash(parts.query)})" if parts.query else name)


def name_of_feed(sketch: FeedSketch, file_name: str | None) -> str:
    """Return the name of the source that a feed would be if it is a new one: its own id, or its file."""
    for told in (sketch.catalogue_id, file_name):
        words = _kept(told or "")
        if words:
            return name_of_address(words) or _bounded(words)
    return UNNAMED


def recognised(sketch: FeedSketch, matches: Sequence[SourceMatch], name: str) -> str | None:
    """Return the source that holds most of these records, however the feed is named now.

    Half of what was looked at, or of what the source holds if that is less, has to be there with identifier
    and title: small numbers as identifiers are alike in unrelated feeds.
    """
    alike = [
        match
        for match in matches
        if match.records and 2 * match.records >= min(len(sketch.titles), max(match.live, 1))
    ]
    best = max(
        alike, key=lambda match: (match.source_id == name, match.records, match.source_id), default=None
    )
    return best.source_id if best is not None else None


def numbered(name: str, number: int) -> str:
    """Return the name of the ``number``-th source that would have this name."""
    if number == 1:
        return name
    ending = f" ({number})"
    return name[: NAME_CHARACTERS_MAX - len(ending)] + ending


def _kept(text: str) -> str:
    """The text on one line, without characters that a database or a page could not hold."""
    return "".join(each for each in " ".join(text.split()) if each.isprintable()).strip()


def _bounded(name: str) -> str:
    if len(name) <= NAME_CHARACTERS_MAX:
        return name
    ending = f"… ({_short_hash(name)})"
    return name[: NAME_CHARACTERS_MAX - len(ending)] + ending


def _short_hash(text: str) -> str:
    return sha256(text.encode(errors="replace")).hexdigest()[:8]
