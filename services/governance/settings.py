"""What an installation may set about governance: ``NUTMEG_GOVERNANCE_…`` in the environment."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["GovernanceSettings"]


class GovernanceSettings(BaseSettings):
    """Names of the jurisdiction and lifetimes of what lets people in."""

    model_config = SettingsConfigDict(env_prefix="NUTMEG_GOVERNANCE_", extra="forbid", frozen=True)

    jurisdiction_words: frozenset[str] = Field(
        default=frozenset({"state"}),
        description="Words that name the jurisdiction; left out when publishers' names are compared.",
    )
    token_days_max: int = Field(
        default=366, ge=1, le=366, description="Longest lifetime of a token, in days."
    )
    session_hours: int = Field(default=12, ge=1, le=72, description="How long a sign-in by page lasts.")
    sign_in_code_hours: int = Field(
        default=24, ge=1, le=168, description="How long a sign-in link may be used."
    )

    @property
    def session_lifetime(self) -> timedelta:
        """The lifetime of a browser's session."""
        return timedelta(hours=self.session_hours)
