"""YAML as nodes with positions: what was written, on which line, whatever YAML 1.1 would make of it.

Values are never converted: `on`, `22:30`, `=` and `0644` stay text, `!vault` and other unknown tags survive. A stream
may hold several documents; those before an error are kept. Limits are the size of the text, the depth of nesting, and
the number of nodes with every alias expanded, so that a bomb or a loop is an error with its line, and never a hang.

libyaml (PyYAML's CSafeLoader) composes. It recurses without a limit of its own, and 50,000 nested brackets crash the
process (libyaml 0.2.5, PyYAML 6.0.3): text that could nest deeply is measured first, by events, without recursion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from auditor.model import Where
from auditor.text import decode, excerpt

if TYPE_CHECKING:
    import yaml

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 100
MAX_NODES: Final = 1_000_000
"""Nodes of one document, with aliases counted as often as they are used."""

MAX_TEMPLATE_LINE: Final = 10_000
"""Characters of a line in which templates are looked for."""

TEMPLATE: Final = "template-value"
"""What `without_templates` puts in place of a template's expression. It is no host name that anyone has."""

_LINE: Final = re.compile(r"\r\n|\n|\r")
# Line breaks to YAML, but to no other tool that counts lines.
_ODD_BREAKS: Final = str.maketrans({"\x85": " ", "\u2028": " ", "\u2029": " "})
_PLAIN: Final = "tag:yaml.org,2002:str"
_BRACKET: Final = re.compile(r"[\[\]{}]")
_DEEP_BLOCK: Final = re.compile(r"[\n\r][ \t?:-]{200}")
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = dict.fromkeys(("true", "yes", "on", "y"), True) | dict.fromkeys(("false", "no", "off", "n"), False)
_TEMPLATE_LINE: Final = re.compile(
    r"^[ \t]*(?:(?:\{%(?:[^%]|%(?!\}))*%\}|\{#(?:[^#]|#(?!\}))*#\}|\{\{-?\s*(?:/\*(?:[^*]|\*(?!/))*\*/|"
    r"(?:if|else|end|range|with|define|template|include|block)\b[^}]*)\s*-?\}\})[ \t]*)+$"
)
_TEMPLATE_BLOCK: Final = re.compile(r"\{%.*?%\}|\{#.*?#\}|<%.*?%>")
_TEMPLATE_VALUE: Final = re.compile(r"\{\{.*?\}\}")


class YamlNode:
    """One scalar, list or map. `line` counts from 1 and is where the value starts.

    `tag` is an explicit tag such as `!vault`, or empty. `quoted` tells `"null"` from `null`. `written` is the text of a
    scalar, `elements` the members of a list, `pairs` those of a map as written: duplicates and merge keys included.
    """

    __slots__ = ("_merged", "elements", "kind", "line", "pairs", "quoted", "tag", "written")

    def __init__(self, kind: str, line: int, tag: str = "", quoted: bool = False, text: str = "") -> None:
        self.kind = kind
        self.line = line
        self.tag = tag
        self.quoted = quoted
        self.written = text
        self.elements: tuple[YamlNode, ...] = ()
        self.pairs: tuple[tuple[YamlNode, YamlNode], ...] = ()
        self._merged: dict[str, tuple[YamlNode, YamlNode]] | None = None

    def __repr__(self) -> str:
        return f"<YamlNode {self.kind} line {self.line}>"

    @property
    def is_map(self) -> bool:
        return self.kind == "map"

    @property
    def is_list(self) -> bool:
        return self.kind == "list"

    @property
    def is_scalar(self) -> bool:
        return self.kind == "scalar"

    @property
    def is_null(self) -> bool:
        """Whether this is a plain `null`, `~` or nothing at all."""
        return self.kind == "scalar" and not self.quoted and not self.tag and self.written in _NULLS

    @property
    def scalar(self) -> str:
        """The text of a scalar as it was written, escapes of quotes resolved; empty for null, lists and maps."""
        return "" if self.is_null else self.written

    @property
    def boolean(self) -> bool | None:
        """A plain boolean in any spelling of YAML 1.1; None if it is none."""
        return None if self.quoted else _BOOLEANS.get(self.written.lower())

    def index(self) -> dict[str, tuple[YamlNode, YamlNode]]:
        """Keys of a map with their nodes, merge keys applied. Keys that are lists or maps are left out."""
        if self._merged is None:
            own: dict[str, tuple[YamlNode, YamlNode]] = {}
            merged: dict[str, tuple[YamlNode, YamlNode]] = {}
            for key, value in self.pairs:
                if key.kind != "scalar":
                    continue
                if key.written == "<<" and not key.quoted and value.kind != "scalar":
                    for source in value.elements or (value,):
                        for name, pair in source.index().items():
                            merged.setdefault(name, pair)
                else:
                    own[key.written] = (key, value)
            # The same order as written, and what the map says itself wins.
            self._merged = own | {name: pair for name, pair in merged.items() if name not in own}
        return self._merged

    def get(self, key: str) -> YamlNode | None:
        """The value of a key of a map, merge keys (`<<`) applied; the last one if the key is there twice."""
        pair = self.index().get(key)
        return pair[1] if pair else None

    def at(self, *keys: str) -> YamlNode | None:
        """The value behind several keys, one inside the other."""
        node: YamlNode | None = self
        for key in keys:
            node = node.get(key) if node is not None else None
        return node

    def items(self) -> Iterator[tuple[YamlNode, YamlNode]]:
        """Keys and values of a map, merge keys applied. Keys that are lists or maps are left out."""
        return iter(self.index().values())

    def text(self, key: str, default: str = "") -> str:
        """The scalar of a key; `default` if it is missing, null, a list or a map."""
        node = self.get(key)
        return default if node is None or node.kind != "scalar" or node.is_null else node.written

    def children(self, key: str) -> tuple[YamlNode, ...]:
        """The members of the list of a key; a single scalar or map counts as a list of one."""
        node = self.get(key)
        if node is None or node.is_null:
            return ()
        return node.elements if node.kind == "list" else (node,)

    def walk(self) -> Iterator[YamlNode]:
        """This node and all below it, keys included, each node once even if aliases repeat it."""
        stack, seen = [self], set[int]()
        while stack:
            node = stack.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            yield node
            stack.extend(reversed(node.elements))
            for key, value in reversed(node.pairs):
                stack += (value, key)

    def plain(self) -> Any:
        """The same as dicts, lists and strings; null is None. Other scalars stay the text that was written."""
        if self.kind == "map":
            return {name: value.plain() for name, (_, value) in self.index().items()}
        if self.kind == "list":
            return [element.plain() for element in self.elements]
        return None if self.is_null else self.written


@dataclass(frozen=True, slots=True)
class YamlProblem:
    """Why a stream could not be read to its end, and the line (from 1; 0 if unknown)."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class YamlStream:
    """The documents of one file, the error that ended them if any, and the file's lines."""

    documents: tuple[YamlNode, ...]
    problem: YamlProblem | None
    lines: Sequence[str]
    places: dict[int, Where] = field(default_factory=dict, compare=False, repr=False)
    """Places that were asked for: one long line may hold thousands of values."""

    def where(self, node: YamlNode | int) -> Where:
        """The place of a node (or of a line) with its excerpt."""
        line = node if isinstance(node, int) else node.line
        place = self.places.get(line)
        if place is None:
            place = Where(line, excerpt(self.lines[line - 1]) if 0 < line <= len(self.lines) else "")
            self.places[line] = place
        return place


def read_yaml(content: bytes | str) -> YamlStream:
    """All documents of a YAML (or JSON) stream. Never raises: what is wrong is the stream's `problem`."""
    if len(content) > MAX_BYTES:
        return YamlStream((), YamlProblem(0, f"larger than {MAX_BYTES // (1024 * 1024)} MiB"), ())
    text = (content if isinstance(content, str) else decode(content)).removeprefix("\ufeff")
    lines = _LINE.split(text) if "\r" in text else text.split("\n")
    documents: list[YamlNode] = []
    problem = None
    try:
        documents.extend(_compose(text.translate(_ODD_BREAKS).encode("utf-8", "replace").decode("utf-8")))
    except _Failed as failed:
        # libyaml places the end of a file without a final newline on the line after.
        documents, problem = failed.documents, YamlProblem(min(failed.line, len(lines)), failed.reason)
    return YamlStream(tuple(documents), problem, lines)


def without_templates(text: str) -> str:
    """Text of a Jinja, Go or ERB template made readable as YAML, line by line: no line moves.

    Lines that hold only template statements become empty, so that both arms of a condition and one turn of a loop are
    kept; an expression becomes `TEMPLATE`. What does not fit on one line is left alone.
    """
    lines = []
    for line in text.split("\n"):
        if ("{" in line or "<%" in line) and len(line) <= MAX_TEMPLATE_LINE:
            if _TEMPLATE_LINE.match(line):
                lines.append("")
                continue
            line = _TEMPLATE_VALUE.sub(TEMPLATE, _TEMPLATE_BLOCK.sub("", line))
        lines.append(line)
    return "\n".join(lines)


class _Failed(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, documents: list[YamlNode], line: int, reason: str) -> None:
        super().__init__(reason)
        self.documents = documents
        self.line = line
        self.reason = reason


@cache
def _loader() -> type[yaml.CSafeLoader]:
    """The loader of libyaml without the guess at a plain scalar's type, which is half of the work and is not kept."""
    import yaml

    class Loader(yaml.CSafeLoader):
        def resolve(self, kind: object, value: object, implicit: object) -> str:
            return _PLAIN

        def descend_resolver(self, parent: object, index: object) -> None:
            pass

        def ascend_resolver(self) -> None:
            pass

    return Loader


def _compose(text: str) -> list[YamlNode]:
    import yaml

    documents: list[YamlNode] = []
    loader: yaml.CSafeLoader | None = None
    try:
        if _may_be_deep(text):
            _measure(text)
        loader = _loader()(text)
        while loader.check_node():
            root = loader.get_node()
            if root is not None:
                documents.append(_convert(root))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise _Failed(documents, mark.line + 1 if mark else 0, reason or "not YAML") from None
    except yaml.reader.ReaderError as error:
        # The position counts bytes of the encoded text.
        line = text.encode()[: error.position].count(b"\n") + 1
        raise _Failed(documents, line, f"{error.reason}: #x{_code(error.character):04x}") from None
    except yaml.YAMLError as error:
        raise _Failed(documents, 0, str(error).split("\n", 1)[0]) from None
    except _Failed as failed:
        failed.documents = documents
        raise
    finally:
        if loader is not None:
            loader.dispose()
    return documents


def _code(character: object) -> int:
    if isinstance(character, int):
        return character
    return ord(character[0]) if isinstance(character, str) and character else 0


def _may_be_deep(text: str) -> bool:
    """A cheap bound: deep nesting needs many open brackets, or a line that begins with much indentation."""
    if _DEEP_BLOCK.search(text) or _DEEP_BLOCK.match("\n" + text[:200]):
        return True
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for found in _BRACKET.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif depth:
            depth -= 1
    return False


def _measure(text: str) -> None:
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark = event.start_mark
                raise _Failed([], mark.line + 1 if mark else 0, f"nested deeper than {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _convert(root: yaml.Node) -> YamlNode:
    import yaml

    scalar = yaml.ScalarNode
    done: dict[int, tuple[YamlNode, int, int]] = {}
    active: set[int] = set()

    def convert(node: yaml.Node, depth: int) -> tuple[YamlNode, int, int]:
        """The node, its size with aliases expanded, and its height."""
        tag: str = node.tag
        tag = "" if tag is _PLAIN or not tag or tag.startswith("tag:yaml.org,2002:") else tag
        line = node.start_mark.line + 1
        if type(node) is scalar:
            return YamlNode("scalar", line, tag, bool(node.style), node.value), 1, 1
        identity = id(node)
        known = done.get(identity)
        if known is not None:
            if depth + known[2] > MAX_DEPTH:
                raise _Failed([], line, f"nested deeper than {MAX_DEPTH}")
            return known
        if identity in active:
            raise _Failed([], line, "an alias that contains itself")
        if depth >= MAX_DEPTH:
            raise _Failed([], line, f"nested deeper than {MAX_DEPTH}")
        active.add(identity)
        size, height = 1, 0
        if isinstance(node, yaml.MappingNode):
            made = YamlNode("map", line, tag)
            pairs = []
            for key, value in node.value:
                one, key_size, key_height = convert(key, depth + 1)
                two, value_size, value_height = convert(value, depth + 1)
                pairs.append((one, two))
                size += key_size + value_size
                if key_height > height:
                    height = key_height
                if value_height > height:
                    height = value_height
            made.pairs = tuple(pairs)
        else:
            made = YamlNode("list", line, tag)
            elements = []
            for element in node.value:
                one, one_size, one_height = convert(element, depth + 1)
                elements.append(one)
                size += one_size
                height = max(height, one_height)
            made.elements = tuple(elements)
        if size > MAX_NODES:
            raise _Failed([], line, f"more than {MAX_NODES:,} nodes with aliases expanded")
        active.discard(identity)
        done[identity] = (made, size, height + 1)
        return done[identity]

    return convert(root, 0)[0]
