"""The lights of a dataset's page: what is judged, how it stands, and why. None is better than its alerts."""

from collections.abc import Sequence
from typing import NamedTuple

from services.catalog.datasets.domain.condition import ConditionStatus, alert_status, score_status, worse
from services.catalog.datasets.domain.views import AlertView, DatasetView
from services.catalog.datasets.reader.words import (
    FRESHNESS,
    STATUS_KINDS,
    access_words,
    alert_words,
    as_sentence,
    first_sentence,
    license_words,
)
from shared.events.catalog import DatasetState
from shared.web.elements import Kind
from shared.web.wording import plural

__all__ = ["Light", "lights_of"]

_STATUSES: dict[Kind, ConditionStatus] = {
    "ok": "ok",
    "neutral": "ok",
    "unknown": "not-known",
    "info": "notice",
    "warn": "attention",
    "bad": "problem",
}
_LIGHTS_OF_ALERTS = {
    "freshness-stale": "Fresh?",
    "metadata-degraded": "Documented?",
    "dictionary-broken": "Documented?",
    "link-broken": "Open?",
    "data-unreadable": "Open?",
}
"""The light that an alert concerns, beside the one of the score, which every alert turns."""


class Light(NamedTuple):
    """One judgement: what is judged, how it stands, and why."""

    label: str
    kind: Kind
    word: str
    reason: str


def lights_of(view: DatasetView) -> list[Light]:
    """Return the four lights, each turned by the open alerts that concern it."""
    lights = (_fresh(view), _quality(view), _documented(view), _open(view.state))
    return [_turned(light, _concerning(light, view.alerts)) for light in lights]


def _concerning(light: Light, alerts: Sequence[AlertView]) -> list[AlertView]:
    if light.label == "Good?":
        return list(alerts)
    return [alert for alert in alerts if _LIGHTS_OF_ALERTS.get(alert.kind) == light.label]


def _turned(light: Light, alerts: Sequence[AlertView]) -> Light:
    """The light as the worst of itself and its alerts, which come the worst first."""
    if not alerts:
        return light
    own, alerting = _STATUSES[light.kind], alert_status(alerts[0].severity)
    words = alert_words(alerts[0].kind)
    if worse(own, alerting) == own:
        return light._replace(reason=f"{words}. {light.reason}")
    return Light(light.label, STATUS_KINDS[alerting], words, f"{as_sentence(light.word)} {light.reason}")


def _fresh(view: DatasetView) -> Light:
    told = FRESHNESS[view.freshness]
    word = "Not known" if view.freshness == "not-known" else told.word
    reason = as_sentence(view.freshness_reason) or "It is judged soon after the dataset arrives."
    return Light("Fresh?", told.kind, word, reason)


def _quality(view: DatasetView) -> Light:
    score = view.quality_score
    if score is None:
        return Light("Good?", "unknown", "Not measured", "It is measured soon after the dataset arrives.")
    overall = view.measurements.get("overall")
    measured = [one for one in overall.dimensions if one.score is not None] if overall else []
    weakest = min(measured, key=lambda one: one.score or 0.0, default=None)
    reason = (overall.reason if overall else "") or "The mean of the dimensions below."
    if weakest is not None and (weakest.score or 0.0) < 1:
        reason = f"Weakest: {weakest.dimension}, {round(100 * (weakest.score or 0.0))} of 100."
    return Light("Good?", STATUS_KINDS[score_status(score)], f"{round(100 * score)} of 100", reason)


def _documented(view: DatasetView) -> Light:
    state = view.state
    described = sum(1 for column in state.columns if column.description)
    if not state.description:
        return Light("Documented?", "bad", "No description", "The record does not say what the data means.")
    if not state.columns:
        return Light(
            "Documented?", "warn", "In part", "A description, but no data dictionary for its columns."
        )
    total = len(state.columns)
    words = f"A description; {described} of {plural(total, 'column')} explained."
    if described == total:
        return Light("Documented?", "ok", "Yes", words)
    return Light("Documented?", "warn", "In part", words)


def _open(state: DatasetState) -> Light:
    if state.visibility != "public":
        return Light("Open?", "neutral", "Not applicable", "The record itself is not public.")
    if state.access_level == "public":
        licence = license_words(state.license)
        if licence is None:
            return Light(
                "Open?", "warn", "Public, no licence", "Anyone may get it; on what terms is not said."
            )
        return Light("Open?", "ok", "Public", f"Anyone may get and use it under {licence}.")
    reason = first_sentence(state.rights or "") or "The record does not say why. Ask, and the agency decides."
    if state.access_level == "restricted public":
        return Light("Open?", "info", "Restricted: ask for it", reason)
    return Light("Open?", "neutral", access_words(state.access_level), reason)
