"""Reads one dataset of a DCAT-US 1.1 feed, leniently: what can be repaired is kept and marked.

Refused are only records without identity (no usable ``identifier``; landing pages and titles change, so
they are none) and records above the size of one event. Everything else that breaks the standard becomes a
``Cure``: the field, what was wrong, and what was done.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import orjson

from services.catalog.dcat.domain.dates import moment_of
from services.catalog.dcat.domain.distributions import read_distributions
from services.catalog.dcat.domain.fields import (
    read_access_level,
    read_contact,
    read_date_field,
    read_languages,
    read_license,
    read_list,
    read_optional_text,
    read_references,
    read_spatial,
    read_temporal,
    read_url,
)
from services.catalog.dcat.domain.repairs import Repairs, excerpt
from services.catalog.dcat.domain.source_text import is_redacted, plain_text, text_of
from shared.datasets.frequency import english_to_iso
from shared.events.catalog import AccessLevel, Cure, Distribution, RejectedRecord, TruncatedText
from shared.events.topics import RECORD_BYTES_MAX

IDENTIFIER_CHARACTERS_MAX = 2_048
"""An identifier that had to be cut would be no identity."""
PARSED_BYTES_MAX = RECORD_BYTES_MAX - 32 * 1024
"""What a record may take of one event; the rest is for ids, dates, cures and the names of changed fields."""
DESCRIPTION_CHARACTERS_PUBLISHED = 10_000
RIGHTS_CHARACTERS_PUBLISHED = 255
"""Limits of DCAT-US 1.1; the whole text is kept, the export is cut."""
KEYWORDS_DERIVED_MAX = 5

_KNOWN_FIELDS = frozenset(
    {
        "@type", "@id", "@context", "accessLevel", "accrualPeriodicity", "bureauCode", "conformsTo",
        "contactPoint", "dataQuality", "describedBy", "describedByType", "description", "distribution",
        "identifier", "isPartOf", "issued", "keyword", "landingPage", "language", "license", "modified",
        "primaryITInvestmentUII", "programCode", "publisher", "references", "rights", "spatial",
        "systemOfRecords", "temporal", "theme", "title",
    }
)  # fmt: skip
_FIELD_SPELLINGS = {name.lower(): name for name in _KNOWN_FIELDS} | {
    "keywords": "keyword",
    "tags": "keyword",
    "themes": "theme",
    "category": "theme",
    "categories": "theme",
    "languages": "language",
    "licence": "license",
    "frequency": "accrualPeriodicity",
    "homepage": "landingPage",
}
_UNKNOWN_FIELDS_MAX = 200
_MISPLACED_FIELDS = ("downloadURL", "accessURL")
_WORD = re.compile(r"[^\W\d_]{4,40}")
_STOP_WORDS = frozenset(
    ("about", "data", "dataset", "each", "final", "from", "list", "that", "their", "this", "with")
)


@dataclass(frozen=True, slots=True)
class SourceDefaults:
    """What a source says once for all of its records, and the day of the harvest (UTC)."""

    publisher_name: str
    contact_name: str
    contact_email: str
    harvested_on: date


@dataclass(frozen=True, slots=True)
class ParsedRecord:
    """What the source says of one dataset, repaired. Field names are those of ``DatasetState``.

    ``data_updated_at`` is the source's claim: ``modified`` when it is a day that is not in the future.
    ``modified`` is None when the source gives neither that nor ``issued``; the export then tells when the
    catalogue saw the last change, so that harvesting the same feed again changes nothing.
    """

    identifier: str
    title: str
    description: str
    keywords: tuple[str, ...]
    themes: tuple[str, ...]
    publisher_name: str
    contact_name: str
    contact_email: str
    access_level: AccessLevel
    rights: str | None
    license: str | None
    landing_page: str | None
    issued: str | None
    modified: str | None
    data_updated_at: datetime | None
    accrual_periodicity: str | None
    temporal: str | None
    spatial: str | None
    languages: tuple[str, ...]
    references: tuple[str, ...]
    is_part_of: str | None
    described_by: str | None
    distributions: tuple[Distribution, ...]
    cures: tuple[Cure, ...]
    truncated: tuple[TruncatedText, ...]


def parse_record(raw: object, *, defaults: SourceDefaults) -> ParsedRecord | RejectedRecord:
    """Read one entry of ``dataset``: any JSON value. Never raises; see the module for what is refused."""
    if not isinstance(raw, dict):
        cure = "Write each entry of dataset as an object with identifier and title."
        return _reject(
            None, None, Cure(field="dataset", message=f"is not an object but {excerpt(raw)}.", cure=cure)
        )
    repairs = Repairs()
    fields = _known_spellings(raw, repairs)
    identifier = _read_identifier(fields, repairs)
    if isinstance(identifier, Cure):
        return _reject(None, _title_for_people(fields), identifier)
    parsed = _read_fields(fields, identifier, defaults, repairs)
    too_large = _size_problem(parsed)
    return parsed if too_large is None else _reject(identifier, parsed.title, too_large)


def content_hash(parsed: ParsedRecord) -> str:
    """32 hexadecimal digits over what the source says; equal exactly when nothing that is kept changed.

    The order of lists counts, as it does in the source. Of the cures only the fields count, so that new
    wording in a release does not make every dataset change.
    """
    names = (name for name in ParsedRecord.__slots__ if name not in ("cures", "truncated", "distributions"))
    content = [
        [getattr(parsed, name) for name in names],
        [
            [item.title, item.description, item.download_url, item.access_url, item.media_type, item.format]
            for item in parsed.distributions
        ],
        sorted({cure.field for cure in parsed.cures}),
        [cut.sha256 for cut in parsed.truncated],
    ]
    return hashlib.blake2b(orjson.dumps(content), digest_size=16).hexdigest()


def _reject(identifier: str | None, title: str | None, problem: Cure) -> RejectedRecord:
    return RejectedRecord(identifier=identifier, title=title, problems=[problem])


def _title_for_people(fields: dict[str, object]) -> str | None:
    text = text_of(fields.get("title"))
    return plain_text(text[:2_000])[0][:200] or None if text is not None else None


def _known_spellings(raw: dict[str, object], repairs: Repairs) -> dict[str, object]:
    """The record with DCAT-US field names: ``Title``, ``dct:title`` and ``keywords`` are read as meant."""
    unknown = raw.keys() - _KNOWN_FIELDS
    if not unknown:
        return raw
    fields = dict(raw)
    for name in sorted(unknown)[:_UNKNOWN_FIELDS_MAX]:
        meant = _FIELD_SPELLINGS.get(name[:100].rsplit(":", 1)[-1].lower())
        if meant is not None and meant not in fields:
            fields[meant] = raw[name]
            repairs.add(meant, f"is written {excerpt(name)}.", f"Read as {meant}.")
    return fields


def _read_identifier(fields: dict[str, object], repairs: Repairs) -> str | Cure:
    """The identity, or why there is none. DCAT-US 3.0's Identifier or the record's ``@id`` will do."""
    value = fields.get("identifier")
    text = value.get("@id", value.get("notation")) if isinstance(value, dict) else value
    if not isinstance(text, str) or not text.strip():
        text = text_of(text) if isinstance(text, int) else None
    if text is None and (node := fields.get("@id")) and isinstance(node, str):
        text = node
    advice = "Give the dataset an identifier that is unique in the feed and never changes."
    if text is None:
        return Cure(field="identifier", message="is missing or not a text.", cure=advice)
    if len(text) > IDENTIFIER_CHARACTERS_MAX:
        message = f"has {len(text):,} characters; the limit is {IDENTIFIER_CHARACTERS_MAX:,}."
        return Cure(field="identifier", message=message, cure=advice)
    identifier = " ".join(plain_text(text)[0].split())
    if not identifier or is_redacted(identifier):
        return Cure(field="identifier", message="holds no readable characters.", cure=advice)
    if identifier != value:
        repairs.add("identifier", "is not written as one plain string.", f"Read as {excerpt(identifier)}.")
    return identifier


def _read_fields(
    fields: dict[str, object], identifier: str, defaults: SourceDefaults, repairs: Repairs
) -> ParsedRecord:
    get = fields.get
    title, description = _read_title_and_description(fields, identifier, repairs)
    themes = read_list(get("theme"), "theme", repairs)
    misplaced = {name: fields[name] for name in _MISPLACED_FIELDS if fields.get(name)}
    distributions = read_distributions(get("distribution"), misplaced, repairs)
    landing_page = read_url(get("landingPage"), "landingPage", repairs)
    reachable = landing_page is not None or any(
        item.download_url or item.access_url for item in distributions
    )
    access_level = read_access_level(get("accessLevel"), repairs, reachable=reachable)
    license_uri, license_text = read_license(get("license"), repairs)
    issued = read_date_field(get("issued"), "issued", repairs)
    modified, periodicity = _read_modified_and_periodicity(fields, repairs)
    contact_name, contact_email = _read_contact(fields, defaults, repairs)
    return ParsedRecord(
        identifier=identifier,
        title=title,
        description=description,
        keywords=_read_keywords(fields, title, themes, repairs),
        themes=tuple(themes),
        publisher_name=_read_publisher(get("publisher"), defaults, repairs),
        contact_name=contact_name,
        contact_email=contact_email,
        access_level=access_level,
        rights=_read_rights(get("rights"), license_text, access_level, repairs),
        license=license_uri,
        landing_page=landing_page,
        issued=issued,
        modified=_modified_or_issued(modified, issued, repairs),
        data_updated_at=_update_claimed(modified, defaults.harvested_on, repairs),
        accrual_periodicity=periodicity,
        temporal=read_temporal(get("temporal"), repairs),
        spatial=read_spatial(get("spatial"), repairs),
        languages=tuple(read_languages(get("language"), repairs)),
        references=tuple(read_references(get("references"), repairs)),
        is_part_of=read_optional_text(get("isPartOf"), "isPartOf", repairs),
        described_by=read_url(get("describedBy"), "describedBy", repairs),
        distributions=distributions,
        cures=repairs.cures(),
        truncated=tuple(repairs.truncated),
    )


def _read_title_and_description(
    fields: dict[str, object], identifier: str, repairs: Repairs
) -> tuple[str, str]:
    """Both are required; each stands in for the other, and the identifier for both."""
    title = read_optional_text(fields.get("title"), "title", repairs)
    description = read_optional_text(fields.get("description"), "description", repairs, line=False)
    if title is None:
        first = (description or "").split("\n", 1)[0].split(". ", 1)[0][:120].strip()
        title = first or identifier[:1_000]
        repairs.add(
            "title",
            "is missing.",
            f"Set to {excerpt(title)}, from the {'description' if first else 'identifier'}.",
        )
    if description is None:
        description = title
        repairs.add("description", "is missing.", "The title stands in for it.")
    elif len(description) > DESCRIPTION_CHARACTERS_PUBLISHED:
        message = f"has {len(description):,} characters; DCAT-US allows {DESCRIPTION_CHARACTERS_PUBLISHED:,}."
        repairs.add("description", message, "Cut in the published catalogue only.")
    return title, description


def _read_keywords(
    fields: dict[str, object], title: str, themes: list[str], repairs: Repairs
) -> tuple[str, ...]:
    keywords = read_list(fields.get("keyword"), "keyword", repairs, separators=r"[,;|\n]")
    if keywords:
        return tuple(keywords)
    words = [word for word in _WORD.findall(title.lower()) if word not in _STOP_WORDS]
    derived = (
        [theme.lower() for theme in themes] or list(dict.fromkeys(words))[:KEYWORDS_DERIVED_MAX] or [title]
    )
    source = "theme" if themes else "title"
    repairs.add("keyword", "is missing.", f"Taken from the {source}: {excerpt(', '.join(derived))}.")
    return tuple(derived)


def _read_publisher(value: object, defaults: SourceDefaults, repairs: Repairs) -> str:
    if isinstance(value, dict):
        name = read_optional_text(value.get("name", value.get("@value")), "publisher.name", repairs)
    else:
        if value is not None:
            repairs.wrong_type("publisher", value, "an object", "Its text is read as the name.")
        text = text_of(value)
        name = read_optional_text(text, "publisher.name", repairs)
    if name is not None and not is_redacted(name):
        return name
    repairs.add("publisher", "is missing.", f"Set to the source's owner, {excerpt(defaults.publisher_name)}.")
    return defaults.publisher_name


def _read_contact(fields: dict[str, object], defaults: SourceDefaults, repairs: Repairs) -> tuple[str, str]:
    name, email = read_contact(fields.get("contactPoint"), repairs)
    if name is None:
        repairs.add("contactPoint.fn", "is missing.", f"Set to {excerpt(defaults.contact_name)}.")
    if email is None:
        repairs.add(
            "contactPoint.hasEmail", "is missing or unusable.", "Set to the source's contact address."
        )
    return name or defaults.contact_name, email or defaults.contact_email


def _read_rights(
    value: object, license_text: str | None, access_level: AccessLevel, repairs: Repairs
) -> str | None:
    rights = read_optional_text(value, "rights", repairs, line=False)
    if rights is None and license_text is not None:
        repairs.add("rights", "is missing.", "The text of the unknown licence is kept here.")
        return license_text
    if rights is None and access_level != "public":
        repairs.add(
            "rights", "is missing although access is restricted.", "Left empty; state why, and how to ask."
        )
    if rights is not None and len(rights) > RIGHTS_CHARACTERS_PUBLISHED:
        message = f"has {len(rights):,} characters; DCAT-US allows {RIGHTS_CHARACTERS_PUBLISHED}."
        repairs.add("rights", message, "Cut in the published catalogue only.")
    return rights


def _read_modified_and_periodicity(
    fields: dict[str, object], repairs: Repairs
) -> tuple[str | None, str | None]:
    """``modified`` may be a repeating interval (``R/P1W``): that is a frequency, and tells no date."""
    periodicity = _read_periodicity(fields.get("accrualPeriodicity"), repairs)
    value = fields.get("modified")
    if isinstance(value, str) and value[:1] in ("R", "P") and (interval := english_to_iso(value)) is not None:
        repairs.add(
            "modified", f"{excerpt(value)} is a frequency, not a date.", "Read as accrualPeriodicity."
        )
        return None, periodicity or interval
    return read_date_field(value, "modified", repairs), periodicity


def _read_periodicity(value: object, repairs: Repairs) -> str | None:
    text = text_of(value)
    if text is None or is_redacted(text):
        if value:
            repairs.add("accrualPeriodicity", "is withheld or not a string.", "Left empty.")
        return None
    iso = english_to_iso(text)
    if iso is None:
        advice = "Left empty; write it as an ISO 8601 repeating interval such as R/P1M."
        repairs.add("accrualPeriodicity", f"{excerpt(text)} names no frequency.", advice)
    elif iso != value:
        repairs.add(
            "accrualPeriodicity", f"{excerpt(text)} is not an ISO 8601 repeating interval.", f"Read as {iso}."
        )
    return iso


def _modified_or_issued(modified: str | None, issued: str | None, repairs: Repairs) -> str | None:
    if modified is not None:
        return modified
    stand_in = (
        f"issued ({issued})" if issued is not None else "the day when the catalogue saw the last change"
    )
    repairs.add(
        "modified", "has no date.", f"{stand_in[:1].upper()}{stand_in[1:]} is published in its place."
    )
    return issued


def _update_claimed(modified: str | None, harvested_on: date, repairs: Repairs) -> datetime | None:
    moment = moment_of(modified)
    # A day's grace: the source's day may have begun before ours.
    if moment is not None and moment.date() > harvested_on + timedelta(days=1):
        repairs.add("modified", f"{modified} is in the future.", "Kept, but freshness is not judged by it.")
        return None
    return moment


def _size_problem(parsed: ParsedRecord) -> Cure | None:
    """The problem of a record that does not fit into one event, naming its largest field."""
    texts = {
        name: len(value) if isinstance(value, str) else sum(map(len, value))
        for name in ("description", "rights", "spatial", "keywords", "themes", "references", "languages")
        if (value := getattr(parsed, name))
    }
    texts["distributions"] = sum(
        len(text) + 20
        for item in parsed.distributions
        for text in (item.title, item.description, item.download_url, item.access_url, item.media_type)
        if text is not None
    )
    # Four bytes is the most that one character can take; most records need no exact look.
    if sum(texts.values()) * 4 < PARSED_BYTES_MAX:
        return None
    sizes = {name: len(orjson.dumps(_jsonable(getattr(parsed, name)))) for name in ParsedRecord.__slots__}
    total = sum(sizes.values())
    if total <= PARSED_BYTES_MAX:
        return None
    field, size = max(sizes.items(), key=lambda entry: entry[1])
    message = f"makes the record too large: {size:,} of {total:,} bytes; the limit is {PARSED_BYTES_MAX:,}."
    return Cure(field=field, message=message, cure=f"Shorten {field} in the source, or split the dataset.")


def _jsonable(value: object) -> object:
    if isinstance(value, tuple):
        return [
            item.model_dump() if isinstance(item, (Distribution, Cure, TruncatedText)) else item
            for item in value
        ]
    return value
