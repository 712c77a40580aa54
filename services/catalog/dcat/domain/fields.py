"""Reads single fields of a DCAT-US 1.1 dataset: each takes the raw value and tells its repairs."""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import orjson

from services.catalog.dcat.domain.dates import read_date, read_interval
from services.catalog.dcat.domain.licenses import license_uri_named
from services.catalog.dcat.domain.repairs import Repairs, excerpt, json_type
from services.catalog.dcat.domain.source_text import is_redacted, read_line, read_text, text_of
from services.catalog.dcat.domain.urls import (
    find_mail_address,
    is_valid_mail_address,
    is_valid_url,
    repair_url,
)
from shared.events.catalog import AccessLevel

ITEMS_MAX = 1_000
"""DCAT-US 1.1 allows 1,000 keywords; the same bound holds for every list."""
SPATIAL_NESTING_MAX = 8

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|[0-9]{3}))?")
_LANGUAGE_NAMES = {
    "english": "en",
    "eng": "en",
    "spanish": "es",
    "español": "es",
    "french": "fr",
    "portuguese": "pt",
    "chinese": "zh",
    "german": "de",
    "italian": "it",
    "polish": "pl",
    "english (united states)": "en-US",
    "us english": "en-US",
}
_ACCESS_LEVELS: dict[str, AccessLevel] = {
    "public": "public",
    "open": "public",
    "unrestricted": "public",
    "restricted public": "restricted public",
    "restricted": "restricted public",
    "restrictedpublic": "restricted public",
    "non public": "non-public",
    "nonpublic": "non-public",
    "private": "non-public",
    "closed": "non-public",
    "confidential": "non-public",
    "internal": "non-public",
}


def read_optional_text(value: object, field: str, repairs: Repairs, *, line: bool = True) -> str | None:
    """A text field that may be absent; one of another type is read for its text."""
    if value is None:
        return None
    text = value if isinstance(value, str) else text_of(value)
    if not isinstance(value, str):
        outcome = "Its first text is kept." if text else "Left empty."
        repairs.wrong_type(field, value, "a string", outcome)
    if not text:
        return None
    return (read_line(text, field, repairs) if line else read_text(text, field, repairs)) or None


def read_list(value: object, field: str, repairs: Repairs, separators: str = "") -> list[str]:
    """A list of short texts without blanks and exact repeats.

    A string where a list belongs is split at ``separators`` (a pattern), or kept whole without one.
    """
    if value is None:
        return []
    items: Iterable[object]
    if isinstance(value, list):
        items = value[:ITEMS_MAX]
        if len(value) > ITEMS_MAX:
            repairs.add(field, f"has {len(value):,} entries.", f"The first {ITEMS_MAX:,} are kept.")
    elif isinstance(value, str):
        if is_redacted(value):
            repairs.add(field, "is withheld by the source.", "Left empty.")
            return []
        items = re.split(separators, value[: ITEMS_MAX * 100])[:ITEMS_MAX] if separators else [value]
        repairs.wrong_type(
            field, value, "an array", "Split into a list." if separators else "Kept as one entry."
        )
    else:
        items = [value]
        repairs.wrong_type(field, value, "an array", "Its text is kept as one entry.")
    kept: dict[str, None] = {}
    for index, item in enumerate(items):
        text = item if isinstance(item, str) else text_of(item)
        if item is not None and not isinstance(item, str):
            outcome = "Its text is kept." if text else "Dropped."
            repairs.wrong_type(f"{field}[{index}]", item, "a string", outcome)
        if text and (kept_text := read_line(text, f"{field}[{index}]", repairs)):
            kept[kept_text] = None
    return list(kept)


def read_url(value: object, field: str, repairs: Repairs) -> str | None:
    """An absolute URL, valid by RFC 3986, or None."""
    if value is None or value == "":
        return None
    text = value if isinstance(value, str) else text_of(value)
    if text is not None and is_valid_url(text):
        if not isinstance(value, str):
            repairs.wrong_type(field, value, "a string", "The URL in it is kept.")
        return text
    if text is None or is_redacted(text):
        message = (
            "is withheld by the source." if text else f"is {json_type(value)} where DCAT-US asks for a URL."
        )
        repairs.add(field, message, "Left empty.")
        return None
    repaired = repair_url(text)
    if repaired is None:
        repairs.add(
            field, f"{excerpt(text)} is not a usable URL (RFC 3986).", "Left empty; correct it in the source."
        )
    elif repaired != text.strip():
        repairs.add(field, f"{excerpt(text)} is not a valid URL (RFC 3986).", f"Read as {excerpt(repaired)}.")
    return repaired


def _read_temporal_text(
    value: object, field: str, kind: str, reader: Callable[[str], tuple[str | None, bool]], repairs: Repairs
) -> str | None:
    text = value if isinstance(value, str) else text_of(value)
    if text is None or not text.strip():
        if value not in (None, ""):
            repairs.wrong_type(field, value, kind, "Left empty.")
        return None
    if is_redacted(text):
        repairs.add(field, "is withheld by the source.", "Left empty.")
        return None
    found, rewritten = reader(text)
    if found is None:
        repairs.add(
            field, f"{excerpt(text)} is not {kind}.", "Left empty; write it as ISO 8601 in the source."
        )
    elif rewritten:
        repairs.add(field, f"{excerpt(text)} is not {kind}.", f"Read as {found}.")
    elif not isinstance(value, str):
        repairs.wrong_type(field, value, kind, f"Read as {found}.")
    return found


def read_date_field(value: object, field: str, repairs: Repairs) -> str | None:
    """An ISO 8601 year, month, date or moment, or None."""
    return _read_temporal_text(value, field, "an ISO 8601 date", read_date, repairs)


def read_temporal(value: object, repairs: Repairs) -> str | None:
    """``start/end`` in ISO 8601, or None. DCAT-US 3.0's ``{startDate, endDate}`` is read too."""
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, dict):
        ends = [text_of(first.get(name)) for name in ("startDate", "endDate")]
        interval = "/".join(end for end in ends if end is not None)
        repairs.wrong_type("temporal", value, "an ISO 8601 interval", "Its dates are kept.")
        value = interval or None
    return _read_temporal_text(value, "temporal", "an ISO 8601 interval", read_interval, repairs)


def read_license(value: object, repairs: Repairs) -> tuple[str | None, str | None]:
    """The licence's URI, and the text of a licence that is not known by name (it may serve as rights)."""
    text = value if isinstance(value, str) else text_of(value)
    if value is not None and not isinstance(value, str):
        repairs.wrong_type("license", value, "a URI", "Its text is read.")
    if not text or is_valid_url(text):
        return text or None, None
    if is_redacted(text):
        repairs.add("license", "is withheld by the source.", "Left empty.")
        return None, None
    silent = Repairs()
    words = read_text(text, "license", silent)
    uri = license_uri_named(words) or (
        repair_url(words) if "/" in words and " " not in words.strip() else None
    )
    if uri is not None:
        repairs.add("license", f"{excerpt(words)} is not a URI.", f"Read as {uri}")
        return uri, None
    repairs.add(
        "license",
        f"{excerpt(words)} is not a URI and not a known name.",
        "Left empty; give the licence's URI.",
    )
    return None, words or None


def read_access_level(value: object, repairs: Repairs, *, reachable: bool) -> AccessLevel:
    """Who may get the data. A value that nobody can read restricts: better asked for than leaked.

    Without any value, data that the source itself links to (``reachable``) is public.
    """
    if value == "public" or value == "restricted public" or value == "non-public":
        return value
    text = text_of(value)
    if text is None:
        level: AccessLevel = "public" if reachable else "non-public"
        why = "as the source links to the data" if reachable else "as nothing says that it may be published"
        repairs.add("accessLevel", "is missing.", f"Taken as {level}, {why}.")
        return level
    level = _ACCESS_LEVELS.get(" ".join(re.split(r"[\s_-]+", text[:100].strip().lower())), "non-public")
    repairs.add("accessLevel", f"{excerpt(text)} is not a DCAT-US access level.", f"Taken as {level}.")
    return level


def read_languages(value: object, repairs: Repairs) -> list[str]:
    """BCP 47 tags; names of common languages become their tag."""
    tags: dict[str, None] = {}
    for text in read_list(value, "language", repairs, separators=r"[,;]"):
        if _LANGUAGE.fullmatch(text) is not None and text.lower() not in _LANGUAGE_NAMES:
            tags[text] = None
            continue
        tag = _LANGUAGE_NAMES.get(text.lower(), text.replace("_", "-").split(".", 1)[0])
        known = _LANGUAGE.fullmatch(tag) is not None
        outcome = f"Read as {tag}." if known else "Dropped."
        repairs.add("language", f"{excerpt(text)} is not a BCP 47 language tag.", outcome)
        if known:
            tags[tag] = None
    return list(tags)


def read_references(value: object, repairs: Repairs) -> list[str]:
    """Related documents: valid URLs, each once."""
    found: dict[str, None] = {}
    for index, text in enumerate(read_list(value, "references", repairs, separators=r"[\s,;](?=https?://)")):
        url = read_url(text.rstrip(",; "), f"references[{index}]", repairs)
        if url is not None:
            found[url] = None
    return list(found)


def _nesting_exceeds(value: object, limit: int) -> bool:
    """Whether arrays and objects are nested deeper than ``limit``; never recurses."""
    level: list[object] = [value]
    for _ in range(limit):
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _plain_number(value: Any) -> float:
    """Stream parsers give decimals; anything else cannot be written as JSON."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def read_spatial(value: object, repairs: Repairs) -> str | None:
    """A place name, a bounding box or GeoJSON, as text."""
    if not isinstance(value, (dict, list)):
        return read_optional_text(value, "spatial", repairs)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], (str, dict)):
        return read_spatial(value[0], repairs)
    if not value:
        return None
    if not _nesting_exceeds(value, SPATIAL_NESTING_MAX):
        try:
            text = orjson.dumps(value, default=_plain_number).decode()
        except (TypeError, ValueError):
            text = None
        if text is not None and "coordinates" in value:
            return read_text(text, "spatial", repairs)
    text = text_of(value)
    repairs.wrong_type(
        "spatial", value, "a string or GeoJSON", "Its first text is kept." if text else "Left empty."
    )
    return read_line(text, "spatial", repairs) or None if text else None


def read_contact(value: object, repairs: Repairs) -> tuple[str | None, str | None]:
    """Name and mail address of the contact point, as far as the source gives them."""
    if isinstance(value, list) and value:
        repairs.wrong_type("contactPoint", value, "an object", "The first contact is kept.")
        value = value[0]
    if isinstance(value, str):
        repairs.wrong_type("contactPoint", value, "an object", "Its text is read.")
        address = find_mail_address(value)
        name = None if address is not None and " " not in value.strip() else value
        return read_optional_text(name, "contactPoint.fn", repairs), address
    if not isinstance(value, dict):
        return None, None
    name = read_optional_text(value.get("fn", value.get("name")), "contactPoint.fn", repairs)
    return name, _read_mail_address(value.get("hasEmail", value.get("email")), repairs)


def _read_mail_address(value: object, repairs: Repairs) -> str | None:
    text = value if isinstance(value, str) else text_of(value)
    if not text:
        return None
    if is_redacted(text):
        repairs.add("contactPoint.hasEmail", "is withheld by the source.", "Left empty.")
        return None
    if text.startswith("mailto:") and is_valid_mail_address(text[7:]):
        return text[7:]
    address = find_mail_address(text)
    if address is not None and not is_valid_mail_address(address):
        address = None
    outcome = f"Read as mailto:{address}." if address else "Left empty; write mailto: and an address."
    repairs.add("contactPoint.hasEmail", f"{excerpt(text)} is not a mailto: address.", outcome)
    return address
