"""The installation's one secret: 32 random bytes in a file that only its owner can read."""

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from shared.errors import NutmegError

__all__ = ["SigningKey", "SigningKeyError"]

KEY_BYTES = 32


class SigningKeyError(NutmegError):
    """The key file cannot be used. The message names the file and the cure."""


class SigningKey:
    """Derives one key per purpose (HMAC-SHA-256), so that a cursor can never pass as a token."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < KEY_BYTES:
            raise SigningKeyError(f"a signing key has at least {KEY_BYTES} bytes, this one has {len(secret)}")
        self._secret = secret

    def __repr__(self) -> str:
        return "SigningKey(…)"

    def derive(self, purpose: str) -> bytes:
        """Return the 32 bytes for ``purpose``, such as ``"tokens"``."""
        return hmac.digest(self._secret, purpose.encode(), hashlib.sha256)

    @classmethod
    def generate(cls) -> "SigningKey":
        """Return a new key that is kept nowhere."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def load_or_create(cls, path: Path) -> "SigningKey":
        """Read the key file, or write a new one with mode 0600 if there is none.

        Raises ``SigningKeyError`` for a file that others may read, or that holds no key.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return cls._load(path)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return cls._load(path)

    @classmethod
    def _load(cls, path: Path) -> "SigningKey":
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise SigningKeyError(f"{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")
        try:
            return cls(bytes.fromhex(path.read_text().strip()))
        except ValueError as error:
            raise SigningKeyError(
                f"{path} does not hold a key in hex; remove it to get a new one (all tokens then end)"
            ) from error
