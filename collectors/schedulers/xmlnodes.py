"""XML as nodes with lines. Document types, and with them entities, are refused; depth and number are limited."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

MAX_BYTES: Final = 16 << 20
MAX_DEPTH: Final = 200
MAX_NODES: Final = 500_000

_DECLARATION: Final = re.compile(r"<\?xml\b[^>]{0,500}\?>", re.IGNORECASE)
# Characters that XML 1.0 forbids, and that XML 1.1 allows as references only.
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


class XmlProblem(Exception):  # noqa: N818 - it is what a file has, and is always caught
    """Why a text is not read, and the line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class XmlNode:
    """One element: its name without a namespace, attributes, text up to its first child, children, line from 1."""

    __slots__ = ("attributes", "children", "line", "name", "parts")

    def __init__(self, name: str, attributes: dict[str, str], line: int) -> None:
        self.name = name
        self.attributes = attributes
        self.line = line
        self.parts: list[str] = []
        self.children: list[XmlNode] = []

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def walk(self) -> Iterator[XmlNode]:
        """This element and all below it, in order."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def find(self, *names: str) -> XmlNode | None:
        """The first element behind several names, one inside the other."""
        node: XmlNode | None = self
        for name in names:
            node = next((child for child in node.children if child.name == name), None) if node is not None else None
        return node

    def all(self, name: str) -> list[XmlNode]:
        """The children of a name."""
        return [child for child in self.children if child.name == name]

    def value(self, *names: str) -> str:
        """The text behind several names, trimmed; empty if there is none."""
        node = self.find(*names)
        return node.text.strip() if node is not None else ""


def read_xml(text: str, first_line: int = 1) -> XmlNode:
    """The root of a document. Declarations are dropped wherever they stand: they lie about encodings and versions.

    Raises XmlProblem.
    """
    if len(text) > MAX_BYTES:
        raise XmlProblem(0, f"larger than {MAX_BYTES >> 20} MiB")
    text = _FORBIDDEN.sub(" ", _DECLARATION.sub("", text))
    # Lines before the root count, and only blanks may stand there.
    start = len(text) - len(text.lstrip())
    first_line += text.count("\n", 0, start)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    root: list[XmlNode] = []
    stack: list[XmlNode] = []
    count = 0

    def line() -> int:
        return parser.CurrentLineNumber + first_line - 1

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(stack) >= MAX_DEPTH:
            raise XmlProblem(line(), f"nested deeper than {MAX_DEPTH}")
        if count > MAX_NODES:
            raise XmlProblem(line(), f"more than {MAX_NODES:,} elements")
        bare = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        node = XmlNode(name.rpartition(" ")[2], bare, line())
        (stack[-1].children if stack else root).append(node)
        stack.append(node)

    def end(_name: str) -> None:
        stack.pop()

    def data(written: str) -> None:
        if stack:
            stack[-1].parts.append(written)

    def doctype(*_: object) -> None:
        raise XmlProblem(line(), "a document type: entities are not read")

    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text[start:].encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise XmlProblem(error.lineno + first_line - 1, str(error).partition(":")[0]) from None
    if not root:
        raise XmlProblem(first_line, "no element")
    return root[0]
