"""What kind of client sent a hit, told from its user agent text.

Three kinds, after COUNTER R5.1 (sections 3.3.8 and 7.8): people with browsers and tools (*Regular*),
programs that read data by themselves (*TDM*, text and data mining, counted apart), and crawlers, which are
not counted. COUNTER's robot list alone would drop every legitimate program that uses an API.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

__all__ = ["AccessMethod", "ClientRules"]

AGENTS_REMEMBERED_MAX = 4_096


class AccessMethod(StrEnum):
    """How a hit came about; the words stand in the event."""

    REGULAR = "regular"
    TDM = "tdm"
    CRAWLER = "crawler"


# A phone brand ends in "bot" too, hence the look-behind.
_CRAWLER = (
    r"(?<!cu)bot\b",
    r"bot[_-]",
    r"crawl",
    r"spider",
    r"slurp",
    r"scrapy",
    r"heritrix",
    r"nutch",
    r"archiver",
    r"archive\.org",
    r"externalhit",
    r"mediapartners",
    r"apis-google",
    r"googleother",
    r"feedfetcher",
    r"link ?check",
    r"validator",
    r"monitor",
    r"pingdom",
    r"uptime",
    r"lighthouse",
    r"headless",
    r"phantomjs",
    r"preview\b",
)
_PEOPLE_S_TOOL = (
    r"tableau",
    r"power ?bi",
    r"microsoft\.data\.mashup",
    r"\bexcel\b",
    r"rsocrata",
    r"postman",
    r"insomnia",
    r"qgis",
    r"arcgis",
)
_PROGRAM = (
    r"python",
    r"aiohttp",
    r"httpx",
    r"\bcurl\b",
    r"wget",
    r"okhttp",
    r"axios",
    r"node-fetch",
    r"undici",
    r"go-http-client",
    r"^java/",
    r"apache-httpclient",
    r"jakarta",
    r"libwww",
    r"\bperl\b",
    r"\bruby\b",
    r"guzzle",
    r"\bphp\b",
    r"reqwest",
    r"powershell",
    r"^r \(",
    r"\bhttr",
)
_BROWSER = re.compile(r"^(mozilla|opera)/", re.IGNORECASE)


class ClientRules:
    """The lists above, and what an installation adds to them (which is asked first)."""

    def __init__(self, crawler_patterns: Iterable[str] = (), program_patterns: Iterable[str] = ()) -> None:
        self._ordered = (
            (_any_of(crawler_patterns), AccessMethod.CRAWLER),
            (_any_of(program_patterns), AccessMethod.TDM),
            (_any_of(_CRAWLER), AccessMethod.CRAWLER),
            (_any_of(_PEOPLE_S_TOOL), AccessMethod.REGULAR),
            (_any_of(_PROGRAM), AccessMethod.TDM),
        )
        self.access_method = lru_cache(AGENTS_REMEMBERED_MAX)(self._access_method)

    def _access_method(self, user_agent: str) -> AccessMethod:
        """Return the kind of client. A blank text, or one of one character, is a crawler (COUNTER's list).

        Any other text that does not begin like a browser's is a program's.
        """
        if len(user_agent.strip()) <= 1:
            return AccessMethod.CRAWLER
        for pattern, method in self._ordered:
            if pattern is not None and pattern.search(user_agent):
                return method
        return AccessMethod.REGULAR if _BROWSER.match(user_agent) else AccessMethod.TDM


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    alternatives = "|".join(f"(?:{pattern})" for pattern in patterns)
    return re.compile(alternatives, re.IGNORECASE) if alternatives else None
