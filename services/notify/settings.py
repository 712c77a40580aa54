"""What an installation may set about notices: ``NUTMEG_NOTIFY_…`` in the environment."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["NotifySettings"]


class NotifySettings(BaseSettings):
    """Who writes, through which server, and how long neighbouring items wait for one another."""

    model_config = SettingsConfigDict(
        env_prefix="NUTMEG_NOTIFY_", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    sender_address: str = Field(
        default="nutmeg@localhost.localdomain",
        pattern=r"^[^@\s<>]+@[^@\s<>]+$",
        description="Address that messages come from; its domain ends every Message-ID.",
    )
    smtp_host: str = Field(
        default="", description="Mail server; empty: messages go to a Maildir in the data directory."
    )
    smtp_port: int = Field(default=25, ge=1, le=65_535, description="Port of the mail server.")
    smtp_username: str = Field(default="", description="Name to sign in to the mail server with, if it asks.")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="Password for the mail server.")
    smtp_tls: bool = Field(default=False, description="Speak TLS from the first byte (port 465).")
    smtp_start_tls: bool | None = Field(
        default=None, description="Change to TLS: true always, false never, unset where it is offered."
    )
    smtp_timeout_seconds: float = Field(
        default=20.0, gt=0, le=120, description="How long one step of the mail server may take."
    )
    group_wait_seconds: float = Field(
        default=10.0, ge=0, le=3_600, description="How long an alert waits for others to the same person."
    )
    escalation_days: int = Field(
        default=7,
        ge=0,
        le=365,
        description="After so many days an error alert that nobody took goes to the agency's data officer, "
        "else to the chief data officer; 0: never.",
    )
    kept_days: int = Field(
        default=400,
        ge=30,
        description="How long items that are over, and messages that were sent or given up, are kept.",
    )
    poll_seconds: float = Field(
        default=1.0, gt=0, description="How often messages that are due are looked for, without a wake-up."
    )
