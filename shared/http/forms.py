"""Forms that lose nothing: one that comes back with an error shows all that was typed.

A route that takes a form says how its page is shown again, and what it calls the fields that people type in::

    @router.post("/sharing-requests/new", dependencies=[access("signed-in")])
    @shown_again(show, {"purpose": "What is the data for?"})
    async def take_form(…): ...

Whatever refuses the form (a rule, a field, its CSRF token, a conflict), ``show`` renders the page once more,
with a :class:`FormState`. Where that page cannot be shown (nobody is signed in any more, the thing is gone, a
store is away), the problem's own page carries the fields, and sends them again after the cure.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from shared.errors import DomainError, InvalidInputError, TransientError
from shared.http.csrf import CSRF_FIELD, is_form, is_same_site
from shared.http.problems import FieldProblem, ProblemError
from shared.web.elements import FieldError, KeptField, KeptForm

__all__ = [
    "NEW_FORM",
    "FormState",
    "ShowForm",
    "form_kept",
    "form_shown_again",
    "remember_form",
    "shown_again",
    "uuid_in",
]

_PAGE = "__nutmeg_form_page__"
_SENT = "sent_form"

_OUT_OF_DATE = (
    "The form was out of date",
    "Nothing was done and nothing is lost: check what you wrote, and send it again.",
)


@dataclass(frozen=True, slots=True)
class FormState:
    """A form as its page shows it: what was typed, and what is wrong; fresh without a ``problem``."""

    values: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    problem: ProblemError | None = None

    @property
    def status_code(self) -> int:
        """The status that the page is answered with."""
        return 200 if self.problem is None else self.problem.status

    def value(self, name: str, otherwise: str = "") -> str:
        """Return what was typed into a field; ``otherwise`` in a fresh form."""
        return self.values.get(name, otherwise)

    def error(self, name: str) -> str:
        """Return what is wrong with a field, with the cure; blank if nothing is."""
        return next((_words(one) for one in self._errors() if _field_of(one) == name), "")

    @property
    def written(self) -> list[tuple[str, str]]:
        """What people wrote, as (label, text): for a page that has no place left for it."""
        return [(label, self.values[name]) for name, label in self.labels.items() if self.values.get(name)]

    @property
    def summary(self) -> list[FieldError]:
        """What is wrong by field, for the head of the page."""
        return [FieldError(_field_of(one), _words(one)) for one in self._errors()]

    @property
    def notice(self) -> tuple[str, str]:
        """What is wrong with the whole, as a title and a sentence; blank where the fields tell it."""
        if self.problem is None or self.summary:
            return "", ""
        if self.problem.slug == "csrf":
            return _OUT_OF_DATE
        return self.problem.title, self.problem.detail

    @property
    def next_steps(self) -> Sequence[tuple[str, str]]:
        """The problem's ways on."""
        return () if self.problem is None else self.problem.next_steps

    def _errors(self) -> list[FieldProblem]:
        if self.problem is None:
            return []
        return [one for one in self.problem.errors if _field_of(one) in self.labels]


NEW_FORM = FormState()
"""A page that is opened, and not answered with."""

ShowForm: TypeAlias = Callable[[Request, FormState], Awaitable[Response]]
"""Renders the page of a form for the viewer of the request. It may raise what the page itself raises."""

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class _FormPage:
    show: ShowForm
    labels: Mapping[str, str]


def shown_again(show: ShowForm, labels: Mapping[str, str]) -> Callable[[Endpoint], Endpoint]:
    """Say how the page of a form is shown once more. ``labels``: the fields that people fill in, by name."""

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _PAGE, _FormPage(show, labels))
        return endpoint

    return mark


async def remember_form(request: Request) -> None:
    """A dependency of every route: keep the fields of a form beside its request, for whatever refuses it."""
    if request.method == "POST" and is_form(request):
        fields = (await request.form()).multi_items()
        kept = [(name, value) for name, value in fields if isinstance(value, str) and name != CSRF_FIELD]
        setattr(request.state, _SENT, kept)


async def form_shown_again(request: Request, problem: ProblemError) -> Response | None:
    """Return the form's page with what was typed and what is wrong; ``None`` where it can't be shown.

    Only who has passed the route's access is shown its page, and nothing that another site made up is.
    """
    page: _FormPage | None = getattr(request.scope.get("endpoint"), _PAGE, None)
    if page is None or _wants_json(request) or not getattr(request.state, "is_let_in", False):
        return None
    sent = _sent(request)
    if sent is None or any(one.parameter in request.path_params for one in problem.errors):
        return None
    try:
        response = await page.show(request, FormState(dict(sent), page.labels, problem))
    except (ProblemError, DomainError, TransientError):
        return None
    response.headers.update(problem.headers)
    return response


def uuid_in(text: str) -> UUID:
    """Return the id in a field that has not been checked. Raises ``InvalidInputError``."""
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidInputError("That is no id.", code="uuid") from error


def form_kept(request: Request, problem: ProblemError) -> KeptForm | None:
    """Return what was sent, for the page of a problem; ``None`` if that was no form of ours."""
    sent = None if request.method == "GET" else _sent(request)
    if sent is None:
        return None
    page: _FormPage | None = getattr(request.scope.get("endpoint"), _PAGE, None)
    labels = {} if page is None else page.labels
    return KeptForm(
        href=request.url.path,
        fields=[KeptField(name, value, labels.get(name, "")) for name, value in sent],
        needs_sign_in=problem.status == 401,
    )


def _wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "json" in accepted and "text/html" not in accepted


def _sent(request: Request) -> Sequence[tuple[str, str]] | None:
    if not is_same_site(request):
        return None
    if request.method == "GET":
        return request.query_params.multi_items()
    sent: Sequence[tuple[str, str]] | None = getattr(request.state, _SENT, None)
    return sent


def _field_of(problem: FieldProblem) -> str:
    return problem.parameter or (problem.pointer or "").removeprefix("#/")


def _words(problem: FieldProblem) -> str:
    # Our own rules speak in sentences; a checked type tells its cure better than its fault.
    if problem.detail.endswith("."):
        return f"{problem.detail} {problem.cure}".strip()
    return problem.cure or problem.detail
