"""Bounds JSON from outside before any object is built of it: nesting, number of values, length of a text.

A parser that is given 100,000 opening brackets builds 100,000 objects, or fails somewhere deep in itself; one
that is given a text in portions may read its beginning anew with each of them. Both are decided here, by one
linear pass over the bytes that builds nothing. Everything from outside is read through this module: whole
documents by :func:`loads`, files by :class:`BoundedJSONFile`, what arrives in portions by
:class:`JSONBounds`. ``tests/architecture/test_bounded_parsing.py`` holds it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import IO, Any

import orjson

from shared.errors import NutmegError

__all__ = [
    "DEPTH_MAX",
    "TEXT_BYTES_MAX",
    "BoundedJSONFile",
    "InvalidJSONError",
    "JSONBoundError",
    "JSONBounds",
    "JSONLimits",
    "check",
    "loads",
    "read_lines",
]

DEPTH_MAX = 64
"""Levels of arrays and objects. No standard that is read here needs more than ten."""
TEXT_BYTES_MAX = 2 * 1024 * 1024
"""Of a longer text in a file only so much is read: each reader keeps far less, and says that it was cut."""
PORTION_BYTES = 64 * 1024
TOKEN_BYTES_MAX = 2 * 1024
"""A number or word of more bytes is refused; between half of it and all of it may be."""

_DELTAS = tuple(1 if byte in b"[{" else -1 if byte in b"]}" else 0 for byte in range(256))
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_TOKEN_BYTES = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-."
_ESCAPES = (
    (re.compile(rb"\\[^u]", re.DOTALL), b"_\x80"),
    (re.compile(rb"\\u[0-9a-fA-F]{4}"), b"_\x80\x80\x80\x80\x80"),
    (re.compile(rb"\\u(?![0-9a-fA-F]{0,3}\Z)"), b"_\x80"),
)
"""Escapes, the last of them no good ones, each with as many bytes of a single character."""


class JSONBoundError(NutmegError):
    """The document goes beyond a limit. The message is whole sentences: what, and the cure."""


class InvalidJSONError(NutmegError):
    """The document is no JSON in UTF-8. The message says where it breaks off, without a full stop."""


@dataclass(frozen=True, slots=True)
class JSONLimits:
    """How much one document may hold.

    ``elements_max``: values in it, names not counted. With ``item_depth`` that and ``bytes_max`` are limits
    of each item below that depth, give or take a portion, and not of the whole: 2 for the entries of
    ``{"dataset": [entry, …]}``.
    """

    bytes_max: int
    elements_max: int
    depth_max: int = DEPTH_MAX
    item_depth: int | None = None


class JSONBounds:
    """Watches one document that arrives in portions. Not a validator: what is no JSON passes."""

    def __init__(self, limits: JSONLimits) -> None:
        self._limits = limits
        self._what = "It" if limits.item_depth is None else "One entry"
        self._depth = 0
        self._elements = 0
        self._bytes = 0
        self._token_bytes = 0
        self._is_in_text = False
        self._text_bytes = 0
        self._is_cutting = False
        self._kept_back = b""

    def check(self, portion: bytes) -> None:
        """Take the next portion. Raises ``JSONBoundError``."""
        data, flat = self._with_whole_escapes(portion)
        self._look(flat.split(b'"'))
        self._count_bytes(len(data))

    def shorten(self, portion: bytes) -> bytes:
        """Take the next portion and return it without what a text has too much; raises ``JSONBoundError``.

        For portions of 64 KiB at most. An escape that is not whole is kept back until the next call.
        """
        data, flat = self._with_whole_escapes(portion)
        parts = flat.split(b'"')
        was_in_text = self._is_in_text
        self._look(parts)
        if was_in_text:
            kept, end = self._kept_of(parts[0]), len(parts[0])
            self._text_bytes += kept
            data = data[:kept] + data[end:]
        if len(parts) > 1 or not was_in_text:
            self._is_cutting = False
            self._text_bytes = len(parts[-1]) if self._is_in_text else 0
        self._count_bytes(len(data))
        return data

    def _with_whole_escapes(self, portion: bytes) -> tuple[bytes, bytes]:
        """The bytes to look at, and the same number of them with each escape as if it were one character."""
        if b"\0" in portion:
            # JSON in UTF-16 or UTF-32, which parsers take for what it is: quotes would not be seen here.
            raise JSONBoundError("It holds a byte 0, as no JSON in UTF-8 does. Save it as UTF-8.")
        data, self._kept_back = self._kept_back + portion, b""
        if b"\\" not in data:
            return data, data
        flat = data
        for escape, character in _ESCAPES:
            flat = escape.sub(character, flat)
        cut_off = flat.rfind(b"\\")
        if cut_off < 0:
            return data, flat
        self._kept_back = data[cut_off:]
        return data[:cut_off], flat[:cut_off]

    def _kept_of(self, text: bytes) -> int:
        """How much of the text that was under way is passed on."""
        if self._is_cutting:
            return 0
        if self._text_bytes + len(text) <= TEXT_BYTES_MAX:
            return len(text)
        kept = max(0, TEXT_BYTES_MAX - self._text_bytes)
        # The bytes that continue a character, or an escape, stay with its first one.
        while kept < len(text) and 0x80 <= text[kept] <= 0xBF:
            kept += 1
        self._is_cutting = kept < len(text)
        return kept

    def _look(self, parts: list[bytes]) -> None:
        """Count what is outside of texts: every second part."""
        outside = b"".join(parts[int(self._is_in_text) :: 2])
        self._is_in_text = self._is_in_text == (len(parts) % 2 == 1)
        self._check_tokens(outside)
        brackets = outside.translate(None, _NOT_BRACKETS)
        lowest = self._depth
        if brackets:
            depths = list(accumulate(map(_DELTAS.__getitem__, brackets), initial=self._depth))
            lowest, self._depth = min(depths), depths[-1]
            if max(depths) > self._limits.depth_max:
                raise JSONBoundError(
                    f"It is nested in more than {self._limits.depth_max} levels. Send it with fewer."
                )
        if self._limits.item_depth is not None and lowest <= self._limits.item_depth:
            self._elements = self._bytes = 0
        self._elements += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        if self._elements > self._limits.elements_max:
            raise JSONBoundError(
                f"{self._what} holds more than {self._limits.elements_max:,} values. Send several."
            )

    def _count_bytes(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        if self._bytes > self._limits.bytes_max:
            raise JSONBoundError(
                f"{self._what} is larger than {self._limits.bytes_max:,} bytes. Shorten it, or send several."
            )

    def _check_tokens(self, outside: bytes) -> None:
        """Refuse a number without end: parsers read its beginning anew with each portion."""
        half = TOKEN_BYTES_MAX // 2
        if not outside.translate(None, _TOKEN_BYTES):
            self._token_bytes += len(outside)
            is_endless = self._token_bytes > TOKEN_BYTES_MAX
        else:
            self._token_bytes = 0
            # A token of twice the length covers one of these whole.
            pieces = (outside[start : start + half] for start in range(0, len(outside) - half + 1, half))
            is_endless = any(not piece.translate(None, _TOKEN_BYTES) for piece in pieces)
        if is_endless:
            raise JSONBoundError(
                f"It holds a number of more than {half:,} characters. Write it as a text, or shorter."
            )


class BoundedJSONFile:
    """A binary file as a streaming parser may read it. ``read`` raises ``JSONBoundError``.

    Texts are cut at 2 MiB: the parser would need time that grows with the square of their length.
    """

    def __init__(self, file: IO[bytes], limits: JSONLimits) -> None:
        self._file = file
        self._bounds = JSONBounds(limits)

    def read(self, size: int = -1) -> bytes:
        """The next bytes, 64 KiB at most; empty at the end, and for ``size`` 0."""
        if size == 0:
            return b""
        wanted = PORTION_BYTES if size < 0 else min(size, PORTION_BYTES)
        while portion := self._file.read(wanted):
            if kept := self._bounds.shorten(portion):
                return kept
        return b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def loads(content: bytes, limits: JSONLimits) -> Any:
    """The document in ``content``. Raises ``JSONBoundError``; ``InvalidJSONError`` for what is no JSON."""
    check(content, limits)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidJSONError(str(error).rstrip(".")) from error


def read_lines(file: IO[bytes], limits: JSONLimits) -> Iterator[Any]:
    """The document of each line. Raises ``JSONBoundError`` and ``InvalidJSONError``, as :func:`loads`."""
    while line := file.readline(limits.bytes_max + 1):
        yield loads(line, limits)


def check(content: bytes, limits: JSONLimits) -> None:
    """Raise ``JSONBoundError`` if the document in ``content`` goes beyond ``limits``."""
    openings = content.count(b"[") + content.count(b"{")
    if (
        len(content) <= min(limits.bytes_max, TOKEN_BYTES_MAX)
        and b"\0" not in content
        and openings <= limits.depth_max
        and openings + content.count(b",") <= limits.elements_max
    ):
        return
    JSONBounds(limits).check(content)
