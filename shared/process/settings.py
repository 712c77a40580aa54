"""What any process of an installation may be told: ``NUTMEG_…`` in the environment."""

from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import NutmegError

__all__ = ["ClusterSettings", "ProcessSettings"]

SERVICE_MARK = "{service}"
KEY_HEX_DIGITS_MIN = 64


class ProcessSettings(BaseSettings):
    """Where a process keeps files, where it answers, and what the installation is called."""

    model_config = SettingsConfigDict(
        env_prefix="NUTMEG_", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(default=Path("nutmeg-data"), description="Directory that holds everything kept.")
    host: str = Field(default="127.0.0.1", description="Address to listen on; loopback by default.")
    port: int = Field(default=8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    installation_name: str = Field(default="Nutmeg", min_length=1, description="Name shown on every page.")
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="Internal networks that feeds and files may be fetched from."
    )
    allowed_ports: frozenset[int] = Field(
        default=frozenset({80, 443, 8000, 8080, 8443}), description="Ports that may be fetched from."
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(),
        description="Networks of proxies whose X-Forwarded-For, -Proto and -Host are believed; "
        "by default nobody's.",
    )
    log_level: str = Field(default="WARNING", description="Least level of the log on standard error.")
    stop_seconds: float = Field(
        default=20.0, gt=0, description="How long a stop waits for work that was begun."
    )

    def local_url(self, port: int) -> str:
        """Return the address on this machine when the server listens on ``port``."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class ClusterSettings(ProcessSettings):
    """What a service's own process in a cluster needs beside that."""

    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="Cluster: postgresql+asyncpg://user:password@host/name of a service's own database; "
        "{service} in it becomes the service's name.",
    )
    database_urls: dict[str, SecretStr] = Field(
        default={},
        description="Cluster: for commands and operations, which open several: each service's address "
        "by its name, where they do not follow one pattern.",
    )
    signing_key: SecretStr = Field(
        default=SecretStr(""),
        description="Cluster: the installation's secret, 32 random bytes in hex, the same in each process.",
    )

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr) -> SecretStr:
        _check_scheme(value)
        return value

    @field_validator("database_urls")
    @classmethod
    def _check_database_urls(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for url in value.values():
            _check_scheme(url)
        return value

    @field_validator("signing_key")
    @classmethod
    def _check_signing_key(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        try:
            bytes.fromhex(text)
        except ValueError:
            raise ValueError("must be hexadecimal; make one with: openssl rand -hex 32") from None
        if text and len(text) < KEY_HEX_DIGITS_MIN:
            raise ValueError("must have 64 digits or more; make one with: openssl rand -hex 32")
        return value

    def database_url_of(self, service: str) -> str:
        """Return the address of one service's database."""
        own = self.database_urls.get(service, self.database_url)
        return own.get_secret_value().replace(SERVICE_MARK, service)

    def check_databases_of(self, services: Collection[str]) -> None:
        """Raise ``NutmegError`` unless each of these services has a database of its own."""
        urls = [self.database_url_of(service) for service in services]
        if "" in urls or len({*urls}) < len(urls):
            raise NutmegError(
                "each service has a database of its own: write {service} into NUTMEG_DATABASE_URL, or name "
                "the addresses in NUTMEG_DATABASE_URLS"
            )


def _check_scheme(value: SecretStr) -> None:
    # An address is never repeated in a message: it may hold a password.
    url = value.get_secret_value()
    if url and urlsplit(url).scheme != "postgresql+asyncpg":
        raise ValueError("must begin with postgresql+asyncpg://")
