"""Who asks from this machine itself, and is not held to limits: nobody whom a proxy might speak for.

A proxy on the same machine connects from loopback too. One that sends no ``X-Forwarded-For`` makes the whole
internet look local, so loopback alone proves nothing. By default it counts only while the installation says
that it is reached by loopback (``base_url``), and only until one request shows that a proxy stands there.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.types import Scope

from shared.http.networks import Address, Network
from shared.http.settings import HTTPSettings
from shared.telemetry.metrics import Metrics

__all__ = ["UNANNOUNCED_PROXY", "LocalClients"]

LOOPBACK: Sequence[IPv4Network | IPv6Network] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
UNANNOUNCED_PROXY = (
    "A proxy on this machine forwards requests without saying whose they are: all visitors share one rate "
    "limit, and programs of this machine need a token for /metrics. Have it send X-Forwarded-For, name it in "
    "NUTMEG_TRUSTED_PROXIES, and start again."
)
_FORWARDING_HEADERS = (
    "cf-connecting-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
)

_log = structlog.get_logger(__name__)


class LocalClients:
    """Tells which requests come from where limits do not hold. Remembers that a proxy was noticed."""

    def __init__(self, settings: HTTPSettings, trusted_proxies: Sequence[Network], metrics: Metrics) -> None:
        self._networks = settings.rate_limit_exempt_networks
        self._mode = settings.loopback_clients
        self._metrics = metrics
        loopback_is_proxy = any(
            proxy.overlaps(own)
            for proxy in trusted_proxies
            for own in LOOPBACK
            if proxy.version == own.version
        )
        self._may_trust_loopback = self._mode == "trusted" or (
            self._mode == "auto"
            and not loopback_is_proxy
            and _is_loopback_name(urlsplit(settings.base_url).hostname or "")
        )
        self._has_noticed_proxy = False

    def is_exempt(self, scope: Scope) -> bool:
        """Tell whether a request is not held to the rate limit."""
        address = _address_of(scope)
        if address is None or not _is_in(address, self._networks):
            return False
        return self._is_trusted_loopback(scope) if _is_in(address, LOOPBACK) else not _is_forwarded(scope)

    def is_of_this_machine(self, scope: Scope) -> bool:
        """Tell whether a program of this machine asks, for itself."""
        address = _address_of(scope)
        return address is not None and _is_in(address, LOOPBACK) and self._is_trusted_loopback(scope)

    def _is_trusted_loopback(self, scope: Scope) -> bool:
        shows_proxy = _is_forwarded(scope) or _is_for_another_host(scope)
        if shows_proxy and not self._has_noticed_proxy and "x-forwarded-for" not in Headers(scope=scope):
            self._has_noticed_proxy = True
            self._metrics.set("nutmeg_http_unannounced_proxy", 1)
            _log.warning("unannounced_proxy", cause=UNANNOUNCED_PROXY)
        if not self._may_trust_loopback or shows_proxy:
            return False
        # nginx speaks HTTP/1.0 to what it stands before, unless told otherwise; programs no longer do.
        is_plain = self._mode == "trusted" or scope.get("http_version", "1.1") != "1.0"
        return is_plain and (self._mode == "trusted" or not self._has_noticed_proxy)


def _is_forwarded(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return any(name in headers for name in _FORWARDING_HEADERS)


def _is_for_another_host(scope: Scope) -> bool:
    """Whether the request was made for another name than one of this machine's own."""
    headers = Headers(scope=scope)
    if not _is_loopback_name(_name_of(headers.get("host", ""))):
        return True
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False  # a browser of this machine follows a link of another site
    page = headers.get("origin") or headers.get("referer") or ""
    name = urlsplit(page).hostname if page.startswith(("http://", "https://")) else None
    return name is not None and not _is_loopback_name(name)


def _name_of(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).strip("[]")


def _is_loopback_name(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _address_of(scope: Scope) -> Address | None:
    client = scope.get("client")
    try:
        address = ip_address(client[0]) if client else None
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if address.version == network.version)
