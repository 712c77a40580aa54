"""Charts as inline SVG: pure functions from numbers to markup.

Manner: the title says the finding; marks carry their own numbers; bars start at zero; one accent against
grey; unknown is a gap with words, never a zero. Positions across are percentages and type is in pixels, so a
chart fills a phone or a desk without its words shrinking. Colours are classes of the style sheet: a strict
content security policy allows no style attribute. The numbers belong beside a chart: ``ui.chart_table``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from markupsafe import Markup

from shared.web.wording import NOT_KNOWN, compact_number, long_date, number, plural

NOT_MEASURED: Final = "not measured"
NOT_APPLICABLE: Final = "not applicable"

_LABEL_LENGTH_UPRIGHT_MAX = 8
_POINTS_UPRIGHT_MAX = 14
_LABEL_LENGTH_LYING_MAX = 40
_LABEL_ROOM_PX = 20
_LYING_ROW_PX = 44


@dataclass(frozen=True, slots=True)
class Point:
    """One amount with its label. None is "not known" and drawn as a gap.

    ``note`` is a second line under the label of an upright bar, such as the year; ``full_label`` is the label
    for tables and for those who listen, by default label and note; ``is_accented`` marks what the title
    speaks of.
    """

    label: str
    value: float | None
    note: str = ""
    full_label: str = ""
    is_accented: bool = False

    @property
    def name(self) -> str:
        """The label in full."""
        return self.full_label or f"{self.label} {self.note}".strip()


@dataclass(frozen=True, slots=True)
class Score:
    """One dimension's score from 0 to 1, None when it was not measured, and the reason in words.

    ``applies`` is false for a dimension that is not asked of this dataset at all.
    """

    label: str
    score: float | None
    reason: str = ""
    applies: bool = True


def month_points(
    amounts: Mapping[date, float | None], *, last_month: date, months: int = 12, accents_last: bool = True
) -> list[Point]:
    """Lay out monthly amounts as points, oldest first. A month without an amount is "not known".

    ``amounts`` is keyed by the first day of a month; ``last_month`` is any day of the newest month to show.
    """
    points = []
    for back in range(months - 1, -1, -1):
        index = last_month.year * 12 + last_month.month - 1 - back
        first = date(index // 12, index % 12 + 1, 1)
        name = long_date(first).split(" ", 1)[1]
        points.append(
            Point(
                label=name[:3],
                value=amounts.get(first),
                note=str(first.year) if first.month == 1 or back == months - 1 else "",
                full_label=name,
                is_accented=accents_last and back == 0,
            )
        )
    return points


def bar_chart(
    points: Sequence[Point],
    *,
    title_finding: str,
    unit: str,
    height: int = 200,
    maximum: float | None = None,
    shows_title: bool = True,
) -> Markup:
    """Draw bars from zero, upright for short labels (12 months), lying for long ones.

    ``unit`` is a plural noun ("downloads"); ``height`` in pixels of upright bars; ``maximum`` is the common
    scale of small multiples. Raises ValueError if an amount is negative or above ``maximum``.
    """
    measured = [point.value for point in points if point.value is not None]
    if not measured:
        return _empty_figure(title_finding, unit, shows_title)
    top = _scale_top(measured, maximum)
    is_upright = len(points) <= _POINTS_UPRIGHT_MAX and all(
        len(point.label) <= _LABEL_LENGTH_UPRIGHT_MAX for point in points
    )
    if is_upright:
        body = _upright_bars(points, unit, top, height)
    else:
        body, height = _lying_bars(points, unit, top), len(points) * _LYING_ROW_PX
    svg = _svg(body, title_finding, _describe(points, unit), height, "chart-bars")
    return _figure(svg, title_finding, shows_title)


def line_chart(
    points: Sequence[Point],
    *,
    title_finding: str,
    unit: str,
    height: int = 200,
    maximum: float | None = None,
    shows_title: bool = True,
) -> Markup:
    """Draw a line from a zero base, in the order given. An unknown amount breaks the line.

    Labelled are the first, the last and the highest point. Raises ValueError as ``bar_chart`` does.
    """
    measured = [point.value for point in points if point.value is not None]
    if not measured:
        return _empty_figure(title_finding, unit, shows_title)
    top = _scale_top(measured, maximum)
    plot_height = height - 2 * _LABEL_ROOM_PX
    places = _places(points, top, plot_height)
    lines = Markup("").join(
        Markup('<polyline class="chart-line" points="{}"/>').format(
            " ".join(f"{across:.2f},{down:.1f}" for across, down in run)
        )
        for run in _runs(places)
        if len(run) > 1
    )
    body = Markup(
        '<line class="chart-base" x1="0" x2="100%" y1="{base}" y2="{base}"/>'
        '<svg y="{room}" width="100%" height="{plot}" viewBox="0 0 100 {plot}" preserveAspectRatio="none">'
        "{lines}</svg>{marks}"
    ).format(
        base=height - _LABEL_ROOM_PX,
        room=_LABEL_ROOM_PX,
        plot=plot_height,
        lines=lines,
        marks=_line_marks(points, places, height),
    )
    return _figure(
        _svg(body, title_finding, _describe(points, unit), height, "chart-lines"), title_finding, shows_title
    )


def sparkline(points: Sequence[Point], *, title_finding: str, unit: str, height: int = 32) -> Markup:
    """Draw a small line without labels, to stand beside its number. Needs two known amounts to be a line."""
    measured = [point.value for point in points if point.value is not None]
    if len(measured) < 2:
        return Markup('<span class="not-known">no trend yet</span>')
    top = _scale_top(measured, None)
    places = _places(points, top, height - 4)
    runs = [run for run in _runs(places) if len(run) > 1]
    lines = Markup("").join(
        Markup('<polyline class="chart-line" points="{}"/>').format(
            " ".join(f"{across:.2f},{down + 2:.1f}" for across, down in run)
        )
        for run in runs
    )
    return Markup(
        '<svg class="sparkline" role="img" width="96" height="{height}" viewBox="0 0 100 {height}"'
        ' preserveAspectRatio="none"><title>{title}</title><desc>{description}</desc>{lines}</svg>'
    ).format(height=height, title=title_finding, description=_describe(points, unit), lines=lines)


def score_bars(scores: Sequence[Score], *, title_finding: str, shows_title: bool = True) -> Markup:
    """Draw scores out of 100 on one scale, each with its number and reason as text.

    Raises ValueError if a score is not between 0 and 1.
    """
    if not scores:
        return _empty_figure(title_finding, "scores", shows_title)
    rows = Markup("").join(_score_row(score) for score in scores)
    return _figure(Markup('<ul class="score-bars">{}</ul>').format(rows), title_finding, shows_title)


def _score_row(score: Score) -> Markup:
    if score.score is not None and not 0 <= score.score <= 1:
        raise ValueError(
            f"The score of {score.label!r} is {score.score}: give a number from 0 to 1, or None."
        )
    reason = (
        Markup('<span class="score-reason">{}</span>').format(score.reason) if score.reason else Markup("")
    )
    if score.score is None:
        words = NOT_MEASURED if score.applies else NOT_APPLICABLE
        bar = Markup('<rect class="bar-gap" width="100%" height="8" rx="4"/>')
    else:
        words = f"{round(score.score * 100)} of 100"
        bar = Markup(
            '<rect class="bar-track" width="100%" height="8" rx="4"/>'
            '<rect class="bar bar-accent" width="{:.1f}%" height="8" rx="4"/>'
        ).format(score.score * 100)
    return Markup(
        '<li><span class="score-label">{label}</span><span class="score-value">{words}</span>'
        '<svg class="score-bar" role="img" width="100%" height="8"><title>{label}: {words}</title>'
        "<desc>A bar from 0 to 100.</desc>{bar}</svg>{reason}</li>"
    ).format(label=score.label, words=words, bar=bar, reason=reason)


_UPRIGHT_BAR: Final = Markup(
    "<g><title>{name}: {words}</title>"
    '<rect class="{kind}" x="{left:.2f}%" y="{y:.1f}" width="{width:.2f}%" height="{length:.1f}" rx="2"/>'
    '<text class="{label_kind}" x="{middle:.2f}%" y="{above:.1f}" text-anchor="middle">{amount}</text>'
    '<text class="axis-label" x="{middle:.2f}%" y="{below}" text-anchor="middle">{label}</text>'
    '<text class="axis-label" x="{middle:.2f}%" y="{second}" text-anchor="middle">{note}</text></g>'
)

_LYING_BAR: Final = Markup(
    "<g><title>{name}: {words}</title>"
    '<text class="axis-label" x="0" y="{text_y}">{short}</text>'
    '<text class="bar-label" x="100%" y="{text_y}" text-anchor="end">{amount}</text>'
    '<rect class="bar-track" width="100%" y="{bar_y}" height="12" rx="2"/>'
    '<rect class="{kind}" width="{width:.2f}%" y="{bar_y}" height="12" rx="2"/></g>'
)


def _upright_bars(points: Sequence[Point], unit: str, top: float, height: int) -> Markup:
    has_notes = any(point.note for point in points)
    base = height - _LABEL_ROOM_PX - (16 if has_notes else 0)
    room = base - _LABEL_ROOM_PX
    slot = 100 / len(points)
    marks = [Markup('<line class="chart-base" x1="0" x2="100%" y1="{y}" y2="{y}"/>').format(y=base + 0.5)]
    for position, point in enumerate(points):
        length = 0.0 if point.value is None else room * point.value / top
        # An amount above zero must be seen, however small beside the others.
        length = max(length, 2.0) if point.value else length
        is_labelled_on_a_phone = point.is_accented or len(points) <= 6
        marks.append(
            _UPRIGHT_BAR.format(
                name=point.name,
                label=point.label,
                note=point.note,
                words=_amount(point.value, unit),
                kind=_bar_class(point, points),
                left=slot * (position + 0.14),
                width=slot * 0.72,
                y=base - length,
                length=length,
                label_kind="bar-label" if is_labelled_on_a_phone else "bar-label bar-label-minor",
                middle=slot * (position + 0.5),
                above=base - length - 6,
                amount="–" if point.value is None else compact_number(point.value),
                below=base + 16,
                second=base + 32,
            )
        )
    return Markup("").join(marks)


def _lying_bars(points: Sequence[Point], unit: str, top: float) -> Markup:
    rows = []
    for position, point in enumerate(points):
        y = position * _LYING_ROW_PX
        width = 0.0 if point.value is None else 100 * point.value / top
        rows.append(
            _LYING_BAR.format(
                name=point.name,
                words=_amount(point.value, unit),
                short=_shorten(point.label),
                amount=NOT_KNOWN if point.value is None else number(point.value),
                text_y=y + 15,
                bar_y=y + 22,
                width=max(width, 0.6) if point.value else width,
                kind=_bar_class(point, points),
            )
        )
    return Markup("").join(rows)


def _bar_class(point: Point, points: Sequence[Point]) -> str:
    """Accent what the title speaks of; without such a point, all bars are alike."""
    has_accent = any(other.is_accented for other in points)
    return "bar bar-accent" if point.is_accented or not has_accent else "bar"


def _line_marks(points: Sequence[Point], places: Sequence[tuple[float, float] | None], height: int) -> Markup:
    known = [position for position, place in enumerate(places) if place is not None]
    highest = max(known, key=lambda position: points[position].value or 0.0)
    marks = []
    for position in sorted({known[0], highest, known[-1]}):
        place = places[position]
        value = points[position].value
        if place is None or value is None:
            continue
        across, down = place
        marks.append(
            Markup(
                '<circle class="chart-dot" cx="{x:.2f}%" cy="{y:.1f}" r="4"/>'
                '<text class="bar-label" x="{x:.2f}%" y="{above:.1f}" text-anchor="{anchor}">{amount}</text>'
            ).format(
                x=across,
                y=down + _LABEL_ROOM_PX,
                above=down + _LABEL_ROOM_PX - 9,
                anchor=_anchor(across),
                amount=compact_number(value),
            )
        )
    for position in sorted({0, len(points) - 1}):
        across = _across(position, len(points))
        marks.append(
            Markup('<text class="axis-label" x="{:.2f}%" y="{}" text-anchor="{}">{} {}</text>').format(
                across, height - 4, _anchor(across), points[position].label, points[position].note
            )
        )
    return Markup("").join(marks)


def _anchor(across: float) -> str:
    if across < 8:
        return "start"
    return "end" if across > 92 else "middle"


def _across(position: int, count: int) -> float:
    """Give the place across in percent, with room for half a dot at both ends."""
    return 50.0 if count == 1 else 1 + 98 * position / (count - 1)


def _places(points: Sequence[Point], top: float, height: float) -> list[tuple[float, float] | None]:
    return [
        None if point.value is None else (_across(position, len(points)), height * (1 - point.value / top))
        for position, point in enumerate(points)
    ]


def _runs(places: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Cut the places into stretches without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for place in places:
        if place is None:
            runs.append([])
        else:
            runs[-1].append(place)
    return [run for run in runs if run]


def _scale_top(measured: Sequence[float], maximum: float | None) -> float:
    if min(measured) < 0:
        raise ValueError(f"A chart from zero cannot show {min(measured)}: give amounts of 0 or more.")
    if maximum is None:
        return max(measured) or 1.0
    if maximum <= 0 or max(measured) > maximum:
        raise ValueError(f"maximum is {maximum}: give the highest of all charts, at least {max(measured)}.")
    return maximum


def _amount(value: float | None, unit: str) -> str:
    return NOT_KNOWN if value is None else f"{number(value)} {unit}"


def _describe(points: Sequence[Point], unit: str) -> str:
    parts = [f"{point.name}: {_amount(point.value, unit)}" for point in points]
    return f"{plural(len(points), 'value')}. " + "; ".join(parts) + "."


def _shorten(label: str) -> str:
    if len(label) <= _LABEL_LENGTH_LYING_MAX:
        return label
    return label[: _LABEL_LENGTH_LYING_MAX - 1].rstrip() + "…"


def _svg(body: Markup, title: str, description: str, height: int, kind: str) -> Markup:
    return Markup(
        '<svg class="{}" role="img" width="100%" height="{}"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(kind, height, title, description, body)


def _figure(drawing: Markup, title: str, shows_title: bool) -> Markup:
    caption = Markup("<figcaption>{}</figcaption>").format(title) if shows_title else Markup("")
    return Markup('<figure class="chart">{}{}</figure>').format(caption, drawing)


def _empty_figure(title: str, unit: str, shows_title: bool) -> Markup:
    words = Markup('<p class="chart-empty">No {} are known yet, so there is nothing to draw.</p>').format(
        unit
    )
    return _figure(words, title, shows_title)
