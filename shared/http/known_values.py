"""Refuses a filter value that is none: a misspelt one would find nothing, and look like an answer."""

from collections.abc import Collection, Iterable

from rapidfuzz import fuzz

from shared.http.problems import FieldProblem, ProblemError

__all__ = ["require_known_values"]

VALUES_TOLD_MAX = 50
CHARACTERS_TOLD_MAX = 100


def require_known_values(
    parameter: str,
    given: Iterable[str],
    known: Collection[str],
    *,
    next_steps: Iterable[tuple[str, str]] = (),
) -> None:
    """Raise the 422 problem that names each unknown value of ``parameter``, and those there are.

    ``known`` holds only what the viewer may see: the problem tells it, the most alike first.
    """
    unknown = [value for value in dict.fromkeys(given) if value not in known]
    if not unknown:
        return
    errors = [
        FieldProblem(
            f"There is no {parameter} {value[:CHARACTERS_TOLD_MAX]!r}.",
            _cure(value, known),
            parameter=parameter,
            code="unknown_value",
        )
        for value in unknown
    ]
    raise ProblemError(
        422,
        "unknown-value",
        "A filter has a value that is not known here",
        f"{errors[0].detail} {errors[0].cure}",
        errors=errors,
        next_steps=tuple(next_steps),
    )


def _cure(value: str, known: Collection[str]) -> str:
    if not known:
        return "There is none that you may see; leave the filter out."
    asked = value[:CHARACTERS_TOLD_MAX].lower()
    nearest = sorted(known, key=lambda one: (-fuzz.ratio(asked, one.lower()), one))
    rest = len(nearest) - VALUES_TOLD_MAX
    more = f" (and {rest} more)" if rest > 0 else ""
    return f"Use one of {', '.join(nearest[:VALUES_TOLD_MAX])}{more}."
