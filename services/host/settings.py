"""What an installation may set about the one-process host: ``NUTMEG_…`` in the environment."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["HostSettings"]


class HostSettings(BaseSettings):
    """Where the host keeps its data, where it answers, and what this installation is called."""

    model_config = SettingsConfigDict(env_prefix="NUTMEG_", extra="forbid", frozen=True)

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
    admin_email: str = Field(
        default="administrator@localhost",
        description="Address of the first operator, who is made at the first start.",
    )
    log_level: str = Field(default="WARNING", description="Least level of the log on standard error.")
    stop_seconds: float = Field(
        default=20.0, gt=0, description="How long a stop waits for work that was begun."
    )

    def local_url(self, port: int) -> str:
        """Return the address on this machine when the server listens on ``port``."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
