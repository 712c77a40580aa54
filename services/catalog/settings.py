"""What an installation may set about the catalogue: ``NUTMEG_CATALOG_…`` in the environment."""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["CatalogSettings"]

GIBIBYTE = 1024**3


class CatalogSettings(BaseSettings):
    """Names for the public catalogue, limits of harvesting, and the search engine."""

    model_config = SettingsConfigDict(
        env_prefix="NUTMEG_CATALOG_", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    title: str = Field(default="Open data catalogue", description="Title of the catalogue in /data.json.")
    publisher_name: str = Field(
        default="This installation's organisation",
        description="Owner of feeds and publisher of records that name none.",
    )
    contact_name: str = Field(
        default="Open data team", description="Contact for records that name none: a team, not a person."
    )
    contact_email: str = Field(
        default="opendata@example.org", description="Address for records that have no usable one."
    )
    jurisdiction_words: frozenset[str] = Field(
        default=frozenset({"state"}),
        description="Words that name the jurisdiction; left out when publishers' names are compared.",
    )
    feed_bytes_max: int = Field(
        default=GIBIBYTE, gt=0, description="Largest feed taken, uploaded or fetched, in bytes."
    )
    records_per_batch: int = Field(
        default=200, ge=1, le=200, description="Records of a feed that are written in one transaction."
    )
    harvest_lease_seconds: float = Field(
        default=60,
        gt=0,
        le=3_600,
        description="How long a worker that was cut off keeps its harvest from another one.",
    )
    changes_days: int = Field(
        default=90, ge=1, description="How long the changes feed can be read back, in days."
    )
    reconcile_hours: float = Field(
        default=24, gt=0, description="How often the search index is compared with the rows and mended."
    )
    elasticsearch_url: str = Field(
        default="",
        description="Elasticsearch nodes, comma-separated; empty: the search index is in the data directory.",
    )
    elasticsearch_index_prefix: str = Field(
        default="nutmeg",
        pattern=r"^[a-z0-9][a-z0-9-]{0,60}$",
        description="Begins the names of indices, where installations share an Elasticsearch.",
    )
    elasticsearch_username: str = Field(default="", description="User to sign in to Elasticsearch as.")
    elasticsearch_password: SecretStr = Field(
        default=SecretStr(""), description="Password of this Elasticsearch user."
    )
    elasticsearch_api_key: SecretStr = Field(
        default=SecretStr(""), description="Elasticsearch API key, in place of user and password."
    )
    elasticsearch_ca_file: Path | None = Field(
        default=None,
        description="Certificates that Elasticsearch is checked against; the system's if not set.",
    )
    elasticsearch_timeout_seconds: float = Field(
        default=10.0, gt=0, description="How long a search may take."
    )

    @property
    def elasticsearch_urls(self) -> tuple[str, ...]:
        """The nodes; none where the search index is in the data directory."""
        return tuple(url.strip() for url in self.elasticsearch_url.split(",") if url.strip())

    @model_validator(mode="after")
    def _elasticsearch_can_be_reached(self) -> Self:
        # An address is never repeated in a message: it may hold a password.
        for number, url in enumerate(self.elasticsearch_urls, 1):
            try:
                parts = urlsplit(url)
                usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port
            except ValueError:
                usable = False
            if not usable:
                cure = "Write http://host:port or https://host:port."
                raise ValueError(f"elasticsearch_url: number {number} is no address. {cure}")
            if parts.username is not None:
                cure = "Use elasticsearch_username and elasticsearch_password."
                raise ValueError(f"elasticsearch_url: must not hold a user or a password. {cure}")
        if self.elasticsearch_api_key.get_secret_value() and self.elasticsearch_username:
            raise ValueError(
                "elasticsearch_api_key: set either the key, or elasticsearch_username and its password."
            )
        return self
