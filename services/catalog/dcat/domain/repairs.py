"""What was wrong with a source record and what was done about it, collected while it is read."""

from dataclasses import dataclass, field

from shared.events.catalog import Cure, TruncatedText

CURES_MAX = 50
"""A record with more defects than this has told its story; the rest are counted in the last entry."""
_EXCERPT_CHARACTERS_MAX = 80


def excerpt(value: object) -> str:
    """A short, printable quotation of an offending value."""
    text = value if isinstance(value, str) else type(value).__name__
    line = " ".join(text[: _EXCERPT_CHARACTERS_MAX * 4].split())
    printable = "".join(character if character.isprintable() else "�" for character in line)
    if len(printable) > _EXCERPT_CHARACTERS_MAX:
        printable = printable[:_EXCERPT_CHARACTERS_MAX] + "…"
    return f"“{printable}”"


def json_type(value: object) -> str:
    """The JSON name of a value's type, with its article, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case dict():
            return "an object"
        case list() | tuple():
            return "an array"
        case _:
            return "a number"


@dataclass(slots=True)
class Repairs:
    """The running list of one record; :meth:`cures` gives the bounded result."""

    entries: list[Cure] = field(default_factory=list)
    truncated: list[TruncatedText] = field(default_factory=list)
    left_off: int = 0

    def add(self, field_name: str, message: str, cure: str) -> None:
        """Note that ``field_name`` (DCAT path) ``message`` (completes "the field …"), and what was done."""
        if len(self.entries) < CURES_MAX - 1:
            self.entries.append(Cure(field=field_name, message=message, cure=cure))
        else:
            self.left_off += 1

    def wrong_type(self, field_name: str, value: object, expected: str, cure: str) -> None:
        """Note a value of another JSON type than DCAT-US 1.1 asks for."""
        self.add(field_name, f"is {json_type(value)} where DCAT-US asks for {expected}.", cure)

    def cures(self) -> tuple[Cure, ...]:
        """All entries; the last one counts those that were left off."""
        if not self.left_off:
            return tuple(self.entries)
        rest = Cure(
            field="dataset",
            message=f"has {self.left_off:,} more defects of the kinds above.",
            cure="Repaired in the same way; correct the feed's template.",
        )
        return (*self.entries, rest)
