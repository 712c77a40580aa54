"""Problems as pages, in the layout of all pages."""

from starlette.requests import Request
from starlette.responses import Response

from shared.http.problems import ProblemError, ProblemPage
from shared.web.elements import Problem
from shared.web.templating import Templates

__all__ = ["problem_page"]


def problem_page(templates: Templates) -> ProblemPage:
    """Return what renders a problem with ``problem.html``."""

    def render(request: Request, problem: ProblemError) -> Response:
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
                next_steps=problem.next_steps,
                request_id=getattr(request.state, "request_id", ""),
            ),
        )

    return render
