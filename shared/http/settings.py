"""What an installation may set about its HTTP side: ``NUTMEG_HTTP_…`` in the environment."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

from limits import parse
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["HTTPSettings"]

MEBIBYTE = 1024 * 1024


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
    body_bytes_max: int = Field(
        default=MEBIBYTE, gt=0, description="Largest request body, where a route does not allow more."
    )
    rate_limit: str = Field(
        default="1200/minute",
        description="Requests per client: signed in, per token; else per address. Empty turns it off.",
    )
    rate_limit_exempt_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
        description="Networks whose direct clients are not limited.",
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
