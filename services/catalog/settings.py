"""What an installation may set about the catalogue: ``NUTMEG_CATALOG_…`` in the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["CatalogSettings"]

GIBIBYTE = 1024**3


class CatalogSettings(BaseSettings):
    """Names for the public catalogue, and limits of harvesting."""

    model_config = SettingsConfigDict(env_prefix="NUTMEG_CATALOG_", extra="forbid", frozen=True)

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
        default=60, gt=0, description="How long a worker that was cut off keeps its harvest from another one."
    )
    changes_days: int = Field(
        default=90, ge=1, description="How long the changes feed can be read back, in days."
    )
