"""Tokens that this installation signs for its own people and programs.

JSON Web Tokens (RFC 7519), HS256 with the algorithm pinned: whoever checks a token is also trusted to
issue one, so a key pair would protect nothing. A token holds ids and times, never a name or an address;
what its person may do is looked up when it is used. A program's token also holds its scopes (the claim
``scope`` of RFC 8693), which only narrow that.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt

from shared.clock import Clock
from shared.errors import NutmegError
from shared.identity.signing_key import SigningKey
from shared.identity.viewer import TokenScope

__all__ = ["AuthenticationError", "TokenClaims", "Tokens"]

ALGORITHM = "HS256"
AUDIENCE = "nutmeg"
LIFETIME_MAX = timedelta(days=366)
LEEWAY = timedelta(seconds=5)
TOKEN_CHARACTERS_MAX = 2048


class AuthenticationError(NutmegError):
    """Nobody can be told from what was sent. ``reason`` is a word: malformed, expired, revoked or unknown."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a valid token says: whose it is, its own id, its times in UTC, and its scopes.

    ``scopes`` is ``None`` for a person's token. A scope that this version does not know opens nothing.
    """

    person_id: UUID
    token_id: str
    issued_at: datetime
    expires_at: datetime
    scopes: frozenset[TokenScope] | None = None


class Tokens:
    """Issues and verifies tokens with one key and one clock."""

    def __init__(self, key: SigningKey, clock: Clock) -> None:
        self._secret = key.derive("tokens")
        self._clock = clock

    def issue(self, person_id: UUID, lifetime: timedelta, *, scopes: Collection[TokenScope] = ()) -> str:
        """Return a new token; with ``scopes``, one of a program. Raises ``ValueError``: not within a year."""
        if not timedelta(0) < lifetime <= LIFETIME_MAX:
            raise ValueError(f"a token lives between a second and {LIFETIME_MAX.days} days, not {lifetime}")
        now = self._clock.now()
        claims = {
            "sub": str(person_id),
            "jti": uuid4().hex,
            "aud": AUDIENCE,
            # With its fraction (RFC 7519 allows it): a revocation within the same second is then exact.
            "iat": now.timestamp(),
            "exp": int((now + lifetime).timestamp()),
        }
        if scopes:
            claims["scope"] = " ".join(sorted(scopes))
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def verify(self, token: str) -> TokenClaims:
        """Return what the token says. Raises ``AuthenticationError`` (malformed or expired)."""
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise AuthenticationError("malformed", "The token is too long to be one of ours.")
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                # Times are checked below against our own clock, which may be a simulated one.
                options={
                    "require": ["sub", "jti", "iat", "exp", "aud"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            found = TokenClaims(
                person_id=UUID(claims["sub"]),
                token_id=str(claims["jti"]),
                issued_at=datetime.fromtimestamp(float(claims["iat"]), UTC),
                expires_at=datetime.fromtimestamp(int(claims["exp"]), UTC),
                scopes=_scopes(claims.get("scope")),
            )
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
            raise AuthenticationError(
                "malformed", "The token is not one that this installation issued."
            ) from error
        now = self._clock.now()
        if found.expires_at + LEEWAY <= now:
            raise AuthenticationError("expired", "The token has expired. Get a new one and try again.")
        if found.issued_at - LEEWAY > now:
            raise AuthenticationError("malformed", "The token was issued in the future; check the clocks.")
        return found


def _scopes(claim: object) -> frozenset[TokenScope] | None:
    if claim is None:
        return None
    words = set(str(claim).split())
    return frozenset(scope for scope in TokenScope if scope in words)
