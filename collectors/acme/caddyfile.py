"""Caddyfiles as directives: words, blocks, snippets and variables.

Source: Caddy 2.10's `caddyconfig/caddyfile` lexer and parser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from auditor.api import Malformed, Where

TOKEN_LIMIT: Final = 200_000
DEPTH_LIMIT: Final = 50
IMPORT_LIMIT: Final = 20_000
"""Directives that imports of snippets may add."""

_TOKEN: Final = re.compile(
    r'(?P<space>[ \t\r]+)|(?P<line>\n)|(?P<comment>(?<!\S)#[^\n]*)|"(?P<quoted>(?:[^"\\]|\\.)*)"|`(?P<raw>[^`]*)`|'
    r"<<(?P<here>[A-Za-z0-9_-]+)(?=\n)|(?P<escaped>\\\n)|(?P<word>(?:\\.|[^\s])+)",
    re.DOTALL,
)
_VARIABLE: Final = re.compile(r"\{\$[A-Za-z_]\w*(?::([^{}]*))?\}")
_ARGUMENT: Final = re.compile(r"\{args(?:\[(\d+)\]|\.(\d+))\}")


@dataclass(slots=True)
class Directive:
    """A line of a Caddyfile: its words and what stands in braces after it."""

    words: list[str]
    line: int
    children: list[Directive] = field(default_factory=list)
    block: bool = False


def _tokens(text: str) -> list[list[tuple[str, int, bool]]]:
    """Lines of tokens: the text, its line, and whether it was quoted. ValueError if there are too many."""
    lines: list[list[tuple[str, int, bool]]] = []
    current: list[tuple[str, int, bool]] = []
    number, position, counted = 1, 0, 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            position += 1
            continue
        position = found.end()
        kind = found.lastgroup
        start = number
        if kind == "line":
            if current:
                lines.append(current)
                current = []
        elif kind == "here":
            end = re.compile(rf"\n[ \t]*{re.escape(found['here'])}(?=\s|$)").search(text, position)
            stop = end.end() if end is not None else len(text)
            current.append((text[position : end.start() if end is not None else stop].strip("\n"), start, True))
            number += text.count("\n", position, stop)
            position = stop
        elif kind == "quoted":
            current.append((found["quoted"].replace('\\"', '"'), start, True))
        elif kind == "raw":
            current.append((found["raw"], start, True))
        elif kind == "word":
            current.append((found["word"], start, False))
        number += found[0].count("\n")
        counted += 1
        if counted > TOKEN_LIMIT * 2:
            raise ValueError(f"more than {TOKEN_LIMIT} words")
    if current:
        lines.append(current)
    return lines


def read_caddyfile(text: str) -> tuple[list[Directive], Malformed | None]:
    """Directives with their blocks. What follows a brace that nothing opened is kept, and reported."""
    root = Directive([], 0)
    stack = [root]
    problem: Malformed | None = None
    joined: list[str] = []
    joined_line = 0
    try:
        lines = _tokens(text)
    except ValueError as error:
        return [], Malformed(Where(0), str(error), "not read", whole=True)
    for line in lines:
        words, first = joined, joined_line if joined else line[0][1]
        joined = []
        for text_, number, quoted in line:
            if text_ == "{" and not quoted:
                opened = Directive(words, first if words else number, block=True)
                stack[-1].children.append(opened)
                stack.append(opened)
                words = []
                if len(stack) > DEPTH_LIMIT:
                    return root.children, Malformed(Where(number), "nested too deeply", "the rest is not read")
            elif text_ == "}" and not quoted:
                if words:
                    stack[-1].children.append(Directive(words, first))
                    words = []
                if len(stack) > 1:
                    stack.pop()
                elif problem is None:
                    problem = Malformed(Where(number, "}"), "a brace that nothing opened", "Caddy does not start")
            else:
                words.append(text_)
        if words and len(stack) == 1 and words[-1].endswith(","):
            joined, joined_line = words, first
        elif words:
            stack[-1].children.append(Directive(words, first))
    if len(stack) > 1 and problem is None:
        problem = Malformed(Where(stack[-1].line), "a block that nothing closes", "Caddy does not start")
    return root.children, problem


def is_snippet(directive: Directive) -> bool:
    return directive.words[0].startswith("(") if directive.words else False


def imported(
    children: Sequence[Directive], snippets: Mapping[str, list[Directive]], budget: list[int], depth: int
) -> list[Directive]:
    """Directives with `import <snippet> arguments` replaced by what the snippet holds."""
    found: list[Directive] = []
    for one in children:
        if budget[0] <= 0:
            break
        budget[0] -= 1
        name = f"({one.words[1]})" if one.words[:1] == ["import"] and len(one.words) > 1 else ""
        if name in snippets and depth < 10:
            filled = [_filled(child, one.words[2:], budget, 0) for child in snippets[name] if budget[0] > 0]
            found += imported(filled, snippets, budget, depth + 1)
        else:
            nested = imported(one.children, snippets, budget, depth + 1) if depth < DEPTH_LIMIT else []
            found.append(Directive(one.words, one.line, nested, one.block))
    return found


def _filled(directive: Directive, arguments: Sequence[str], budget: list[int], depth: int) -> Directive:
    def of(match: re.Match[str]) -> str:
        at = int((match[1] or match[2])[:6])
        return arguments[at] if at < len(arguments) else match[0]

    budget[0] -= 1
    words = [_ARGUMENT.sub(of, word) if "{args" in word else word for word in directive.words]
    children = [
        _filled(one, arguments, budget, depth + 1)
        for one in (directive.children if depth < DEPTH_LIMIT else ())
        if budget[0] > 0
    ]
    return Directive(words, directive.line, children, directive.block)


def plain(word: str) -> str:
    """A word with the defaults of its variables; what has none stays as it is, and is no host then."""
    return _VARIABLE.sub(lambda found: found[1] if found[1] is not None else found[0], word)
