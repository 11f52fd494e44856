"""Configuration of nested blocks, `name words { … }` and `words ;`: BIND, ISC dhcpd, Bacula and their like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

DEPTH_LIMIT: Final = 50
STATEMENT_LIMIT: Final = 500_000
"""Statements of one file that are read."""

_C_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\r\f\v]+)|(?P<line>\n)|(?P<comment>#[^\n]*|//[^\n]*|/\*[\s\S]*?(?:\*/|\Z))"
    r'|(?P<string>"(?:[^"\\]|\\.)*+"?)|(?P<mark>[{};])|(?P<word>[^\s{};"#]+?(?=[\s{};"#]|/[/*]|\Z))'
)
_BACULA_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\r\f\v]+)|(?P<line>\n)|(?P<comment>#[^\n]*)"
    r'|(?P<string>"(?:[^"\\]|\\.)*+"?)|(?P<mark>[{};=])|(?P<word>[^\s{};="#]++)'
)


@dataclass(slots=True)
class Statement:
    """Words up to `;` or a block, with the line of the first; `quoted` tells which words stood in quotes."""

    words: list[str]
    line: int
    block: list[Statement] | None = None
    quoted: frozenset[int] = frozenset()
    lines: list[int] = field(default_factory=list)
    """The line of each word."""

    @property
    def keyword(self) -> str:
        return self.words[0].lower() if self.words else ""

    def inside(self, *keywords: str) -> Iterator[Statement]:
        """The statements of the block that begin with one of these keywords."""
        for one in self.block or ():
            if one.keyword in keywords:
                yield one


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with the blocks, and on which line."""

    line: int
    reason: str


def read_blocks(text: str, *, line_ends: bool = False) -> tuple[list[Statement], Problem | None]:
    """The statements of a text, as far as they can be read, and what is wrong if anything is.

    With `line_ends` a line's end closes a statement too, `=` separates, and only `#` begins a comment (Bacula).
    """
    top: list[Statement] = []
    stack: list[list[Statement]] = [top]
    words: list[str] = []
    lines: list[int] = []
    quoted: set[int] = set()
    number, count = 1, 0
    problem: Problem | None = None
    opened: list[int] = []

    def close(block: list[Statement] | None) -> None:
        nonlocal count
        if words or block is not None:
            line = lines[0] if lines else number
            stack[-1].append(Statement(words[:], line, block, frozenset(quoted), lines[:]))
            count += 1
        words.clear()
        lines.clear()
        quoted.clear()

    for found in (_BACULA_TOKEN if line_ends else _C_TOKEN).finditer(text):
        kind, piece = found.lastgroup, found[0]
        if kind == "space":
            continue
        if kind == "line":
            if line_ends:
                close(None)
            number += 1
        elif kind == "word":
            words.append(piece)
            lines.append(number)
        elif kind == "string":
            quoted.add(len(words))
            words.append(piece.strip('"'))
            lines.append(number)
            number += piece.count("\n")
        elif kind == "comment":
            number += piece.count("\n")
        elif piece == "=":
            words.append("=")
            lines.append(number)
        elif piece == "{":
            if len(stack) > DEPTH_LIMIT:
                return top, Problem(number, f"blocks nested deeper than {DEPTH_LIMIT}")
            block: list[Statement] = []
            close(block)
            stack.append(block)
            opened.append(number)
        elif piece == "}":
            close(None)
            if len(stack) > 1:
                stack.pop()
                opened.pop()
            else:
                problem = problem or Problem(number, "a closing brace without an opening one")
        else:
            close(None)
        if count > STATEMENT_LIMIT:
            return top, Problem(number, f"more than {STATEMENT_LIMIT} statements: the rest is not read")
    close(None)
    if opened:
        problem = problem or Problem(opened[-1], "a block that is not closed")
    return top, problem
