"""What an installation may set about usage: ``NUTMEG_USAGE_…`` in the environment."""

import re

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["UsageSettings", "UsageStreamSettings"]


class UsageSettings(BaseSettings):
    """Which clients are robots or programs, and when use counts as remarkable."""

    model_config = SettingsConfigDict(env_prefix="NUTMEG_USAGE_", extra="forbid", frozen=True)

    crawler_patterns: tuple[str, ...] = Field(
        default=(),
        description="More regular expressions of user agents that are robots, whose hits are not counted.",
    )
    program_patterns: tuple[str, ...] = Field(
        default=(),
        description="More regular expressions of user agents that are programs, counted apart (TDM).",
    )
    rollup_debounce_seconds: float = Field(
        default=2.0,
        ge=2.0,
        le=60.0,
        description="How long a window's counts must rest before they are published.",
    )
    spike_factor: float = Field(
        default=4.0, gt=1.0, description="How many times its usual use a dataset's day must have to spike."
    )
    spike_uses_min: int = Field(
        default=20, ge=1, description="Fewer uses than this in a day are never a spike."
    )
    silence_days_min: int = Field(
        default=3, ge=1, description="Fewer full days without use than this are never a silence."
    )
    silence_expected_uses_min: float = Field(
        default=10.0, gt=0, description="How many uses must be missing before a silence is remarkable."
    )
    history_days_min: int = Field(
        default=14, ge=7, description="Days of counting before a dataset's use is judged at all."
    )

    @field_validator("crawler_patterns", "program_patterns")
    @classmethod
    def _check_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return patterns


class UsageStreamSettings(BaseSettings):
    """How the stream processor of a cluster takes rollups in, and when it trusts what it has."""

    model_config = SettingsConfigDict(env_prefix="NUTMEG_USAGE_STREAM_", extra="forbid", frozen=True)

    records_max: int = Field(
        default=500, ge=1, le=10_000, description="Cluster: rollups that are taken in at once, at most."
    )
    gather_seconds: float = Field(
        default=0.05,
        ge=0.0,
        le=5.0,
        description="Cluster: how long the stream waits for more rollups of the same batch.",
    )
    fresh_seconds: float = Field(
        default=60.0,
        gt=0.0,
        description="Cluster: uses are not judged while a rollup of their partition that is older waits.",
    )
