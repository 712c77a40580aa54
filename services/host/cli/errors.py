"""How commands end: exit codes, and failures told in one line."""

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from shared.errors import NutmegError

__all__ = ["FAILED", "IN_PART", "CommandError", "run", "told_in_one_line"]

T = TypeVar("T")

FAILED = 1
CLUSTER_MODULES = frozenset({"aiokafka", "asyncpg", "elastic_transport", "elasticsearch", "faust"})
IN_PART = 3
"""Done, but some records or rows were refused, or a person has to confirm."""


class CommandError(Exception):
    """A command failed; the message is one line that names the cause and, where there is one, the cure."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine. Raises ``CommandError`` for every failure that is not a defect."""
    import structlog

    from shared.event_loop import run_in_loop
    from shared.telemetry.logging import configure_logging

    # Until a command says otherwise: a line that is logged must not get into its answer on standard output.
    if not structlog.is_configured():
        configure_logging("cli", level="WARNING")
    with told_in_one_line():
        return run_in_loop(work)


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Turn expected errors into ``CommandError``."""
    import sqlite3

    from pydantic import ValidationError

    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise CommandError(f"{name}: {first['msg']}") from error
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in CLUSTER_MODULES:
            raise
        raise CommandError(f"{error.name} is not installed: install nutmeg[cluster]") from error
    except (NutmegError, OSError, TimeoutError, sqlite3.Error) as error:
        raise CommandError(" ".join(str(error).split()) or type(error).__name__) from error
