"""What an installation may set about the one-process host, beside what any process may be told."""

from pydantic import Field

from shared.process.settings import ProcessSettings

__all__ = ["HostSettings"]


class HostSettings(ProcessSettings):
    """Who the first operator is."""

    admin_email: str = Field(
        default="administrator@localhost",
        description="Address of the first operator, who is made at the first start.",
    )
