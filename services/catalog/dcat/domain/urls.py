"""URLs and mail addresses of a feed: checked against RFC 3986, and repaired where the intent is plain."""

import re
from urllib.parse import quote, urlsplit

URL_CHARACTERS_MAX = 4_096

_PLAIN = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/]*"
_QUERY = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?]*"
_ESCAPED = r"%[0-9A-Fa-f]{2}"
_VALID_URL = re.compile(
    r"(?:https?|ftps?)://(?:[A-Za-z0-9][A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    rf"(?:/{_PLAIN}(?:{_ESCAPED}{_PLAIN})*)?"
    rf"(?:\?{_QUERY}(?:{_ESCAPED}{_QUERY})*)?(?:#{_QUERY}(?:{_ESCAPED}{_QUERY})*)?",
    re.IGNORECASE,
)
_SEVERAL = re.compile(r"[,;|]? (?=(?:https?|ftps?)://)", re.IGNORECASE)
_HOST_FIRST = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?:[:/?#]|$)")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SAFE = "/?:@!$&'()*+,;=-._~%"

# The address pattern of the official DCAT-US 1.1 schema, for ASCII and with bounded parts.
_MAIL = re.compile(
    r"[A-Za-z0-9_~!$&'()*+,;=:.-]{1,64}@[A-Za-z0-9_-][A-Za-z0-9_.-]{0,188}\.[A-Za-z0-9_-]{1,63}"
)


def is_valid_url(text: str) -> bool:
    """Whether ``text`` is an absolute http(s) or ftp URL by RFC 3986, without credentials."""
    return len(text) <= URL_CHARACTERS_MAX and _VALID_URL.fullmatch(text) is not None


def repair_url(text: str) -> str | None:
    """The URL that is meant, valid by RFC 3986; None when there is none.

    Spaces and other characters are percent-encoded, international host names become their ASCII form, a
    missing scheme becomes ``https``, and of several URLs the first is taken. A URL with credentials is none.
    """
    if len(text) > URL_CHARACTERS_MAX:
        return None
    spaced_once = " ".join(text.split()).strip("<>\"' ")
    candidate = _SEVERAL.split(spaced_once, maxsplit=1)[0].replace("\\", "/")
    if candidate.startswith("//") and not candidate.startswith("///"):
        candidate = f"https:{candidate}"
    elif "://" not in candidate and _HOST_FIRST.match(candidate):
        candidate = f"https://{candidate}"
    try:
        parts = urlsplit(candidate)
        host = parts.hostname or ""
        port = parts.port
        ascii_host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError:
        return None
    if "@" in parts.netloc or not ascii_host:
        return None
    netloc = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
    if port is not None:
        netloc = f"{netloc}:{port}"
    path, query, fragment = (
        _LONE_PERCENT.sub("%25", quote(part, safe=_SAFE))
        for part in (parts.path, parts.query, parts.fragment)
    )
    path = path.replace("?", "%3F")
    repaired = (
        f"{parts.scheme}://{netloc}{path}{'?' + query if query else ''}{'#' + fragment if fragment else ''}"
    )
    return repaired if is_valid_url(repaired) else None


def is_valid_mail_address(text: str) -> bool:
    """Whether ``mailto:`` and ``text`` satisfy the DCAT-US 1.1 contact pattern."""
    return _MAIL.fullmatch(text) is not None


def find_mail_address(text: str) -> str | None:
    """The first mail address in ``text`` ("Data team <data@example.gov>"), or None."""
    match = _MAIL.search(text[:URL_CHARACTERS_MAX].replace("%40", "@").replace("mailto:", " "))
    return match[0].lstrip("'(,;:=").rstrip(".") if match is not None else None
