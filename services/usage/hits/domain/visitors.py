"""Visitors as hashes that mean nothing once their day is over.

A hash is keyed with a random salt that lives at most until the end of the UTC day on which it was made.
After that nobody, the installation included, can tell whether an address made a hit.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

__all__ = ["SALT_BYTES", "VisitorTraits", "bucket_of", "derived_hit_id", "visitor_hash"]

BUCKETS = 64
HASH_CHARACTERS = 32
SALT_BYTES = 32
_HIT_IDS = UUID("5f0d1a52-6a5c-5a63-9a39-2f6d2c0e6b11")


@dataclass(frozen=True, slots=True)
class VisitorTraits:
    """What tells one visitor from another within a day. Never stored, never sent on.

    ``user_agent=None``: not known to the importer who reports the hit, who vouches for a person.
    """

    address: str = ""
    user_agent: str | None = None
    session: str = ""


def visitor_hash(salt: bytes, traits: VisitorTraits) -> str:
    """Return 128 bits of HMAC-SHA-256 over the traits, as hex."""
    text = "\x1f".join((traits.address, traits.user_agent or "", traits.session))
    return hmac.digest(salt, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:HASH_CHARACTERS]


def bucket_of(hashed: str) -> str:
    """Return ``00`` to ``63``: all hits of a visitor go through one partition."""
    return f"{int(hashed[:8], 16) % BUCKETS:02d}"


def derived_hit_id(
    *, reporter: str, dataset_id: UUID, kind: str, occurred_at: datetime | None, position: int, request: str
) -> UUID:
    """Return the id of a hit that came without one: the same for the same hit of the same request.

    ``reporter`` must not let anybody find an address by trying: a salted hash or a person's id.
    ``request`` is the Idempotency-Key, or what else tells one request from another.
    """
    moment = "" if occurred_at is None else occurred_at.isoformat()
    return uuid5(_HIT_IDS, "\x1f".join((reporter, str(dataset_id), kind, moment, str(position), request)))
