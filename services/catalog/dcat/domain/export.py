"""Writes the public catalogue as DCAT-US 1.1, non-federal form.

Every value is checked again on the way out, whatever way it came in: what the standard would refuse is left
out or replaced by what the installation says. The official schema is the judge, in the tests.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

import orjson

from services.catalog.dcat.domain.dates import is_interval, is_iso_date, moment_of
from services.catalog.dcat.domain.formats import MEDIA_TYPE_UNKNOWN, is_media_type
from services.catalog.dcat.domain.records import DESCRIPTION_CHARACTERS_PUBLISHED, RIGHTS_CHARACTERS_PUBLISHED
from services.catalog.dcat.domain.urls import is_valid_mail_address, is_valid_url
from shared.datasets.frequency import english_to_iso
from shared.events.catalog import DatasetState, Distribution

CONFORMS_TO = "https://project-open-data.cio.gov/v1.1/schema"
CATALOG_CONTEXT = f"{CONFORMS_TO}/catalog.jsonld"
CATALOG_SCHEMA = f"{CONFORMS_TO}/catalog.json"
RIGHTS_NOT_STATED = (
    "The publisher states no reason for the restriction. Ask the contact point how to get access."
)
KEYWORDS_PUBLISHED_MAX = 1_000
KEYWORD_CHARACTERS_PUBLISHED = 1_000

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|[0-9]{3}))?")


@dataclass(frozen=True, slots=True)
class Installation:
    """What the installation says of itself. ``base_url`` is its public address without a slash at the end."""

    base_url: str
    title: str
    publisher_name: str
    contact_name: str
    contact_email: str

    def dataset_url(self, dataset_id: UUID) -> str:
        """The dataset's page here."""
        return f"{self.base_url}/datasets/{dataset_id}"


def is_exported(state: DatasetState) -> bool:
    """Whether the record may be told to everyone. The data behind it may still be restricted."""
    return state.visibility == "public" and state.retired_at is None


def export_catalog(datasets: Iterable[DatasetState], installation: Installation) -> Iterator[bytes]:
    """The catalogue as pieces of one JSON document, a dataset at a time; records not public are left out."""
    head = {
        "@context": CATALOG_CONTEXT,
        "@id": f"{installation.base_url}/data.json",
        "@type": "dcat:Catalog",
        "conformsTo": CONFORMS_TO,
        "describedBy": CATALOG_SCHEMA,
        "title": installation.title,
    }
    yield orjson.dumps(head)[:-1] + b',"dataset":['
    separator = b"\n"
    for state in datasets:
        if is_exported(state):
            yield separator + orjson.dumps(export_dataset(state, installation))
            separator = b",\n"
    yield b"\n]}\n"


def export_dataset(state: DatasetState, installation: Installation) -> dict[str, object]:
    """One dataset as a DCAT-US 1.1 object. Whether it may be shown is the caller's question."""
    title = state.title or state.identifier
    dataset: dict[str, object | None] = {
        "@type": "dcat:Dataset",
        "identifier": state.identifier,
        "title": title,
        "description": _cut(state.description or title, DESCRIPTION_CHARACTERS_PUBLISHED),
        "keyword": _texts(state.keywords) or [title[:KEYWORD_CHARACTERS_PUBLISHED]],
        "theme": _texts(state.themes),
        "modified": _modified(state),
        "issued": state.issued if state.issued is not None and is_iso_date(state.issued) else None,
        "publisher": _publisher(state, installation),
        "contactPoint": _contact(state, installation),
        "accessLevel": state.access_level,
        "rights": _rights(state),
        "license": _url(state.license),
        "landingPage": _url(state.landing_page) or _url(installation.dataset_url(state.dataset_id)),
        "accrualPeriodicity": english_to_iso(state.accrual_periodicity),
        "temporal": state.temporal if state.temporal is not None and is_interval(state.temporal) else None,
        "spatial": state.spatial,
        "language": [tag for tag in state.languages if _LANGUAGE.fullmatch(tag)],
        "references": list(dict.fromkeys(url for url in state.references if is_valid_url(url))),
        "isPartOf": state.is_part_of,
        "describedBy": _url(state.described_by),
        "distribution": [item for item in map(_distribution, state.distributions) if len(item) > 1],
    }
    return {name: value for name, value in dataset.items() if value}


def _cut(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else text[: characters_max - 1].rstrip() + "…"


def _texts(texts: list[str]) -> list[str]:
    kept = (text[:KEYWORD_CHARACTERS_PUBLISHED] for text in texts[:KEYWORDS_PUBLISHED_MAX] if text)
    return list(dict.fromkeys(kept))


def _url(text: str | None) -> str | None:
    return text if text is not None and is_valid_url(text) else None


def _modified(state: DatasetState) -> str:
    """The latest change that is known; without one, when the catalogue saw the record change."""
    stated = state.modified if state.modified is not None and is_iso_date(state.modified) else None
    updated_at = state.data_updated_at
    stated_at = moment_of(stated)
    if updated_at is not None and (stated is None or (stated_at is not None and stated_at < updated_at)):
        return updated_at.date().isoformat()
    return stated or state.metadata_changed_at.date().isoformat()


def _publisher(state: DatasetState, installation: Installation) -> dict[str, object]:
    name = state.agency_name or state.publisher_name or installation.publisher_name
    publisher: dict[str, object] = {"@type": "org:Organization", "name": name}
    if state.agency_name is not None and name != installation.publisher_name:
        # Only an agency of this installation is known to be part of it; others may be federal or local.
        publisher["subOrganizationOf"] = {"@type": "org:Organization", "name": installation.publisher_name}
    return publisher


def _contact(state: DatasetState, installation: Installation) -> dict[str, str]:
    email = state.contact_email
    if email is None or not is_valid_mail_address(email):
        email = installation.contact_email
    name = state.contact_name or installation.contact_name
    return {"@type": "vcard:Contact", "fn": name, "hasEmail": f"mailto:{email}"}


def _rights(state: DatasetState) -> str | None:
    if state.rights:
        return _cut(state.rights, RIGHTS_CHARACTERS_PUBLISHED)
    return None if state.access_level == "public" else RIGHTS_NOT_STATED


def _distribution(item: Distribution) -> dict[str, str]:
    download_url = _url(item.download_url)
    media_type = item.media_type if item.media_type is not None and is_media_type(item.media_type) else None
    if download_url is not None:
        media_type = media_type or MEDIA_TYPE_UNKNOWN
    distribution = {
        "@type": "dcat:Distribution",
        "title": item.title,
        "description": _cut(item.description or "", DESCRIPTION_CHARACTERS_PUBLISHED),
        "downloadURL": download_url,
        "accessURL": _url(item.access_url),
        "mediaType": media_type,
        "format": item.format,
    }
    return {name: value for name, value in distribution.items() if value}
