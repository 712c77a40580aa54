"""How to reach Kafka, and how patient its clients are: ``NUTMEG_KAFKA_…`` in the environment."""

import socket
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["KafkaSettings"]


class KafkaSettings(BaseSettings):
    """The defaults of the timeouts are those that held in fault tests; see docs/decisions/0008."""

    model_config = SettingsConfigDict(
        env_prefix="NUTMEG_KAFKA_", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    bootstrap_servers: str = Field(
        default="127.0.0.1:9092",
        min_length=1,
        description="Brokers to ask first: host:port, comma-separated.",
    )
    prefix: str = Field(
        default="",
        pattern=r"^[a-zA-Z0-9._-]{0,100}$",
        description="Put before the names of topics and groups, where installations share a cluster.",
    )
    replica: str = Field(
        default="",
        pattern=r"^[a-zA-Z0-9._-]{0,100}$",
        description="Name of this process in its groups, the same after a restart; empty: the host's name.",
    )
    replication_factor: int = Field(
        default=3, ge=1, le=9, description="Copies of each topic that is created."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Whether connections are encrypted and clients sign in."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How clients sign in, where they do."
    )
    username: str = Field(default="", description="User to sign in as.")
    password: SecretStr = Field(default=SecretStr(""), description="Password to sign in with.")
    ca_file: Path | None = Field(
        default=None, description="Certificates that brokers are checked against; the system's if not set."
    )
    certificate_file: Path | None = Field(default=None, description="This client's own certificate.")
    key_file: Path | None = Field(default=None, description="Key of this client's certificate.")
    session_timeout_seconds: float = Field(
        default=6.0, gt=0, description="How long a silent consumer keeps its partitions."
    )
    rebalance_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long a rebalance waits for a batch to end; above the longest batch.",
    )
    poll_interval_seconds_max: float = Field(
        default=300.0, gt=0, description="A consumer that has not polled for so long gives its partitions up."
    )
    request_timeout_seconds: float = Field(
        default=40.0, gt=0, description="How long publishing waits for the brokers before it begins anew."
    )

    @model_validator(mode="after")
    def _complete(self) -> "KafkaSettings":
        if self.security_protocol.startswith("SASL") and not (
            self.username and self.password.get_secret_value()
        ):
            raise ValueError(
                f"security_protocol is {self.security_protocol}: "
                "set NUTMEG_KAFKA_USERNAME and NUTMEG_KAFKA_PASSWORD"
            )
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together: set both or neither")
        return self

    def prefixed(self, name: str) -> str:
        """Return what a topic or group is called on the cluster."""
        return self.prefix + name

    @property
    def replica_name(self) -> str:
        """What tells this process from the others of its groups, and is the same after a restart."""
        return self.replica or socket.gethostname()
