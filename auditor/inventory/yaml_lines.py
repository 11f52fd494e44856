"""YAML with line numbers, for configuration that people write: every value knows its line, all problems at once.

Reads libyaml's events, so that nothing is constructed from tags and no depth of nesting can exhaust the stack. Scalars
are read by the core schema of YAML 1.2: `on`, `yes` and `12:30` are text, `true` and `null` are not. Where
`auditor.yamlnodes` keeps what other programs' files say, this reader refuses whatever is ambiguous.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

SIZE_LIMIT: Final = 16 * 1024 * 1024
DEPTH_LIMIT: Final = 100
NODE_LIMIT: Final = 1_000_000
"""Values in a document, those of repeated aliases counted each time."""
PROBLEM_LIMIT: Final = 200

# YAML 1.2, production 1: what is no c-printable. Written as what it is, not as all that it is not: that takes 4 ms.
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,18})(?:[eE][-+]?[0-9]{1,3})?")
_PREFIX: Final = "tag:yaml.org,2002:"
_SCALAR_TAGS: Final = frozenset(_PREFIX + name for name in ("str", "int", "bool", "null", "float", "timestamp"))

Scalar: TypeAlias = str | int | float | bool | None


class Problem(NamedTuple):
    """What is wrong, on which line (from 1; 0 is the whole file), and what to do about it."""

    line: int
    what: str
    hint: str = ""


@dataclass(slots=True)
class Node:
    """A value with its line: a scalar, a list of nodes, or nodes by key with the lines of the keys."""

    value: Scalar | list[Node] | dict[str, Node]
    line: int
    key_lines: dict[str, int] = field(default_factory=dict)
    size: int = 1
    height: int = 1

    def plain(self) -> Any:
        """The value without lines: dicts, lists, strings, numbers, booleans and None."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


class _StopReadingError(Exception):
    """Nothing sensible can be read beyond this problem."""


@dataclass(slots=True)
class _Frame:
    node: Node
    anchor: str | None
    key: str | None = None
    """The key whose value comes next; None if a key comes next."""
    dropped: bool = False
    """Whether the value that comes next has no usable key."""
    merges: list[Node] = field(default_factory=list)


class _Reader:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self.stack: list[_Frame] = []
        self.anchors: dict[str, Node] = {}
        self.total = 0
        self.documents = 0

    def wrong(self, line: int, what: str, hint: str = "") -> None:
        self.problems.append(Problem(line, what, hint))
        if len(self.problems) >= PROBLEM_LIMIT:
            raise _StopReadingError

    def stop(self, line: int, what: str, hint: str = "") -> _StopReadingError:
        self.problems.append(Problem(line, what, hint))
        return _StopReadingError()

    def read(self, text: str) -> None:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        try:
            while loader.check_event():
                event = loader.get_event()
                self._take(event, yaml)
        except _StopReadingError:
            self.root = None
        except yaml.YAMLError as error:
            self.root = None
            self.problems.append(_syntax_problem(error))
        finally:
            loader.dispose()

    def _take(self, event: Any, yaml: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.CollectionStartEvent):
            is_map = isinstance(event, yaml.MappingStartEvent)
            if event.tag not in (None, "!", _PREFIX + ("map" if is_map else "seq")):
                self.wrong(line, f"the tag `{_tag(event.tag)}` has no meaning here", "remove it")
            self._count(1, line)
            self._deep(len(self.stack) + 1, line)
            self.stack.append(_Frame(Node({} if is_map else [], line), event.anchor))
            if event.anchor is not None:
                self.anchors.pop(event.anchor, None)
        elif isinstance(event, yaml.CollectionEndEvent):
            frame = self.stack.pop()
            self._merge(frame)
            self._attach(frame.node, frame.anchor)
        elif isinstance(event, yaml.AliasEvent):
            node = self.anchors.get(event.anchor)
            if node is None:
                inside = any(frame.anchor == event.anchor for frame in self.stack)
                why = "stands inside what it refers to" if inside else "refers to no anchor above it"
                raise self.stop(line, f"the alias `*{event.anchor}` {why}", "write the value out")
            self._count(node.size, line)
            self._deep(len(self.stack) + node.height, line)
            self._attach(Node(node.value, node.line, node.key_lines, node.size, node.height), None, line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise self.stop(line, "a second YAML document starts here", "remove the `---`: one file, one document")

    def _count(self, nodes: int, line: int) -> None:
        self.total += nodes
        if self.total > NODE_LIMIT:
            raise self.stop(line, f"more than {NODE_LIMIT} values, aliases counted each time", "repeat fewer aliases")

    def _deep(self, depth: int, line: int) -> None:
        if depth > DEPTH_LIMIT:
            raise self.stop(line, f"nested more than {DEPTH_LIMIT} levels deep", "the schema has at most six levels")

    def _scalar(self, event: Any, line: int) -> None:
        self._count(1, line)
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.node.value, dict) and frame.key is None and not frame.dropped:
            self._key(frame, event.value, event.implicit[0], line)
            if event.anchor is not None:
                self.anchors[event.anchor] = Node(event.value, line)
            return
        if event.tag not in (None, "!") and event.tag not in _SCALAR_TAGS:
            self.wrong(line, f"the tag `{_tag(event.tag)}` has no meaning here", "remove it")
        plain = event.implicit[0] or (event.tag in _SCALAR_TAGS and event.tag != _PREFIX + "str")
        self._attach(Node(_resolve(event.value) if plain else event.value, line), event.anchor)

    def _key(self, frame: _Frame, key: str, plain: bool, line: int) -> None:
        keys = frame.node.key_lines
        if key == "<<" and plain:
            frame.key = "<<"
            return
        if key in keys:
            what = f"the key `{_short(key)}` is given twice, first on line {keys[key]}"
            self.wrong(line, what, "keep one of the two")
            frame.dropped = True
            return
        keys[key] = line
        frame.key = key

    def _attach(self, node: Node, anchor: str | None, alias_line: int = 0) -> None:
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        parent = frame.node
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif isinstance(parent.value, dict):
            if frame.dropped:
                frame.dropped = False
            elif frame.key is None:
                self.wrong(alias_line or node.line, "a key must be plain text", "write `key: value`")
                frame.dropped = True
            elif frame.key == "<<" and "<<" not in parent.key_lines:
                frame.key = None
                sources = node.value if isinstance(node.value, list) else [node]
                if all(isinstance(source.value, dict) for source in sources):
                    frame.merges.extend(sources)
                else:
                    what = "`<<` merges keys from an alias of a mapping"
                    self.wrong(alias_line or node.line, what, "write `<<: *name`")
            else:
                parent.value[frame.key] = node
                frame.key = None

    def _merge(self, frame: _Frame) -> None:
        target = frame.node
        for source in frame.merges:
            if isinstance(source.value, dict) and isinstance(target.value, dict):
                for key, node in source.value.items():
                    if key not in target.value:
                        target.value[key] = node
                        target.key_lines[key] = source.key_lines[key]


def read_yaml(content: bytes) -> tuple[Node | None, list[Problem]]:
    """The document's root with lines, and everything that is wrong with it as YAML.

    The root is None if the file is empty or can't be read to its end. Never raises. Files of more than SIZE_LIMIT
    bytes are not read.
    """
    if len(content) > SIZE_LIMIT:
        return None, [Problem(0, f"larger than {SIZE_LIMIT // 1048576} MiB", "split what it declares")]
    text, problem = _decode(content)
    if problem is not None:
        return None, [problem]
    reader = _Reader()
    reader.read(text)
    return reader.root, reader.problems


def lines_of(root: Node) -> Iterator[tuple[str, int]]:
    """Each path in the document with its line: `hosts`, `hosts[3]`, `hosts[3].addresses[0]`."""
    pending = [("", root)]
    while pending:
        path, node = pending.pop()
        if path:
            yield path, node.line
        if isinstance(node.value, dict):
            pending += [(f"{path}.{key}" if path else key, child) for key, child in node.value.items()]
        elif isinstance(node.value, list):
            pending += [(f"{path}[{at}]", child) for at, child in enumerate(node.value)]


def _decode(content: bytes) -> tuple[str, Problem | None]:
    from auditor.text import decode

    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = decode(content)
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            return "", Problem(line, f"byte 0x{content[error.start]:02x} is not UTF-8", "save the file as UTF-8")
    if found := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        return "", Problem(line, f"the character U+{ord(found[0]):04X} is not allowed in YAML", "remove it")
    return text, None


def _resolve(text: str) -> Scalar:
    """A plain scalar by the core schema of YAML 1.2 (section 10.3.2), decimal numbers only."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _syntax_problem(error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or str(error)
    hint = "check the indentation, and the quotes and brackets on the lines above"
    if "start any token" in what:
        hint = "indent with spaces, never with tabs; put text that starts with @, ` or % in quotes"
    elif "mapping values are not allowed" in what:
        hint = "put text that holds `: ` in quotes, and check the indentation"
    return Problem(mark.line + 1 if mark is not None else 0, f"not valid YAML: {what}", hint)


def _tag(tag: str) -> str:
    return _short("!!" + tag.removeprefix(_PREFIX) if tag.startswith(_PREFIX) else tag)


def _short(text: str) -> str:
    from auditor.text import excerpt

    return excerpt(text)[:60]
