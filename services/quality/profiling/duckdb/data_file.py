"""Make an unknown file ready to be read: its fingerprint, its true format, its text as UTF-8.

Runs in the profiler's own process and imports little. Nothing here trusts the file: what
it says of itself (media type, extension) is a hint, its first bytes decide.
"""

import codecs
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from shared.bounded_json import JSONBoundError, JSONBounds, JSONLimits

DataFormat = Literal["csv", "json", "parquet"]

CHUNK_BYTES = 1 << 20
HEAD_BYTES = 64 * 1024
CONTROL_SHARE_MAX = 0.02
UTF16_NUL_SHARE_MIN = 0.4

_NOT_TABLES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook; publish the table itself as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file; publish the table as CSV"),
    (b"%PDF", "a PDF document; publish the table as CSV"),
    (b"\x89PNG", "an image; publish the data as CSV"),
    (b"\xff\xd8\xff", "an image; publish the data as CSV"),
    (b"GIF8", "an image; publish the data as CSV"),
    (b"BZh", "compressed with bzip2; publish it plain or with gzip"),
    (b"\xfd7zXZ", "compressed with xz; publish it plain or with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; publish it plain or with gzip"),
    (b"7z\xbc\xaf", "a 7-Zip archive; publish the table itself as CSV"),
)


class NotATableError(Exception):
    """The file cannot be read as a table. The message completes "The file …" and names the cure."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file ready to be read. ``size_bytes`` and ``sha256`` are of the file as received."""

    path: Path
    format: DataFormat
    size_bytes: int
    sha256: str
    encoding: str | None
    is_blank: bool
    has_quotes: bool = False


def open_data_file(path: Path, media_type: str | None, work_dir: Path, size_bytes_max: int) -> DataFile:
    """Look at the file; write a decompressed or re-encoded copy into ``work_dir`` where one is needed.

    Raises:
        NotATableError: too large, damaged, binary, or of a format that is not a table.
    """
    size_bytes = path.stat().st_size
    if size_bytes > size_bytes_max:
        raise NotATableError(f"is larger than the {size_bytes_max:,} bytes that are profiled")
    sha256 = hashlib.sha256()
    with path.open("rb") as source:
        head = source.read(HEAD_BYTES)
        sha256.update(head)
        for chunk in _chunks(source):
            sha256.update(chunk)
    plain = path
    if head.startswith(b"\x1f\x8b"):
        plain = work_dir / "plain"
        _decompress(path, plain, size_bytes_max)
        with plain.open("rb") as source:
            head = source.read(HEAD_BYTES)
    if head.startswith(b"PAR1"):
        return DataFile(plain, "parquet", size_bytes, sha256.hexdigest(), None, is_blank=False)
    for magic, words in _NOT_TABLES:
        if head.startswith(magic):
            raise NotATableError(f"is {words}")
    encoding = _encoding_of(head, plain)
    if encoding != "utf-8":
        recoded = work_dir / "recoded"
        _recode(plain, recoded, encoding)
        plain = recoded
        with plain.open("rb") as source:
            head = source.read(HEAD_BYTES)
    text = head.decode("utf-8", "replace").removeprefix("\ufeff")
    _refuse_binary(text)
    data_format = _text_format(text, media_type)
    if data_format == "json":
        _refuse_deep_json(plain, size_bytes_max)
    return DataFile(
        path=plain,
        format=data_format,
        size_bytes=size_bytes,
        sha256=sha256.hexdigest(),
        encoding=encoding,
        is_blank=not text.strip() and len(head) < HEAD_BYTES,
        has_quotes='"' in text,
    )


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def _decompress(path: Path, target: Path, size_bytes_max: int) -> None:
    """Stop at the limit: a small archive can hold a very large file."""
    written = 0
    try:
        with gzip.open(path, "rb") as source, target.open("wb") as sink:
            while chunk := source.read(CHUNK_BYTES):
                written += len(chunk)
                if written > size_bytes_max:
                    raise NotATableError(
                        f"is larger, when decompressed, than the {size_bytes_max:,} bytes that are profiled"
                    )
                sink.write(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise NotATableError("is a damaged gzip file; publish it again") from error


def _encoding_of(head: bytes, path: Path) -> str:
    """``utf-8`` if all of it is; UTF-16 by its mark or zero bytes; else Windows-1252, as Excel writes it."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    pairs = len(head) // 2
    if pairs >= 2:
        if head[1::2].count(0) > UTF16_NUL_SHARE_MIN * pairs:
            return "utf-16-le"
        if head[0::2].count(0) > UTF16_NUL_SHARE_MIN * pairs:
            return "utf-16-be"
    return "utf-8" if _is_utf8(path) else "cp1252"


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as source:
            for chunk in _chunks(source):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _recode(path: Path, target: Path, encoding: str) -> None:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    with path.open("rb") as source, target.open("wb") as sink:
        for chunk in _chunks(source):
            sink.write(decoder.decode(chunk).encode("utf-8", "replace"))
        sink.write(decoder.decode(b"", final=True).encode("utf-8", "replace"))


def _refuse_binary(text: str) -> None:
    strange = sum(
        1
        for character in text
        if (character < " " and character not in "\t\r\n\f\v") or character == "\ufffd"
    )
    if strange > CONTROL_SHARE_MAX * len(text):
        raise NotATableError("is not text: it holds binary data; publish the table as CSV")


def _refuse_deep_json(path: Path, size_bytes_max: int) -> None:
    """DuckDB would build each level: of the number of values it keeps count itself, in rows and in memory."""
    # Re-encoding makes three bytes of one at most.
    bounds = JSONBounds(JSONLimits(bytes_max=3 * size_bytes_max, elements_max=3 * size_bytes_max))
    with path.open("rb") as source:
        try:
            for chunk in _chunks(source):
                bounds.check(chunk)
        except JSONBoundError as error:
            raise NotATableError(f"cannot be read as a table. {str(error).rstrip('.')}") from error


def _text_format(text: str, media_type: str | None) -> DataFormat:
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype html", "<html")):
        raise NotATableError("is a web page, not data; correct the download address")
    if start.startswith(("<?xml", "<!doctype")):
        raise NotATableError("is an XML document; publish the table as CSV too")
    declared = (media_type or "").partition(";")[0].strip().lower()
    opening = "".join(start.split())[:2]
    looks_json = opening in ('{"', "[{", "[[", "[]", "{}")
    return "json" if looks_json or (declared.endswith("json") and start[:1] in ("{", "[")) else "csv"
