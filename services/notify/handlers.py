"""What notify does with what happened: each event is one command of routing.

Nothing is sent here: a message is a row that a worker sends later, so a slow mail server holds up no event.
"""

from services.notify.routing.commands.alerts import route_alerts
from services.notify.routing.commands.context import RoutingContext
from services.notify.routing.commands.directory import (
    remember_addresses,
    remember_agencies,
    remember_datasets,
    remember_freshness,
)
from services.notify.routing.commands.harvests import close_held_harvest, route_baseline, route_held_harvest
from services.notify.routing.commands.requests import redact_request, route_request
from shared.consuming.handling import Handlers, for_each
from shared.events.registry import (
    AGENCY_CHANGED,
    BASELINE_SUMMARISED,
    DATASET_CHANGED,
    DATASET_REGISTERED,
    DATASET_RETIRED,
    HARVEST_COMPLETED,
    HARVEST_HELD,
    MEASUREMENT_RECORDED,
    PERSON_CHANGED,
    QUALITY_ALERT_CHANGED,
    QUALITY_ALERT_OPENED,
    QUALITY_ALERT_RESOLVED,
    SHARING_REQUEST_APPROVED,
    SHARING_REQUEST_DENIED,
    SHARING_REQUEST_REDACTED,
    SHARING_REQUEST_RETURNED,
    SHARING_REQUEST_SUBMITTED,
    SHARING_REQUEST_WITHDRAWN,
    USAGE_ALERT_CHANGED,
    USAGE_ALERT_OPENED,
    USAGE_ALERT_RESOLVED,
)

__all__ = ["DIRECTORY_HANDLERS", "ROUTING_HANDLERS"]

DIRECTORY_HANDLERS: Handlers[RoutingContext] = {
    DATASET_REGISTERED.name: remember_datasets,
    DATASET_CHANGED.name: remember_datasets,
    DATASET_RETIRED.name: remember_datasets,
    PERSON_CHANGED.name: remember_addresses,
    AGENCY_CHANGED.name: remember_agencies,
    MEASUREMENT_RECORDED.name: remember_freshness,
}

_route_request = for_each(route_request)

ROUTING_HANDLERS: Handlers[RoutingContext] = {
    QUALITY_ALERT_OPENED.name: route_alerts,
    QUALITY_ALERT_CHANGED.name: route_alerts,
    QUALITY_ALERT_RESOLVED.name: route_alerts,
    USAGE_ALERT_OPENED.name: route_alerts,
    USAGE_ALERT_CHANGED.name: route_alerts,
    USAGE_ALERT_RESOLVED.name: route_alerts,
    SHARING_REQUEST_SUBMITTED.name: _route_request,
    SHARING_REQUEST_RETURNED.name: _route_request,
    SHARING_REQUEST_APPROVED.name: _route_request,
    SHARING_REQUEST_DENIED.name: _route_request,
    SHARING_REQUEST_WITHDRAWN.name: _route_request,
    SHARING_REQUEST_REDACTED.name: for_each(redact_request),
    BASELINE_SUMMARISED.name: for_each(route_baseline),
    HARVEST_HELD.name: for_each(route_held_harvest),
    HARVEST_COMPLETED.name: for_each(close_held_harvest),
}
