from datetime import date

import pytest
from markupsafe import Markup

from shared.web import charts
from shared.web.charts import Point, Score
from tests.unit.web.markup_tree import Element, parse

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def _bars(chart: Markup) -> list[Element]:
    return parse(chart).with_class("bar")


def _bar_chart(*values: float | None, maximum: float | None = None) -> Markup:
    points = [Point(f"M{position}", value) for position, value in enumerate(values)]
    return charts.bar_chart(points, title_finding="Use rose", unit="views", maximum=maximum)


def test_bars_stand_on_zero_and_keep_their_proportions() -> None:
    tall, half = _bars(_bar_chart(200, 100))
    assert float(tall.attributes["height"]) == 2 * float(half.attributes["height"])
    feet = {float(bar.attributes["y"]) + float(bar.attributes["height"]) for bar in (tall, half)}
    assert len(feet) == 1


def test_a_small_amount_is_still_seen_and_zero_is_not() -> None:
    _, small, none, gap = _bars(_bar_chart(1_000_000, 1, 0, None))
    assert [float(bar.attributes["height"]) for bar in (small, none, gap)] == [2.0, 0.0, 0.0]


def test_unknown_is_told_as_unknown_and_zero_as_zero() -> None:
    drawing = parse(_bar_chart(0, None, 5))
    assert drawing.all("desc")[0].text == "3 values. M0: 0 views; M1: not known; M2: 5 views."
    assert [label.text for label in drawing.with_class("bar-label")] == ["0", "–", "5"]


def test_small_multiples_share_a_scale() -> None:
    alone = float(_bars(_bar_chart(50))[0].attributes["height"])
    among_others = float(_bars(_bar_chart(50, maximum=100))[0].attributes["height"])
    assert among_others * 2 == alone


def test_an_amount_above_the_common_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 101"):
        _bar_chart(101, maximum=100)


def test_an_amount_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="give amounts of 0 or more"):
        _bar_chart(3, -1)


@pytest.mark.parametrize("draw", [charts.bar_chart, charts.line_chart])
@pytest.mark.parametrize("points", [[], [Point("Jan", None)]])
def test_a_chart_of_nothing_says_so(draw: object, points: list[Point]) -> None:
    assert callable(draw)
    drawing = parse(draw(points, title_finding="Use by month", unit="downloads"))
    assert not drawing.all("svg")
    assert (
        drawing.with_class("chart-empty")[0].text
        == "No downloads are known yet, so there is nothing to draw."
    )


def test_all_zero_is_drawn_as_zero() -> None:
    assert [float(bar.attributes["height"]) for bar in _bars(_bar_chart(0, 0))] == [0.0, 0.0]


def test_long_labels_lie_down_and_are_kept_whole_for_those_who_ask() -> None:
    label = "Emergency department visits " * 3 + "counted"
    drawing = parse(charts.bar_chart([Point(label, 4)], title_finding="One", unit="views"))
    assert drawing.with_class("axis-label")[0].text == "Emergency department visits Emergency d…"
    assert drawing.all("g")[0].all("title")[0].text == f"{label}: 4 views"


def test_one_point_is_accented_against_the_rest() -> None:
    points = [Point("Jan", 1), Point("Feb", 9, is_accented=True)]
    bars = _bars(charts.bar_chart(points, title_finding="February leads", unit="views"))
    assert ["bar-accent" in bar.classes for bar in bars] == [False, True]


def test_an_unknown_amount_breaks_the_line() -> None:
    points = [Point(str(day), value) for day, value in enumerate([1, 2, None, 3, 4])]
    drawing = parse(charts.line_chart(points, title_finding="Gap", unit="views"))
    assert len(drawing.all("polyline")) == 2


def test_a_line_labels_its_first_last_and_highest_point() -> None:
    points = [Point(str(day), value) for day, value in enumerate([3, 9, 2, 4])]
    drawing = parse(charts.line_chart(points, title_finding="Peak", unit="views"))
    assert [label.text for label in drawing.with_class("bar-label")] == ["3", "9", "4"]


def test_a_single_known_amount_is_a_dot_without_a_line() -> None:
    drawing = parse(charts.line_chart([Point("Jan", 5)], title_finding="One", unit="views"))
    assert not drawing.all("polyline")
    assert len(drawing.all("circle")) == 1


def test_a_sparkline_needs_two_known_amounts() -> None:
    spark = charts.sparkline([Point("Jan", 5), Point("Feb", None)], title_finding="Rise", unit="views")
    assert parse(spark).text == "no trend yet"


def test_a_sparkline_is_named_and_described() -> None:
    spark = parse(charts.sparkline([Point("Jan", 5), Point("Feb", 6)], title_finding="Rise", unit="views"))
    assert [e.text for e in spark.all("title", "desc")] == ["Rise", "2 values. Jan: 5 views; Feb: 6 views."]


def test_a_score_says_what_it_is_out_of_and_why() -> None:
    drawing = parse(charts.score_bars([Score("Completeness", 0.82, "2 gaps")], title_finding="Good"))
    assert drawing.with_class("score-value")[0].text == "82 of 100"
    assert drawing.with_class("score-reason")[0].text == "2 gaps"


def test_a_score_that_was_not_measured_is_not_zero() -> None:
    drawing = parse(charts.score_bars([Score("Accuracy", None)], title_finding="Open"))
    assert drawing.with_class("score-value")[0].text == "not measured"
    assert not drawing.with_class("bar-accent")
    unasked = parse(charts.score_bars([Score("Access", None, applies=False)], title_finding="Closed"))
    assert unasked.with_class("score-value")[0].text == "not applicable"


@pytest.mark.parametrize("score", [-0.1, 1.01, 82])
def test_a_score_outside_its_range_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="'Completeness'"):
        charts.score_bars([Score("Completeness", score)], title_finding="Wrong")


def test_labels_from_outside_are_escaped() -> None:
    chart = charts.bar_chart([Point("<b>", 1)], title_finding="<script>", unit="&")
    assert "<b>" not in chart
    assert "<script>" not in chart


def test_twelve_months_run_up_to_the_newest_and_name_the_year_where_it_turns() -> None:
    points = charts.month_points({date(2026, 2, 1): 7, date(2025, 2, 1): 99}, last_month=date(2026, 2, 20))
    assert [point.label for point in points] == [*MONTHS[2:], *MONTHS[:2]]
    assert [(point.full_label, point.note) for point in points if point.note] == [
        ("March 2025", "2025"),
        ("January 2026", "2026"),
    ]
    assert [(point.name, point.value) for point in points if point.is_accented] == [("February 2026", 7)]


def test_a_month_without_an_amount_is_not_known_rather_than_zero() -> None:
    points = charts.month_points({date(2026, 1, 1): 0}, last_month=date(2026, 2, 1), months=2)
    assert [point.value for point in points] == [0, None]


def test_a_point_is_named_by_its_full_label_or_by_label_and_note() -> None:
    assert Point("Jan", 1, note="2026").name == "Jan 2026"
    assert Point("Jan", 1, note="2026", full_label="January 2026").name == "January 2026"
