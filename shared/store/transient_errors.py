"""Which errors of a database pass by themselves: it is away, busy or full; the statement is not at fault."""

import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError

__all__ = ["is_transient"]

PRIMARY_CODE_MASK = 0xFF
"""SQLite's extended result codes carry the primary one in their lowest byte."""

SQLITE_PASSING_CODES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
POSTGRES_PASSING_CLASSES = frozenset({"08", "53", "57", "58"})
"""Connection, resources, an operator (shutdown, starting up), system error (PostgreSQL, appendix A)."""

POSTGRES_PASSING_STATES = frozenset(
    {
        "25006",  # read_only_sql_transaction: the server is a standby just now
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected: one of the two was rolled back, and may try again
        "55P03",  # lock_not_available
    }
)


def is_transient(error: DBAPIError) -> bool:
    """Tell an absent or busy database from a wrong statement, which no waiting cures."""
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & PRIMARY_CODE_MASK in SQLITE_PASSING_CODES
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state[:2] in POSTGRES_PASSING_CLASSES or state in POSTGRES_PASSING_STATES
    return isinstance(error, OperationalError)
