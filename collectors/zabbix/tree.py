"""An export in XML, JSON or YAML as one kind of tree, with lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from auditor.api import Where, YamlNode, decode, excerpt, read_yaml

SIZE_LIMIT: Final = 32 * 1024 * 1024
DEPTH_LIMIT: Final = 60
ITEM_LIMIT: Final = 1_000_000


class BadExportError(ValueError):
    """What can't be read: why, and on which line."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(slots=True)
class Item:
    """An element, a map or a scalar. The members of a list have no key in JSON and YAML, and their type's in XML."""

    key: str
    line: int
    text: str = ""
    children: list[Item] = field(default_factory=list)

    def get(self, key: str) -> Item | None:
        """The first child with this key."""
        return next((child for child in self.children if child.key == key), None)

    def value(self, *keys: str) -> str:
        """The text behind these keys; empty if there is none."""
        at: Item | None = self
        for key in keys:
            at = at.get(key) if at is not None else None
        return at.text.strip() if at is not None else ""

    def list(self, key: str) -> Sequence[Item]:
        """The members of a list."""
        found = self.get(key)
        return found.children if found is not None else ()

    def walk(self) -> Iterator[Item]:
        """This and all below it."""
        pending = [self]
        while pending:
            one = pending.pop()
            yield one
            pending.extend(reversed(one.children))


@dataclass(frozen=True, slots=True)
class Export:
    """The `zabbix_export` and the lines it is written on."""

    root: Item
    lines: Sequence[str]

    def where(self, item: Item) -> Where:
        line = self.lines[item.line - 1] if 0 < item.line <= len(self.lines) else ""
        if len(line) > 2000:
            # Many exports are one line: what is shown is the item's own value.
            line = item.text or item.key
        return Where(item.line, excerpt(line))


def read_export(content: bytes) -> Export:
    """The tree of an export. Raises BadExportError."""
    if len(content) > SIZE_LIMIT:
        raise BadExportError("larger than 32 MiB", 0)
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return Export(_xml(content), re.split(r"\r\n|\n", decode(content)))
    stream = read_yaml(content)
    root = stream.documents[0].get("zabbix_export") if stream.documents and stream.documents[0].is_map else None
    if root is None:
        problem = stream.problem
        raise BadExportError(problem.reason if problem else "no zabbix_export in it", problem.line if problem else 0)
    return Export(_yaml(root), stream.lines)


def _yaml(root: YamlNode) -> Item:
    made = Item("zabbix_export", root.line)
    pending = [(root, made)]
    while pending:
        node, item = pending.pop()
        if node.is_scalar:
            item.text = node.scalar
        members = [(key.written, value) for key, value in node.items()] if node.is_map else []
        members += [("", element) for element in node.elements]
        for key, value in members:
            child = Item(key, value.line)
            item.children.append(child)
            pending.append((value, child))
    return made


def _xml(content: bytes) -> Item:
    """The tree of an XML file. Document types, and with them entities, are refused."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    root = Item("", 0)
    stack = [root]
    count = 0

    def refuse(*_: object) -> None:
        raise BadExportError("a document type, which may hold entities", parser.CurrentLineNumber)

    def start(tag: str, _: object) -> None:
        nonlocal count
        count += 1
        if len(stack) > DEPTH_LIMIT or count > ITEM_LIMIT:
            raise BadExportError(f"nested deeper than {DEPTH_LIMIT}, or too large", parser.CurrentLineNumber)
        item = Item(tag, parser.CurrentLineNumber)
        stack[-1].children.append(item)
        stack.append(item)

    def end(_: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        stack[-1].text += data

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        reason = expat.errors.messages.get(error.code, "not XML")
        raise BadExportError(reason, error.lineno) from None
    except (ValueError, LookupError) as error:
        if isinstance(error, BadExportError):
            raise
        raise BadExportError("an unknown encoding", 0) from None
    found = root.get("zabbix_export")
    if found is None:
        raise BadExportError("no zabbix_export in it", 0)
    return found
