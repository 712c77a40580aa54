"""A small tree over the standard library's HTML parser, for tests that ask about meaning rather than text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID_TAGS = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: "Element | None" = None
    nodes: list["Element | str"] = field(default_factory=list)

    @property
    def children(self) -> list["Element"]:
        return [node for node in self.nodes if isinstance(node, Element)]

    def walk(self) -> Iterator["Element"]:
        yield self
        for child in self.children:
            yield from child.walk()

    def all(self, *tags: str) -> list["Element"]:
        return [element for element in self.walk() if element.tag in tags]

    def with_class(self, name: str) -> list["Element"]:
        return [element for element in self.walk() if name in element.classes]

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    @property
    def text(self) -> str:
        return " ".join(self._whole_text().split())

    def _whole_text(self) -> str:
        return "".join(node if isinstance(node, str) else node._whole_text() for node in self.nodes)

    @property
    def ancestors(self) -> Iterator["Element"]:
        above = self.parent
        while above is not None:
            yield above
            above = above.parent


class _TreeBuilder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("#document", {})
        self.open = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.open)
        self.open.nodes.append(element)
        if tag not in VOID_TAGS:
            self.open = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.nodes.append(Element(tag, {name: value or "" for name, value in attrs}, self.open))

    def handle_endtag(self, tag: str) -> None:
        if self.open.tag != tag:
            raise ValueError(f"</{tag}> closes <{self.open.tag}> at line {self.getpos()[0]}")
        self.open = self.open.parent or self.root

    def handle_data(self, data: str) -> None:
        self.open.nodes.append(data)


def parse(html: str) -> Element:
    """Read well-nested HTML. Raises ValueError where an end tag closes another element."""
    builder = _TreeBuilder()
    builder.feed(html)
    builder.close()
    if builder.open is not builder.root:
        raise ValueError(f"<{builder.open.tag}> is never closed")
    return builder.root
