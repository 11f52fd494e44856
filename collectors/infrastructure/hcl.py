"""HCL, the language of Terraform, OpenTofu and Nomad: blocks, and attributes as far as they are literal.

Nothing is evaluated. An expression that is more than a literal is kept as `${…}` with its text, as Terraform itself
writes it in JSON. Source: HashiCorp's "HCL Native Syntax Specification".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

MAX_BYTES: Final = 8 << 20
MAX_TOKENS: Final = 500_000
MAX_DEPTH: Final = 60

Scalar: TypeAlias = "str | float | bool | None"


@dataclass(frozen=True, slots=True)
class HclValue:
    """A value and the line it begins on.

    `value` is a scalar, a tuple of values (a list), or a tuple of pairs (an object; `is_object` then). An expression is
    the text `${expression}`; a template is as it stands between its quotation marks, with `${…}` in it.
    """

    line: int
    value: Scalar | tuple[HclValue, ...] | tuple[tuple[str, HclValue], ...]
    is_object: bool = False

    @property
    def text(self) -> str:
        """The text of a string or template; empty for all others."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def elements(self) -> tuple[HclValue, ...]:
        """The elements of a list; a scalar is a list of one."""
        if isinstance(self.value, tuple):
            return () if self.is_object else self.value  # type: ignore[return-value]
        return (self,)

    @property
    def pairs(self) -> tuple[tuple[str, HclValue], ...]:
        """Keys and values of an object."""
        return self.value if self.is_object else ()  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class HclBlock:
    """`type "label" { … }`."""

    type: str
    labels: tuple[str, ...]
    line: int
    attributes: tuple[tuple[str, HclValue], ...]
    blocks: tuple[HclBlock, ...]

    def get(self, name: str) -> HclValue | None:
        """An attribute."""
        return next((value for key, value in self.attributes if key == name), None)

    def text(self, name: str) -> str:
        """The text of an attribute; empty if it is not there or no text."""
        found = self.get(name)
        return found.text if found is not None else ""

    def all(self, *types: str) -> list[HclBlock]:
        """The blocks of these types directly inside."""
        return [block for block in self.blocks if block.type in types]


class HclProblem(Exception):  # noqa: N818 - it is what a file has, and is always caught
    """Why a text is not HCL, and the line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """`name`, `number`, `string`, `newline`, `end`, or the character itself."""
    text: str
    line: int
    start: int
    end: int


_SPACE: Final = re.compile(r"[ \t\r\ufeff]+|#[^\n]*|//[^\n]*")
_NAME: Final = re.compile(r"[^\W\d][\w-]*")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_HEREDOC: Final = re.compile(r"<<(-?)([^\W\d][\w-]*)[ \t\r]*\n")
_OPERATOR: Final = re.compile(r"&&|\|\||[=!<>]=|=>|\.\.\.|::")
_ESCAPE: Final = re.compile(r'\\(?:([nrt"\\])|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))')
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}


def read_hcl(text: str) -> tuple[HclBlock, HclProblem | None]:
    """The body of a file as a block without a type, up to the first place that is no HCL, and what is wrong there."""
    parser = _Parser(text)
    try:
        attributes, blocks = parser.body("end", 0)
    except HclProblem as problem:
        return HclBlock("", (), 1, (), tuple(parser.done)), problem
    return HclBlock("", (), 1, tuple(attributes), tuple(blocks)), None


def _tokens(text: str) -> Iterator[_Token]:
    at, line, end = 0, 1, len(text)
    while at < end:
        char = text[at]
        start = at
        if char == "\n":
            at += 1
            yield _Token("newline", char, line, start, at)
            line += 1
        elif found := _SPACE.match(text, at):
            at = found.end()
        elif text.startswith("/*", at):
            close = text.find("*/", at + 2)
            if close < 0:
                raise HclProblem(line, "a comment that is not closed")
            line += text.count("\n", at, close)
            at = close + 2
        elif char == '"':
            at = _string_end(text, at, line)
            yield _Token("string", _unescaped(text[start + 1 : at - 1]), line, start, at)
            line += text.count("\n", start, at)
        elif found := _HEREDOC.match(text, at):
            body, at = _heredoc(text, found, line)
            yield _Token("string", body, line + 1, start, at)
            line += text.count("\n", start, at)
        elif found := _NAME.match(text, at):
            at = found.end()
            yield _Token("name", found[0], line, start, at)
        elif found := _NUMBER.match(text, at):
            at = found.end()
            yield _Token("number", found[0], line, start, at)
        else:
            operator = _OPERATOR.match(text, at)
            at = operator.end() if operator is not None else at + 1
            yield _Token(text[start:at], text[start:at], line, start, at)
    yield _Token("end", "", line, end, end)


def _string_end(text: str, at: int, line: int) -> int:
    """Behind the closing mark of a string, whose templates may hold strings again."""
    start, depth = at, 0
    at += 1
    quoted = [True]
    while at < len(text):
        char = text[at]
        if quoted[-1]:
            if char == "\\":
                at += 2
                continue
            if char == "\n":
                break
            if char == '"':
                quoted.pop()
                if not quoted:
                    return at + 1
            elif text.startswith(("$${", "%%{"), at):
                at += 3
                continue
            elif text.startswith(("${", "%{"), at):
                depth += 1
                if depth > MAX_DEPTH:
                    break
                quoted.append(False)
                at += 2
                continue
        elif char == '"':
            quoted.append(True)
        elif char == "{":
            quoted.append(False)
        elif char == "}":
            quoted.pop()
        at += 1
    raise HclProblem(line + text.count("\n", start, at), "a string that is not closed")


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(
        lambda found: _ESCAPED[found[1]] if found[1] else chr(min(int(found[2] or found[3], 16), 0x10FFFF)), text
    )


def _heredoc(text: str, found: re.Match[str], line: int) -> tuple[str, int]:
    close = re.compile(rf"^[ \t]*{re.escape(found[2])}[ \t\r]*$", re.MULTILINE).search(text, found.end())
    if close is None:
        raise HclProblem(line, f"a heredoc that {found[2][:40]} does not close")
    return text[found.end() : close.start()], close.end()


class _Parser:
    """Reads one text; `done` holds the blocks of the outermost level that are complete."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[_Token] = []
        self.at = 0
        self.done: list[HclBlock] = []
        self._source = _tokens(text)

    @property
    def token(self) -> _Token:
        while self.at >= len(self.tokens):
            if len(self.tokens) >= MAX_TOKENS:
                raise HclProblem(self.tokens[-1].line, f"more than {MAX_TOKENS:,} words")
            self.tokens.append(next(self._source))
        return self.tokens[self.at]

    def take(self) -> _Token:
        token = self.token
        if token.kind != "end":
            self.at += 1
        return token

    def skip(self) -> None:
        while self.token.kind == "newline":
            self.at += 1

    def fail(self, reason: str) -> HclProblem:
        shown = self.token.text[:40] if self.token.kind not in ("newline", "end", "string") else self.token.kind
        return HclProblem(self.token.line, f"{reason}, not {shown}")

    def body(self, close: str, depth: int) -> tuple[list[tuple[str, HclValue]], list[HclBlock]]:
        """Attributes and blocks up to a closing token."""
        attributes: list[tuple[str, HclValue]] = []
        blocks = self.done if depth == 0 else []
        if depth > MAX_DEPTH:
            raise HclProblem(self.token.line, "nested too deeply")
        while True:
            self.skip()
            if self.token.kind == close:
                return attributes, blocks
            if self.token.kind not in ("name", "string"):
                raise self.fail("a name was expected")
            name = self.take()
            if self.token.kind in ("=", ":") and name.kind == "name":
                self.at += 1
                attributes.append((name.text, self.expression(depth)))
            else:
                blocks.append(self.block(name, depth))
            # Nomad's old form parts attributes by commas or by nothing.
            if self.token.kind == ",":
                self.at += 1

    def block(self, name: _Token, depth: int) -> HclBlock:
        labels: list[str] = []
        while self.token.kind in ("name", "string"):
            labels.append(self.take().text)
        if self.token.kind != "{":
            raise self.fail("a block or a value was expected")
        self.at += 1
        attributes, blocks = self.body("}", depth + 1)
        self.at += 1
        return HclBlock(name.text, tuple(labels), name.line, tuple(attributes), tuple(blocks))

    def expression(self, depth: int) -> HclValue:
        """A literal, a list, an object; or the text of what is more than that."""
        if depth > MAX_DEPTH:
            raise HclProblem(self.token.line, "nested too deeply")
        first, start = self.token, self.at
        value = self.literal(depth)
        if value is not None and self.token.kind in ("newline", "end", ",", "}", "]", "name"):
            # A name behind a literal begins the next attribute of a body in one line; `for` was refused before.
            return value
        self.at = start
        return HclValue(first.line, "${" + self.rest() + "}")

    def literal(self, depth: int) -> HclValue | None:
        token = self.take()
        if token.kind == "string":
            return HclValue(token.line, token.text)
        if token.kind == "number":
            return HclValue(token.line, float(token.text))
        if token.kind == "-" and self.token.kind == "number":
            return HclValue(token.line, -float(self.take().text))
        if token.kind == "name" and token.text in ("true", "false", "null"):
            return HclValue(token.line, {"true": True, "false": False}.get(token.text))
        if token.kind == "[":
            return self.elements(token, depth)
        if token.kind == "{":
            return self.pairs(token, depth)
        return None

    def elements(self, first: _Token, depth: int) -> HclValue | None:
        found: list[HclValue] = []
        while True:
            self.skip()
            if self.token.kind == "]":
                self.at += 1
                return HclValue(first.line, tuple(found))
            if self.token.kind == "name" and self.token.text == "for":
                return None
            found.append(self.expression(depth + 1))
            self.skip()
            if self.token.kind == ",":
                self.at += 1
            elif self.token.kind != "]":
                raise self.fail("a comma or the end of a list was expected")

    def pairs(self, first: _Token, depth: int) -> HclValue | None:
        found: list[tuple[str, HclValue]] = []
        while True:
            self.skip()
            if self.token.kind == "}":
                self.at += 1
                return HclValue(first.line, tuple(found), is_object=True)
            if self.token.kind == "name" and self.token.text == "for":
                return None
            key = self.take()
            if key.kind == "(":
                self.rest()
                if self.token.kind == ")":
                    self.at += 1
            if self.token.kind not in ("=", ":"):
                raise self.fail("the value of a key was expected")
            self.at += 1
            found.append((key.text, self.expression(depth + 1)))
            if self.token.kind == ",":
                self.at += 1

    def rest(self) -> str:
        """The text up to the end of an expression: a line's end, a comma or a bracket that it did not open."""
        start = end = self.token.start
        pending: list[str] = []
        while True:
            token = self.token
            if token.kind == "end" and pending:
                raise HclProblem(token.line, f"{pending[-1]} is missing")
            if not pending and token.kind in ("newline", "end", ",", ")", "]", "}"):
                return self.text[start:end]
            if token.kind in _CLOSING:
                pending.append(_CLOSING[token.kind])
            elif pending and token.kind == pending[-1]:
                pending.pop()
            elif token.kind in (")", "]", "}"):
                raise HclProblem(token.line, f"{token.kind} closes what was not opened")
            end = token.end
            self.at += 1
