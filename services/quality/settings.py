"""What an installation may set about quality: ``NUTMEG_QUALITY_…`` in the environment."""

from datetime import date
from ipaddress import IPv4Network, IPv6Network

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["QualitySettings"]

MEBIBYTE = 1024 * 1024


class QualitySettings(BaseSettings):
    """Limits of fetches and profiles, patience with links, and how long history is kept."""

    model_config = SettingsConfigDict(env_prefix="NUTMEG_QUALITY_", extra="forbid", frozen=True)

    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="Internal networks that data files may be fetched from."
    )
    allowed_ports: frozenset[int] = Field(
        default=frozenset({80, 443, 8000, 8080, 8443}),
        description="Ports that data files may be fetched from.",
    )
    fetch_timeout_seconds: float = Field(
        default=60.0, gt=0, le=3_600, description="Longest time that one fetch of a data file may take."
    )
    file_bytes_max: int = Field(
        default=256 * MEBIBYTE, gt=0, description="A larger data file is not profiled."
    )
    upload_bytes_max: int = Field(
        default=32 * MEBIBYTE, gt=0, description="Largest file that may be uploaded for a profile."
    )
    profile_timeout_seconds: float = Field(
        default=60.0, gt=0, le=3_600, description="Longest time that one profile may take."
    )
    profile_memory_mb: int = Field(
        default=512, ge=128, description="Memory that the profiler's process may use, in megabytes."
    )
    profile_rows_max: int = Field(
        default=1_000_000, gt=0, description="Columns are measured over this many rows at most."
    )
    profiles_at_once_max: int = Field(
        default=4, ge=1, le=64, description="How many data files are fetched at once."
    )
    attempts_max: int = Field(
        default=6, ge=1, le=20, description="How often a fetch is tried before its job fails."
    )
    retry_seconds: float = Field(
        default=30.0, gt=0, description="Pause before the second try of a fetch; it doubles each time."
    )
    link_failures_min: int = Field(
        default=2, ge=1, le=20, description="Failed tries in a row that make a download address broken."
    )
    link_recheck_hours: float = Field(
        default=6.0, gt=0, description="How often a broken download address is tried again."
    )
    baseline_wait_seconds: float = Field(
        default=900.0,
        ge=0,
        description="How long the summary of a first harvest waits for datasets that are not measured yet.",
    )
    history_days: int = Field(default=730, ge=1, description="How long past measurements are kept.")
    holidays: frozenset[date] = Field(
        default=frozenset(), description="Days off, on which data promised for working days is not owed."
    )
