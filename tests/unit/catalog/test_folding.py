"""Several changes of one dataset are one line."""

from datetime import timedelta

from services.catalog.changes_feed.domain.history import fold_changes
from tests.unit.catalog import page_views as views


def test_one_change_stays_as_it_is() -> None:
    line = views.change(1)
    assert fold_changes([line]) == line


def test_changes_are_one_line_with_every_field_once_and_the_newest_time() -> None:
    newest = views.change(1, changed_fields=("title", "license"))
    older = views.change(5, changed_fields=("license", "keywords"), title="An older title")
    folded = fold_changes([newest, older])
    assert folded.changed_fields == ("title", "license", "keywords")
    assert (folded.title, folded.happened_at, folded.times) == (newest.title, newest.happened_at, 2)
    assert newest.happened_at - older.happened_at == timedelta(hours=4)


def test_what_came_and_changed_is_new_and_what_left_is_retired() -> None:
    came = views.change(9, kind="registered", changed_fields=())
    changed = views.change(5)
    gone = views.change(1, kind="retired", changed_fields=(), reason="It left its source.")
    assert fold_changes([changed, came]).kind == "registered"
    assert fold_changes([changed, came]).changed_fields == ()
    left = fold_changes([gone, changed, came])
    assert (left.kind, left.reason, left.times) == ("retired", "It left its source.", 3)
