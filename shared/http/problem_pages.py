"""Problems as pages, in the layout of all pages."""

from starlette.requests import Request
from starlette.responses import Response

from shared.http.forms import form_kept
from shared.http.problems import ProblemError, ProblemPage
from shared.web.elements import Problem
from shared.web.templating import Templates

__all__ = ["problem_page"]


def problem_page(templates: Templates) -> ProblemPage:
    """Return what renders a problem with ``problem.html``."""

    def render(request: Request, problem: ProblemError) -> Response:
        form = form_kept(request, problem)
        next_steps = problem.next_steps
        if form is not None and form.needs_sign_in:
            # A link that leaves this page would lose what was written on it.
            next_steps = (("Sign in on a new tab, as told below, and send it again.", ""),)
        return templates.render(
            request,
            "problem.html",
            status_code=problem.status,
            problem=Problem(
                title=problem.title,
                status=problem.status,
                detail=problem.detail,
                kept=problem.kept,
                errors=[(error.place, error.detail, error.cure) for error in problem.errors],
                next_steps=next_steps,
                request_id=getattr(request.state, "request_id", ""),
            ),
            form=form,
        )

    return render
