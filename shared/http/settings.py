"""What an installation may set about its HTTP side: ``NUTMEG_HTTP_…`` in the environment."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal
from urllib.parse import urlsplit

from limits import parse
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["HTTPSettings"]

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE


class HTTPSettings(BaseSettings):
    """Limits and addresses of one HTTP application."""

    model_config = SettingsConfigDict(env_prefix="NUTMEG_HTTP_", extra="forbid", frozen=True)

    base_url: str = Field(
        default="http://127.0.0.1:8080",
        description="Address under which people reach this installation; https turns on HSTS and Secure.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=("127.0.0.1", "localhost", "[::1]"),
        description="Host headers answered, besides the host of base_url; *.example.org takes all below it, "
        "10.1.0.0/16 each address in it.",
    )
    security_contact: str = Field(
        default="",
        description="Where weaknesses are reported: mailto:security@example.gov or an https address. It "
        "stands in /.well-known/security.txt, which is not there without it.",
    )
    body_bytes_max: int = Field(
        default=MEBIBYTE, gt=0, description="Largest request body, where a route does not allow more."
    )
    rate_limit: str = Field(
        default="1200/minute",
        description="Requests per client: signed in, per token; else per address. Empty turns it off.",
    )
    head_bytes_max: int = Field(
        default=64 * KIBIBYTE, ge=KIBIBYTE, description="Largest request head: request line and headers."
    )
    head_seconds: float = Field(
        default=10.0, gt=0, description="How long a client may take to send a request's head."
    )
    idle_seconds: float = Field(
        default=75.0,
        gt=0,
        description="How long a connection is kept that asks nothing more. Proxies keep theirs for 60.",
    )
    body_seconds: float = Field(default=900.0, gt=0, description="How long a client may take to send a body.")
    body_bytes_per_second_min: int = Field(
        default=4 * KIBIBYTE,
        gt=0,
        description="Least rate of a request body, after head_seconds of grace; our own delays do not count.",
    )
    answer_stall_seconds: float = Field(
        default=60.0, gt=0, description="How long a client may take nothing of an answer that waits for it."
    )
    connections_max: int = Field(
        default=4_096,
        gt=0,
        description="Connections open at once; fewer where the limit of open files leaves less room.",
    )
    connections_per_address_max: int = Field(
        default=256,
        gt=0,
        description="Connections of one address (IPv6: one /64) at once. Trusted proxies and "
        "rate_limit_exempt_networks are not held to it.",
    )
    streams_max: int = Field(default=500, gt=0, description="Event streams open at once.")
    streams_per_client_max: int = Field(
        default=20,
        gt=0,
        description="Event streams of one client at once: signed in, per person; else per address.",
    )
    rate_limit_exempt_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
        description="Networks whose direct clients are not limited; of loopback, see loopback_clients.",
    )
    loopback_clients: Literal["auto", "trusted", "untrusted"] = Field(
        default="auto",
        description="Whether requests from loopback are this machine's own: no rate limit, and /metrics "
        "without a token. auto: while base_url is loopback and no proxy was noticed; trusted: always, unless "
        "a header says they were forwarded; untrusted: never.",
    )

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ValueError("must look like https://data.example.org, without user or password")
        return value.rstrip("/")

    @field_validator("allowed_hosts")
    @classmethod
    def _check_allowed_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if "/" in host:
                ip_network(host)
        return value

    @field_validator("security_contact")
    @classmethod
    def _check_security_contact(cls, value: str) -> str:
        if value and not (value.startswith(("mailto:", "https://", "tel:")) and value.isprintable()):
            raise ValueError("must begin with mailto:, https:// or tel:, as RFC 9116 wants it")
        return value

    @field_validator("rate_limit")
    @classmethod
    def _check_rate_limit(cls, value: str) -> str:
        if value:
            parse(value)
        return value

    @property
    def is_https(self) -> bool:
        """Tell whether people reach this installation by https."""
        return self.base_url.startswith("https:")

    @property
    def hosts(self) -> frozenset[str]:
        """All host names answered, in lower case, without ports."""
        own = urlsplit(self.base_url).hostname or ""
        return frozenset(host.lower() for host in (*self.allowed_hosts, f"[{own}]" if ":" in own else own))
