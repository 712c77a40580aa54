"""Texts that only this installation can read: what we hand out to be handed back, such as a place in a list.

A signature alone keeps a place from being made up, but not from being read; and places tell how much lies
between them, of records that the reader may not see too. AES-SIV (RFC 5297) hides and authenticates, and does
no harm where the same text is sealed twice.
"""

import base64
import binascii
import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from shared.errors import NutmegError

__all__ = ["Seal", "UnsealableError"]

NONCE_BYTES = 12


class UnsealableError(NutmegError):
    """The text was not sealed here, or not for this purpose and context."""


class Seal:
    """Seals bytes as URL-safe text. Each ``purpose`` has a key of its own, derived from ``secret``."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        self._cipher = AESSIV(hmac.digest(secret, purpose.encode(), hashlib.sha512))

    def seal(self, content: bytes, context: bytes) -> str:
        """Return the text of ``content``: the same for the same content and context."""
        return _text(self._cipher.encrypt(content, [context]))

    def unseal(self, text: str, context: bytes) -> bytes:
        """Return what :meth:`seal` was given. Raises ``UnsealableError``."""
        return self._decrypted(_bytes(text), [context])

    def seal_anew(self, content: bytes, context: bytes) -> str:
        """Return another text at every call: two of them do not tell whether their contents are equal."""
        nonce = os.urandom(NONCE_BYTES)
        return _text(nonce + self._cipher.encrypt(content, [context, nonce]))

    def unseal_anew(self, text: str, context: bytes) -> bytes:
        """Return what :meth:`seal_anew` was given. Raises ``UnsealableError``."""
        sealed = _bytes(text)
        return self._decrypted(sealed[NONCE_BYTES:], [context, sealed[:NONCE_BYTES]])

    def _decrypted(self, sealed: bytes, associated: list[bytes]) -> bytes:
        try:
            return self._cipher.decrypt(sealed, associated)
        except (InvalidTag, ValueError) as error:
            raise UnsealableError("the text was not sealed here") from error


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise UnsealableError("the text was not sealed here") from error
