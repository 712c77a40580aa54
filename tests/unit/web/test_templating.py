from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from jinja2 import UndefinedError
from starlette.requests import Request

from shared.identity.viewer import ANONYMOUS
from shared.web.icons import DRAWINGS, icon
from shared.web.templating import Templates, build_templates


@pytest.fixture
def request_without_state() -> Request:
    return Request(
        {"type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": [], "app": FastAPI()}
    )


def _templates(directory: Path, **files: str) -> Templates:
    for name, text in files.items():
        (directory / f"{name}.html").write_text(text, encoding="utf-8")
    return build_templates(directory)


def _body(templates: Templates, request: Request, **context: Any) -> str:
    return bytes(templates.render(request, "page.html", **context).body).decode()


def test_a_page_gets_defaults_where_the_application_says_nothing(
    tmp_path: Path, request_without_state: Request
) -> None:
    text = "{{ installation }}|{{ viewer.is_signed_in }}|{{ csrf_token }}|{{ is_demo }}|{{ footer }}"
    body = _body(_templates(tmp_path, page=text), request_without_state)
    assert body == "Nutmeg|False||False|()"


def test_the_clock_is_the_applications(tmp_path: Path, request_without_state: Request) -> None:
    request_without_state.app.state.now = lambda: datetime(2031, 1, 2, tzinfo=UTC)
    assert (
        _body(_templates(tmp_path, page="{{ now | long_date }}"), request_without_state) == "2 January 2031"
    )


def test_the_system_clock_is_the_default(tmp_path: Path, request_without_state: Request) -> None:
    assert _body(_templates(tmp_path, page="{{ now | ago(now) }}"), request_without_state) == "just now"


def test_what_a_page_gives_wins(tmp_path: Path, request_without_state: Request) -> None:
    templates = _templates(tmp_path, page="{{ installation }}")
    assert _body(templates, request_without_state, installation="Mine") == "Mine"


def test_a_name_that_was_not_given_is_an_error(tmp_path: Path, request_without_state: Request) -> None:
    with pytest.raises(UndefinedError, match="datasets"):
        _body(_templates(tmp_path, page="{{ datasets }}"), request_without_state)


def test_a_service_cannot_replace_the_layout_by_accident(
    tmp_path: Path, request_without_state: Request
) -> None:
    child = "{% extends 'layout.html' %}{% block title %}T{% endblock %}{% block content %}C{% endblock %}"
    body = _body(_templates(tmp_path, layout="other", page=child), request_without_state)
    assert "<title>T – Nutmeg</title>" in body


def test_a_missing_viewer_is_the_public(tmp_path: Path, request_without_state: Request) -> None:
    request_without_state.state.viewer = None
    body = _body(_templates(tmp_path, page="{{ viewer == wanted }}"), request_without_state, wanted=ANONYMOUS)
    assert body == "True"


def test_status_and_headers_are_passed_on(tmp_path: Path, request_without_state: Request) -> None:
    templates = _templates(tmp_path, page="gone")
    answer = templates.render(
        request_without_state, "page.html", status_code=410, headers={"x-reason": "retired"}
    )
    assert (answer.status_code, answer.headers["x-reason"]) == (410, "retired")


def test_a_missing_template_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="absent"):
        build_templates(tmp_path / "absent")


def test_an_icon_is_decoration_unless_it_is_named() -> None:
    assert 'aria-hidden="true"' in icon("lock")
    assert 'role="img" aria-label="Restricted &amp; closed"' in icon("lock", "Restricted & closed")


def test_an_unknown_icon_is_answered_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="There are: ask, bad, "):
        icon("unicorn")


def test_the_eight_subjects_and_four_states_have_icons() -> None:
    subjects = {"education", "health", "fraud", "substance", "resilience", "traffic", "economy", "land"}
    assert subjects | {"ok", "warn", "bad", "unknown"} <= set(DRAWINGS)
