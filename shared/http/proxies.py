"""Who asks, where a proxy stands between: told by headers, which count only from proxies that are trusted.

Anybody can send ``X-Forwarded-For``. Believed from everybody, it would let a client choose the address that
rate limits count and visitors are told apart by. So the headers are read from the networks that the
installation names, and from nobody else.
"""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import cast

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from shared.http.networks import Network

__all__ = ["TrustedProxyMiddleware"]

FORWARDED_HOST = "x-forwarded-host"


class TrustedProxyMiddleware:
    """Takes client, scheme and host from ``X-Forwarded-For``, ``-Proto`` and ``-Host`` of trusted proxies.

    Where several proxies stand in line, the client is the last address before the trusted ones, since each
    adds the one that it sees. Requests of all others pass as they are.
    """

    def __init__(self, app: ASGIApp, *, networks: Sequence[Network]) -> None:
        self._app = app
        self._networks = tuple(networks)
        self._forwarded = cast(
            "ASGIApp",
            ProxyHeadersMiddleware(app, [str(network) for network in networks]),  # type: ignore[arg-type]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (peer := self._trusted_peer(scope)) is None:
            await self._app(scope, receive, send)
            return
        seen: Scope = {**scope, "client": peer, "headers": list(scope["headers"])}
        headers = MutableHeaders(scope=seen)
        # A proxy that passes on what the one before it wrote adds to the end.
        host = headers.get(FORWARDED_HOST, "").rpartition(",")[2].strip()
        if host and len(headers.getlist("host")) == 1:  # of several, none is taken: the request is refused
            headers["host"] = host
        await self._forwarded(seen, receive, send)

    def _trusted_peer(self, scope: Scope) -> tuple[str, int] | None:
        client = scope.get("client")
        if client is None:
            return None
        try:
            address = ip_address(client[0])
        except ValueError:
            return None
        # Only what the kernel itself writes so: of other forms the sender may choose what lies within.
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return (str(address), client[1]) if any(address in network for network in self._networks) else None
