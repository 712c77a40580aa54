"""The shapes that components take: what a page hands to a macro of ``components.html``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["ok", "warn", "bad", "unknown", "info", "neutral"]


@dataclass(frozen=True, slots=True)
class Crumb:
    """One step of the way here. The last one has no address: it is this page."""

    label: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A table column. Numeric ones are aligned right and their numbers grouped."""

    label: str
    is_numeric: bool = False


@dataclass(frozen=True, slots=True)
class FacetOption:
    """One value to narrow by. ``href`` is the page with this value toggled."""

    label: str
    count: int | None
    href: str
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Facet:
    """One question to narrow by, with its values in the order to show.

    ``more_href`` is the page that lists more of them, where these are not all.
    """

    title: str
    options: Sequence[FacetOption]
    more_href: str = ""


@dataclass(frozen=True, slots=True)
class Chip:
    """A chosen filter; ``remove_href`` is the page without it; ``group`` says what it filters ("Agency")."""

    label: str
    remove_href: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """A choice in a select, a radio group or a group of check boxes."""

    value: str
    label: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class FieldError:
    """A form error. ``field_id`` is the id of the input, so that the summary can link to it."""

    field_id: str
    message: str


@dataclass(frozen=True, slots=True)
class KeptField:
    """A field of a form that could not be taken. Without a label it is sent again unseen."""

    name: str
    value: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class KeptForm:
    """A form that could not be taken, to be sent again to ``href``."""

    href: str
    fields: Sequence[KeptField]
    needs_sign_in: bool = False

    @property
    def is_written(self) -> bool:
        """Whether a person wrote in it, and did not only press a button."""
        return any(one.label for one in self.fields)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a process. ``note`` says who or what; ``word`` replaces the state's own word."""

    title: str
    state: Literal["done", "current", "todo", "stopped"]
    note: str = ""
    at: datetime | None = None
    word: str = ""


@dataclass(frozen=True, slots=True)
class Hop:
    """One box of an event's path. ``milliseconds`` are those since the hop before, None while it waits."""

    name: str
    detail: str = ""
    state: Literal["done", "waiting", "failed"] = "done"
    milliseconds: float | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """An RFC 9457 problem told to a person: what happened, what was kept, what to do.

    ``title``, ``status``, ``detail`` as in RFC 9457 section 3.1; ``errors`` are (field, message, cure).
    ``next_steps`` are (label, address) pairs; an empty address makes a plain sentence.
    """

    title: str
    status: int
    detail: str = ""
    kept: str = ""
    errors: Sequence[tuple[str, str, str]] = ()
    next_steps: Sequence[tuple[str, str]] = ()
    request_id: str = ""
