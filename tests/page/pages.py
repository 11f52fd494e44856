"""A page read back: its elements, their texts, and what its data blocks hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = frozenset(("br", "input", "meta"))


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(one if isinstance(one, str) else one.text for one in self.children)

    def walk(self) -> Iterator[Element]:
        yield self
        for one in self.children:
            if isinstance(one, Element):
                yield from one.walk()

    def all(self, name: str, kind: str = "") -> list[Element]:
        """Elements of a name and, if it is given, of a class."""
        return [
            one
            for one in self.walk()
            if name in ("*", one.name) and (not kind or kind in (one.attributes.get("class") or "").split())
        ]

    def by_id(self, identity: str) -> Element:
        (found,) = [one for one in self.walk() if one.attributes.get("id") == identity]
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("#root", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, (tag, self.open[-1])
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def read(page: str) -> Element:
    """The page as a tree. Fails where an element is not closed, or an attribute is there twice."""
    parser = _Parser()
    parser.feed(page)
    parser.close()
    assert parser.open == [parser.root]
    return parser.root


def data(page: Element, name: str) -> Any:
    """What a data block holds."""
    block = page.by_id(name)
    assert block.attributes["type"] == "application/json"
    return json.loads(block.text)
