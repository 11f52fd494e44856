"""The Nix language: which texts a file gives to which attributes, as far as it says so literally.

Nothing is evaluated. Functions, conditions and operators are read over: what they would give to an attribute counts as
given. Names that `let` binds to a text in the same file are filled in. Source: the Nix 2.28 reference, "Nix Language".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from auditor.api import TEMPLATE, Filler

MAX_TOKENS: Final = 500_000
_DEPTH: Final = 40
_NESTED: Final = 200
_PARTS_OF_NAME: Final = 50
_PARTS_OF_PATH: Final = 100
_LONG: Final = 4096
_FILLED_IN: Final = 1 << 20
"""Characters of values that are filled in, in one file."""
_LIST: Final = "[]"
"""Stands in a path for a member of a list, with the member's number behind it."""

_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\r\n]+|\#[^\n]*|/\*[\s\S]*?(?:\*/|\Z))"
    r"|(?P<uri>[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s\"';{}()\[\]<>]+)"
    r"|(?P<name>[A-Za-z_][\w'-]*)"
    r"|(?P<path>(?:\.{0,2}|~)(?:/[\w.+-]+)+/?|<[\w./+-]+>)"
    r"|(?P<number>\d+(?:\.\d*)?)"
    r"|(?P<symbol>\.\.\.|==|!=|<=|>=|&&|\|\||\+\+|//|->|''|\$\{|[^\w\s])",
    re.ASCII,
)
_SIMPLE: Final = re.compile(r"\s*([A-Za-z_][\w'-]*)\s*", re.ASCII)
_FILLED: Final = re.compile(r"\$\{([A-Za-z_][\w'-]*)\}", re.ASCII)
_PLAIN_TEXT: Final = re.compile(r"\"([^\"\\$]*)\"")
_SPECIAL: Final = re.compile(r"['$]")
_INDENTED_ESCAPE: Final = re.compile(r"''(?:(\$)|(')|\\(.))", re.DOTALL)


class NixText(NamedTuple):
    """A text and the attribute that it is for; or an attribute alone, then `text` is None.

    Members of a list have `[]0`, `[]1` in their paths. `whole` is false for a part of a text (`a + b`) and for what is
    only compared.
    """

    path: tuple[str, ...]
    text: str | None
    line: int
    whole: bool = True


class _Token(NamedTuple):
    kind: str
    """`name`, `string`, `other`, or the symbol itself."""
    text: str
    line: int


@dataclass(slots=True)
class _Frame:
    kind: str
    """`{`, `[`, `(`, or `let`."""
    prefix: tuple[str, ...]
    names: list[str] = field(default_factory=list)
    path: tuple[str, ...] = ()
    in_value: bool = False
    pending: int = 0
    """Semicolons of `with` and `assert` that do not end the value."""
    count: int = 0

    @property
    def binds(self) -> bool:
        return self.kind in ("{", "let")

    @property
    def here(self) -> tuple[str, ...]:
        """The attribute that a value at this place is for."""
        if self.binds:
            return self.path
        return (*self.prefix, f"{_LIST}{self.count}") if self.kind == "[" else self.prefix


def is_member(segment: str) -> bool:
    """Whether a part of a path is a place in a list, and no attribute."""
    return segment.startswith(_LIST)


def read_nix(text: str) -> list[NixText]:
    """The texts of a file and its attributes, in order. Never raises; what can't be read is left out."""
    tokens = _tokens(text)
    found = _Reader(tokens).read()
    known: dict[str, str] = {}
    for one in found:
        if len(one.path) == 2 and one.path[0] == "let" and one.text is not None and one.whole:
            known.setdefault(one.path[1], one.text)

    plain = {name: value for name, value in known.items() if 0 < len(value) <= _LONG and "${" not in value}
    filler = Filler(_FILLED, _FILLED_IN)

    def value_of(match: re.Match[str]) -> str:
        return plain.get(match[1], TEMPLATE)

    filled = []
    for one in found:
        if one.text is not None and one.text.startswith("\0"):
            # A name in the place of a text.
            value = known.get(one.text[1:])
            if value is not None:
                filled.append(one._replace(text=filler.fill(value, value_of)))
            continue
        filled.append(one._replace(text=filler.fill(one.text, value_of)) if one.text else one)
    return filled


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, line = 0, 1
    while at < len(text) and len(tokens) < MAX_TOKENS:
        start = at
        if text[at] == '"':
            value, at = _quoted(text, at)
            tokens.append(_Token("string", value, line))
        elif text.startswith("''", at):
            value, at = _indented(text, at)
            tokens.append(_Token("string", value, line))
        else:
            found = _TOKEN.match(text, at)
            if found is None:
                at += 1
                continue
            at = found.end()
            kind = found.lastgroup or ""
            if kind == "uri":
                tokens.append(_Token("string", found[0], line))
            elif kind == "symbol":
                if found[0] == "${":
                    at = _closing(text, at, 0)
                    tokens.append(_Token("name", TEMPLATE, line))
                else:
                    tokens.append(_Token(found[0], found[0], line))
            elif kind != "space":
                tokens.append(_Token("name" if kind == "name" else "other", found[0], line))
        line += text.count("\n", start, at)
    return tokens


def _quoted(text: str, at: int) -> tuple[str, int]:
    """A text in quotation marks from its first one, and where it ends."""
    if plain := _PLAIN_TEXT.match(text, at):
        return plain[1], plain.end()
    parts: list[str] = []
    at += 1
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and at + 1 < len(text):
            parts.append({"n": "\n", "r": "\r", "t": "\t"}.get(text[at + 1], text[at + 1]))
            at += 2
        elif text.startswith("${", at):
            part, at = _inserted(text, at)
            parts.append(part)
        else:
            parts.append(text[at])
            at += 1
    return "".join(parts), at + 1


def _indented(text: str, at: int) -> tuple[str, int]:
    """A text in doubled apostrophes."""
    parts: list[str] = []
    at += 2
    while at < len(text):
        if escape := _INDENTED_ESCAPE.match(text, at):
            parts.append(escape[1] or ("''" if escape[2] else escape[3]))
            at = escape.end()
        elif text.startswith("''", at):
            return "".join(parts), at + 2
        elif text.startswith("${", at):
            part, at = _inserted(text, at)
            parts.append(part)
        else:
            following = _SPECIAL.search(text, at + 1)
            end = following.start() if following is not None else len(text)
            parts.append(text[at:end])
            at = end
    return "".join(parts), at


def _inserted(text: str, at: int) -> tuple[str, int]:
    """What stands for an expression within a text, and where it ends: a name stays to be filled in."""
    end = _closing(text, at + 2, 0)
    simple = _SIMPLE.fullmatch(text, at + 2, max(end - 1, at + 2))
    return (f"${{{simple[1]}}}" if simple else TEMPLATE), end


def _closing(text: str, at: int, depth: int) -> int:
    """Where an expression in braces ends, from behind its first brace."""
    level = 1
    while at < len(text):
        char = text[at]
        if char == '"' and depth < _DEPTH:
            at += 1
            while at < len(text) and text[at] != '"':
                if text.startswith("${", at):
                    at = _closing(text, at + 2, depth + 1)
                else:
                    at += 2 if text[at] == "\\" else 1
        elif char == "{":
            level += 1
        elif char == "}":
            level -= 1
            if level == 0:
                return at + 1
        at += 1
    return at


def _matching(tokens: Sequence[_Token]) -> dict[int, int]:
    """The closing brace of each opening one."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for at, token in enumerate(tokens):
        if token.kind == "{":
            opened.append(at)
        elif token.kind == "}" and opened:
            found[opened.pop()] = at
    return found


_CLOSES: Final = {"}": "{", "]": "[", ")": "("}
_PARTS: Final = frozenset({"+", "==", "!=", "?"})


class _Reader:
    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.found: list[NixText] = []
        self.stack = [_Frame("(", ())]
        self.opened = dict.fromkeys("{[(", 0)

    def read(self) -> list[NixText]:
        closing = _matching(self.tokens)
        at = 0
        while at < len(self.tokens):
            token, frame = self.tokens[at], self.stack[-1]
            if token.kind == "{" and (after := self._arguments(closing.get(at))):
                at = after
                continue
            at += 1
            if frame.binds and not frame.in_value:
                at = self._name(frame, token, at)
            elif token.kind in _CLOSES:
                self._close(_CLOSES[token.kind])
            elif token.kind in ("{", "[", "("):
                self._open(_Frame(token.kind, frame.here))
            elif token.kind == ";" and frame.binds:
                frame.pending, frame.in_value = max(frame.pending - 1, 0), frame.pending > 0
            elif token.kind == "name" and token.text in ("with", "assert"):
                frame.pending += 1
            elif token.kind == "name" and token.text == "let":
                self._open(_Frame("let", ("let",)))
            elif token.kind in ("string", "name"):
                self._value(frame, token, at - 1)
        return self.found

    def _open(self, frame: _Frame) -> None:
        if len(self.stack) < _NESTED:
            self.stack.append(frame)
            self.opened[frame.kind] = self.opened.get(frame.kind, 0) + 1

    def _pop(self) -> str:
        kind = self.stack.pop().kind
        self.opened[kind] -= 1
        return kind

    def _arguments(self, end: int | None) -> int:
        """Where a function's body begins, if a brace opens its arguments: `{ a, b ? 1, ... }@all:`; else 0."""
        if end is None:
            return 0
        after = end + 1
        if self._kind(after) == "@":
            after += 2
        return after + 1 if self._kind(after) == ":" else 0

    def _kind(self, at: int) -> str:
        return self.tokens[at].kind if 0 <= at < len(self.tokens) else ""

    def _name(self, frame: _Frame, token: _Token, at: int) -> int:
        """A part of an attribute's name, and where to go on."""
        if token.kind == "}":
            self._close("{")
        elif token.kind == "name" and token.text == "in" and frame.kind == "let":
            self._pop()
        elif token.kind == "name" and token.text == "inherit" and not frame.names:
            while at < len(self.tokens) and self.tokens[at].kind not in (";", "}"):
                at += 1
            return at + (self._kind(at) == ";")
        elif token.kind == "=":
            # No option is so deep: a longer path would be copied for each text below it.
            frame.path, frame.in_value, frame.names = (*frame.prefix, *frame.names)[:_PARTS_OF_PATH], True, []
            self.found.append(NixText(frame.path, None, token.line))
        elif token.kind in ("name", "string") and len(frame.names) < _PARTS_OF_NAME:
            frame.names.append(token.text)
        elif token.kind == ";":
            frame.names = []
        return at

    def _value(self, frame: _Frame, token: _Token, at: int) -> None:
        before, after = self._kind(at - 1), self._kind(at + 1)
        whole = before not in _PARTS and after not in _PARTS
        if token.kind == "string":
            self.found.append(NixText(frame.here, token.text, token.line, whole))
        # A name alone is a value; one of several is a function, or a member of a list.
        elif whole and (before != "." != after) and (frame.kind == "[" or (before == "=" and after == ";")):
            self.found.append(NixText(frame.here, f"\0{token.text}", token.line))
        if frame.kind == "[" and before != "." and after != ".":
            frame.count += 1

    def _close(self, kind: str) -> None:
        """Ends what a bracket opened, and what was left open in it."""
        if not self.opened[kind]:
            return
        while self._pop() != kind:
            pass
        above = self.stack[-1]
        if above.kind == "[":
            above.count += 1
