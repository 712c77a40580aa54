"""Reads the ``distribution`` of a DCAT-US 1.1 dataset."""

from services.catalog.dcat.domain.fields import read_optional_text, read_url
from services.catalog.dcat.domain.formats import (
    MEDIA_TYPE_UNKNOWN,
    format_named,
    format_of_url,
    is_media_type,
)
from services.catalog.dcat.domain.repairs import Repairs, excerpt
from services.catalog.dcat.domain.source_text import is_redacted, text_of
from shared.events.catalog import Distribution

DISTRIBUTIONS_MAX = 1_000


def read_distributions(
    value: object, misplaced: dict[str, object], repairs: Repairs
) -> tuple[Distribution, ...]:
    """The ways to get the data. ``misplaced`` holds distribution fields found on the dataset itself."""
    items: list[object]
    if value is None:
        items = []
    elif isinstance(value, list):
        items = value[:DISTRIBUTIONS_MAX]
        if len(value) > DISTRIBUTIONS_MAX:
            repairs.add(
                "distribution", f"has {len(value):,} entries.", f"The first {DISTRIBUTIONS_MAX} are kept."
            )
    elif isinstance(value, str) and is_redacted(value):
        repairs.add("distribution", "is withheld by the source.", "Left empty.")
        items = []
    else:
        items = [value]
        repairs.wrong_type("distribution", value, "an array", "Kept as its one entry.")
    if misplaced:
        names = ", ".join(sorted(misplaced))
        repairs.add(
            "distribution", f"is missing; {names} stands on the dataset.", "Made a distribution of it."
        )
        items = [*items, misplaced]
    read = (_read_distribution(item, f"distribution[{index}]", repairs) for index, item in enumerate(items))
    return tuple(distribution for distribution in read if distribution is not None)


def _read_distribution(item: object, path: str, repairs: Repairs) -> Distribution | None:
    if isinstance(item, str) and not is_redacted(item):
        repairs.wrong_type(path, item, "an object", "Its text is read as the access URL.")
        item = {"accessURL": item}
    if not isinstance(item, dict):
        repairs.add(path, "is withheld or not an object.", "Dropped.")
        return None
    download_url = read_url(item.get("downloadURL"), f"{path}.downloadURL", repairs)
    access_url = read_url(item.get("accessURL"), f"{path}.accessURL", repairs)
    media_type, file_format = _read_format(item, download_url, path, repairs)
    title = read_optional_text(item.get("title"), f"{path}.title", repairs)
    description = read_optional_text(item.get("description"), f"{path}.description", repairs, line=False)
    if download_url is None and access_url is None and title is None and description is None:
        repairs.add(path, "has no URL and no title.", "Dropped.")
        return None
    return Distribution(
        title=title,
        description=description,
        download_url=download_url,
        access_url=access_url,
        media_type=media_type,
        format=file_format,
    )


def _read_format(
    item: dict[str, object], download_url: str | None, path: str, repairs: Repairs
) -> tuple[str | None, str | None]:
    """Media type and format label. A known format has one label, so that it can be a facet."""
    field = f"{path}.mediaType"
    given = item.get("mediaType")
    stated = given if isinstance(given, str) else text_of(given)
    if given is not None and not isinstance(given, str):
        repairs.wrong_type(field, given, "a string", "Its text is read.")
    label = read_optional_text(item.get("format"), f"{path}.format", repairs)
    media_type = _media_type_stated(stated, field, repairs)
    known = format_named(label) or format_named(media_type)
    if media_type is None and download_url is not None:
        known = known or format_of_url(download_url)
        media_type = known.media_type if known is not None else MEDIA_TYPE_UNKNOWN
        if not stated:
            source = (
                "from the format or the file name" if known is not None else "as nothing tells the format"
            )
            repairs.add(field, "is missing beside downloadURL.", f"Set to {media_type}, {source}.")
    return media_type, known.label if known is not None else label


def _media_type_stated(stated: str | None, field: str, repairs: Repairs) -> str | None:
    """The media type in the stated text; None when it holds none."""
    if not stated or not stated.strip():
        return None
    if is_media_type(stated):
        return stated
    bare = stated.split(";", 1)[0].strip()
    known = format_named(bare)
    media_type = bare if is_media_type(bare) else known.media_type if known is not None else None
    outcome = (
        f"Read as {media_type}." if media_type is not None else "Taken from the format or the file name."
    )
    repairs.add(field, f"{excerpt(stated)} is not a media type.", outcome)
    return media_type
