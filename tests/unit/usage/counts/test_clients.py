"""Who is a person, who a program, who a robot."""

import pytest

from services.host.sample.hits import PAGING_CLIENT, ROBOT_USER_AGENTS
from services.usage.counts.domain.clients import AccessMethod, ClientRules

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36"


@pytest.mark.parametrize(
    "agent",
    [
        CHROME,
        "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
        "Mozilla/5.0 (Linux; Android 14; CUBOT X90) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36",
        "Opera/9.80 (Windows NT 6.1) Presto/2.12 Version/12.16",
        "RSocrata/1.7.15-5",
        "PostmanRuntime/7.42.0",
        "Microsoft.Data.Mashup (https://go.microsoft.com/fwlink/?LinkID=304225)",
        "Tableau/2024.2",
    ],
)
def test_people_with_browsers_and_tools_are_regular(agent: str) -> None:
    assert ClientRules().access_method(agent) is AccessMethod.REGULAR


@pytest.mark.parametrize(
    "agent",
    [
        "python-requests/2.32.3",
        "python-httpx/0.28.1",
        "Python-urllib/3.11",
        "curl/8.5.0",
        "Wget/1.21.4",
        "Go-http-client/2.0",
        "Java/17.0.2",
        "axios/1.7.7",
        "okhttp/4.12.0",
        "some-importer/3.1",
        PAGING_CLIENT,
    ],
)
def test_programs_are_counted_apart_and_not_dropped(agent: str) -> None:
    assert ClientRules().access_method(agent) is AccessMethod.TDM


@pytest.mark.parametrize(
    "agent",
    [
        *ROBOT_USER_AGENTS,
        "Mozilla/5.0 AppleWebKit/537.36 (compatible; GPTBot/1.2; +https://bots.example/gptbot)",
        "Mozilla/5.0 (compatible; Baiduspider/2.0)",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/131.0 Safari/537.36",
        "Scrapy/2.11",
        "",
        " ",
        "-",
    ],
)
def test_robots_and_those_who_do_not_say_who_they_are_are_crawlers(agent: str) -> None:
    assert ClientRules().access_method(agent) is AccessMethod.CRAWLER


def test_an_installation_can_add_patterns_which_are_asked_first() -> None:
    rules = ClientRules(crawler_patterns=["chrome/131"], program_patterns=["firefox", "tableau"])
    assert rules.access_method(CHROME) is AccessMethod.CRAWLER
    assert rules.access_method("Tableau/2024.2") is AccessMethod.TDM
