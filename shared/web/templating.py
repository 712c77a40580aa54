"""Rendering pages: one Jinja environment for a service's templates and the shared layout.

A page template extends ``layout.html`` and imports ``components.html`` as ``ui``::

    templates = build_templates(Path(__file__).parent / "templates")
    return templates.render(request, "dataset.html", dataset=dataset)

What every page gets without asking, and where it comes from:

==================  =============================================================================
``viewer``          ``request.state.viewer``: an ``identity`` Viewer, ``ANONYMOUS`` by default
``csrf_token``      ``request.state.csrf_token``: text, or blank
``now``             ``request.app.state.now()``: an aware datetime; the system clock by default
``installation``    ``request.app.state.installation_name``: text, "Nutmeg" by default
``is_demo``         ``request.app.state.is_demo``: bool, False by default
``footer``          ``request.app.state.footer_facts()``: (label, value) pairs, none by default
``current_path``    the path of the address that was asked for
==================  =============================================================================

A name given to ``render`` wins over these.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from shared.identity.viewer import ANONYMOUS
from shared.web import charts, elements, wording
from shared.web.icons import icon
from shared.web.static_files import static_url

TEMPLATE_DIRECTORY: Final = Path(__file__).parent / "templates"

DEFAULT_INSTALLATION_NAME: Final = "Nutmeg"


class Templates:
    """A Jinja environment that renders a page for a request."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def render(
        self,
        request: Request,
        template_name: str,
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        **context: object,
    ) -> HTMLResponse:
        """Render a template with what every page gets.

        Raises jinja2.UndefinedError if the template uses a name that it was not given.
        """
        html = self.environment.get_template(template_name).render(page_context(request) | context)
        return HTMLResponse(html, status_code=status_code, headers=headers)


def page_context(request: Request) -> dict[str, object]:
    """Collect what every page gets. The table is in the module's docstring."""
    state = request.app.state
    now: Callable[[], datetime] = getattr(state, "now", _system_now)
    footer_facts: Callable[[], Sequence[tuple[str, str]]] = getattr(state, "footer_facts", tuple)
    return {
        "viewer": getattr(request.state, "viewer", None) or ANONYMOUS,
        "csrf_token": getattr(request.state, "csrf_token", None) or "",
        "now": now(),
        "installation": getattr(state, "installation_name", None) or DEFAULT_INSTALLATION_NAME,
        "is_demo": bool(getattr(state, "is_demo", False)),
        "footer": footer_facts(),
        "current_path": request.url.path,
    }


def _system_now() -> datetime:
    return datetime.now(UTC)


def build_templates(*template_dirs: Path) -> Templates:
    """Build the environment over a service's template directories.

    The shared templates come first, so that no service replaces the layout by accident.
    Raises NotADirectoryError if a directory is missing.
    """
    for directory in template_dirs:
        if not directory.is_dir():
            raise NotADirectoryError(f"{directory} holds no templates: it is not a directory.")
    environment = Environment(
        loader=FileSystemLoader([TEMPLATE_DIRECTORY, *template_dirs]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        ago=wording.ago,
        bytes=wording.size,
        exact_time=wording.exact_time,
        known=wording.known,
        long_date=wording.long_date,
        machine_time=wording.machine_time,
        number=wording.number,
        percent=wording.percent,
        plural=wording.plural,
    )
    environment.globals.update(
        bar_chart=charts.bar_chart,
        icon=icon,
        line_chart=charts.line_chart,
        score_bars=charts.score_bars,
        sparkline=charts.sparkline,
        static_url=static_url,
        Chip=elements.Chip,
        Column=elements.TableColumn,
        Crumb=elements.Crumb,
        FieldError=elements.FieldError,
        Option=elements.Option,
        Point=charts.Point,
    )
    return Templates(environment)
