"""A dataset's changes as an Atom feed (RFC 4287), so that any feed reader can follow it."""

from datetime import datetime
from xml.etree import ElementTree as ET

from services.catalog.datasets.domain.views import DatasetView
from services.catalog.datasets.reader.words import alert_words, as_sentence, condition_light, field_words
from services.catalog.dcat.domain.export import Installation
from shared.web.wording import plural

__all__ = ["ATOM_MEDIA_TYPE", "atom_feed"]

ATOM_MEDIA_TYPE = "application/atom+xml"
_ATOM = "http://www.w3.org/2005/Atom"
_WORDS = {"registered": "Came into the catalogue", "changed": "Changed", "retired": "Was retired"}


def atom_feed(view: DatasetView, installation: Installation) -> bytes:
    """Return the feed, newest change first."""
    state = view.state
    page = installation.dataset_url(state.dataset_id)
    feed = ET.Element("feed", {"xmlns": _ATOM})
    _put(feed, "id", f"urn:uuid:{state.dataset_id}")
    _put(feed, "title", f"Changes of {state.title}")
    _put(feed, "updated", _moment(max(state.metadata_changed_at, _condition_changed_at(view))))
    _put(
        _put(feed, "author"), "name", state.agency_name or state.publisher_name or installation.publisher_name
    )
    ET.SubElement(feed, "link", {"rel": "self", "href": f"{page}/changes.atom"})
    ET.SubElement(feed, "link", {"rel": "alternate", "type": "text/html", "href": page})
    _add_condition(feed, view, page)
    for change in view.history:
        entry = _put(feed, "entry")
        fields = field_words(change.changed_fields)
        _put(entry, "id", f"urn:nutmeg:change:{state.dataset_id}:{change.event_id}")
        _put(entry, "title", f"{_WORDS[change.kind]}: {fields}" if fields else _WORDS[change.kind])
        _put(entry, "updated", _moment(change.happened_at))
        ET.SubElement(entry, "link", {"rel": "alternate", "type": "text/html", "href": f"{page}#history"})
        _put(entry, "summary", change.reason or f"{change.title}: {fields or _WORDS[change.kind].lower()}.")
    text: bytes = ET.tostring(feed, encoding="utf-8", xml_declaration=True)
    return text


def _add_condition(feed: ET.Element, view: DatasetView, page: str) -> None:
    """One entry that stays and is updated: how the dataset stands, by the same rule as its page."""
    light = condition_light(view)
    entry = _put(feed, "entry")
    _put(entry, "id", f"urn:nutmeg:condition:{view.state.dataset_id}")
    _put(entry, "title", f"{light.word}: {view.state.title}")
    _put(entry, "updated", _moment(_condition_changed_at(view)))
    ET.SubElement(
        entry,
        "category",
        {"scheme": "urn:nutmeg:condition", "term": view.condition.status, "label": light.word},
    )
    ET.SubElement(entry, "link", {"rel": "alternate", "type": "text/html", "href": page})
    open_words = [alert_words(alert.kind) for alert in view.alerts]
    problems = f"{plural(len(open_words), 'open problem')}: {'; '.join(open_words)}." if open_words else ""
    _put(entry, "summary", problems or as_sentence(view.freshness_reason) or f"{light.word}.")


def _condition_changed_at(view: DatasetView) -> datetime:
    """When an alert, the freshness or the score last changed: each is told only when it differs."""
    judged = (view.measurements.get(kind) for kind in ("freshness", "overall"))
    moments = [one.measured_at for one in judged if one is not None]
    if view.alerts_changed_at is not None:
        moments.append(view.alerts_changed_at)
    return max(moments, default=view.state.registered_at)


def _put(parent: ET.Element, name: str, text: str | None = None) -> ET.Element:
    element = ET.SubElement(parent, name)
    element.text = text
    return element


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
