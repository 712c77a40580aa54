"""Makes the texts of a feed fit to keep: plain text, well encoded, without control characters, bounded.

Every function is linear in the length of its input, whatever the input.
"""

import hashlib
import html
import re
from decimal import Decimal
from math import isfinite

from services.catalog.dcat.domain.repairs import Repairs
from shared.events.catalog import DESCRIPTION_BYTES_MAX, TruncatedText

SOURCE_CHARACTERS_MAX = 4 * DESCRIPTION_BYTES_MAX
"""A text is cut here before it is worked on, so that markup cannot make one record expensive."""
LINE_CHARACTERS_MAX = 1_000
"""Titles, names and the like."""
_NESTING_MAX = 4
_INTEGER_MAX = 10**30

# Control characters, lone surrogates, invisible and direction-changing characters. Tab and newline stay.
_UNWANTED_CHARACTERS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff"
)
_UNWANTED = re.compile(f"[{_UNWANTED_CHARACTERS}]")
_SUSPECT = re.compile(f"[<&\u00c2\u00c3\u00e2{_UNWANTED_CHARACTERS}]")
_MARKUP = re.compile(r"<!--.*?(?:-->|\Z)|</?[A-Za-z][^<>]*>|<[!?][^<>]*>", re.DOTALL)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TAG_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)")
_BLOCK_TAGS = frozenset(
    {"address", "article", "blockquote", "br", "dd", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6"}
    | {"hr", "li", "ol", "p", "pre", "table", "tr", "ul"}
)
_SILENT_TAGS = frozenset(("script", "style"))

# UTF-8 that was read as Windows-1252 shows as these pairs and triples. Quotation marks and dashes cannot
# follow "Ã" here: they may rightly follow a capital letter at the end of a quotation.
_CP1252 = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_CONTINUATION = f"\x80-\xbf{_CP1252}"
_MISREAD = re.compile(f"â[{_CONTINUATION}]{{2}}|Ã[\xa0-\xbf€‚ƒ„†‡ˆ‰Š‹ŒŽ•˜™š›œžŸ]|Â[\xa0-\xbf]")
_MISREAD_PASSES_MAX = 3


def is_redacted(text: str) -> bool:
    """Whether the source withholds the value: ``[[REDACTED-EX B6]]`` (DCAT-US 1.1, redactions)."""
    return text.startswith("[[REDACTED")


def text_of(value: object, depth: int = 0) -> str | None:
    """The text in ``value``, be it wrapped in a list, a language map or a JSON-LD node; None without one."""
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    if isinstance(value, bool) or value is None or depth >= _NESTING_MAX:
        return None
    if isinstance(value, int):
        return str(value) if abs(value) < _INTEGER_MAX else None
    if isinstance(value, Decimal):
        return text_of(float(value), depth) if value.is_finite() else None
    if isinstance(value, float):
        return f"{value:.15g}" if isfinite(value) else None
    if isinstance(value, dict):
        keys = (
            "@value",
            "en",
            "en-US",
            "value",
            "name",
            "title",
            "prefLabel",
            "label",
            "fn",
            "notation",
            "@id",
        )
        inner = (value[key] for key in keys if key in value)
    elif isinstance(value, (list, tuple)):
        inner = (item for item in value[:10])
    else:
        return None
    return next((text for item in inner if (text := text_of(item, depth + 1)) is not None), None)


def _restore_misread(match: re.Match[str]) -> str:
    misread = match.group()
    content = b"".join(
        bytes((ord(character),)) if ord(character) < 0x100 else character.encode("cp1252")
        for character in misread
    )
    try:
        return content.decode()
    except UnicodeDecodeError:
        return misread


def restore_encoding(text: str) -> str:
    """Undo UTF-8 that was read as Windows-1252, up to three times over ("Ã¢â‚¬â„¢" is an apostrophe)."""
    for _ in range(_MISREAD_PASSES_MAX):
        restored = _MISREAD.sub(_restore_misread, text)
        if restored == text:
            break
        text = restored
    return text


def strip_markup(text: str) -> str:
    """The words of an HTML text: tags and comments removed, blocks on lines of their own, scripts dropped."""
    pieces: list[str] = []
    position = 0
    silent: str | None = None
    for match in _MARKUP.finditer(text):
        if silent is None:
            pieces.append(text[position : match.start()])
        position = match.end()
        named = _TAG_NAME.match(match.group())
        tag = named[1].lower() if named else ""
        if silent is not None:
            silent = None if tag == silent and match.group().startswith("</") else silent
        elif tag in _SILENT_TAGS and not match.group().startswith("</"):
            silent = tag
        elif tag in _BLOCK_TAGS:
            pieces.append("\n")
    if silent is None:
        pieces.append(text[position:])
    lines = (" ".join(line.split()) for line in "".join(pieces).split("\n"))
    return "\n".join(line for line in lines if line)


def plain_text(raw: str) -> tuple[str, list[str]]:
    """``raw`` as plain text, and in words what was wrong with it. Line ends of all kinds become one."""
    if _SUSPECT.search(raw) is None:
        return raw.strip(), []
    found: list[str] = []
    text = restore_encoding(raw)
    if text != raw:
        found.append("UTF-8 read as Windows-1252")
    if _MARKUP.search(text) is not None:
        text = strip_markup(text)
        found.append("HTML markup")
    if _ENTITY.search(text) is not None:
        unescaped = html.unescape(text)
        if unescaped != text and "HTML markup" not in found:
            found.append("HTML entities")
        text = unescaped
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    printable = _UNWANTED.sub("", text)
    if printable != text:
        found.append("control or invisible characters")
    return printable.strip(), found


def cut_to_bytes(text: str, bytes_max: int) -> str:
    """``text`` cut so that its UTF-8 form fits; never inside a character."""
    if len(text) * 4 <= bytes_max:
        return text
    content = text.encode("utf-8", "replace")
    return text if len(content) <= bytes_max else content[:bytes_max].decode("utf-8", "ignore")


def _mark_cut(raw: str, field: str, limit: str, repairs: Repairs) -> None:
    content = raw.encode("utf-8", "surrogatepass")
    repairs.truncated.append(
        TruncatedText(field=field, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    )
    repairs.add(field, f"is {len(content):,} bytes long.", f"Cut at {limit}; shorten it in the source.")


def read_text(raw: str, field: str, repairs: Repairs) -> str:
    """A text of any number of lines, plain and cut at 64 KiB; what was repaired is told to ``repairs``."""
    text, found = plain_text(raw[:SOURCE_CHARACTERS_MAX])
    if found:
        repairs.add(field, f"holds {' and '.join(found)}.", "Kept as plain text.")
    kept = cut_to_bytes(text, DESCRIPTION_BYTES_MAX)
    if len(raw) > SOURCE_CHARACTERS_MAX or kept != text:
        _mark_cut(raw, field, "64 KiB", repairs)
    return kept


def read_line(raw: str, field: str, repairs: Repairs, characters_max: int = LINE_CHARACTERS_MAX) -> str:
    """A text of one line, plain, with single spaces, cut at ``characters_max``."""
    text, found = plain_text(raw[:SOURCE_CHARACTERS_MAX])
    if found:
        repairs.add(field, f"holds {' and '.join(found)}.", "Kept as plain text.")
    line = " ".join(text.split())
    if len(raw) > SOURCE_CHARACTERS_MAX or len(line) > characters_max:
        _mark_cut(raw, field, f"{characters_max:,} characters", repairs)
        return line[:characters_max].rstrip()
    return line
