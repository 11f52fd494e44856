"""nginx's syntax: words, directives, blocks, and what nginx refuses.

crossplane 0.5.8 judges each directive's arguments, and splits files with Lua blocks into words; its own parser opens
files by itself, which nothing here does. Other files are split as nginx's ngx_conf_read_token does it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from io import StringIO
from typing import Final

from auditor.api import Malformed, Where, excerpt
from collectors.traffic.common import MAX_PROBLEMS, Places

MAX_DEPTH: Final = 64

BLOCKS: Final = frozenset({"http", "stream", "mail", "server", "upstream", "location", "if", "limit_except"})
PASSES: Final = frozenset({"proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass"})
FILES: Final = frozenset(
    {
        "ssl_certificate", "ssl_certificate_key", "ssl_trusted_certificate", "ssl_client_certificate", "ssl_crl",
        "ssl_password_file", "ssl_stapling_file", "ssl_dhparam", "auth_basic_user_file",
        *(
            f"{module}_ssl_{what}"
            for module in ("proxy", "grpc", "uwsgi")
            for what in ("certificate", "certificate_key", "trusted_certificate", "crl")
        ),
    }
)  # fmt: skip
_KEPT: Final = (
    BLOCKS
    | PASSES
    | FILES
    | {"include", "server_name", "listen", "set", "resolver", "access_log", "error_log", "auth_http", "ssl"}
    | {"ssl_stapling_responder"}
)
LOGS: Final = frozenset({"access_log", "error_log"})
# Directives that no fact is placed at.
_UNPLACED: Final = frozenset(
    {"server_name", "listen", "set", "include", "ssl", "http", "stream", "mail", "location", "if", "limit_except"}
)
_NOWHERE: Final = Where()
_TOKEN: Final = re.compile(
    r"""[ \t\r\n]+|\#[^\n]*|"((?:[^"\\]|\\.)*+)(?:"|\Z)|'((?:[^'\\]|\\.)*+)(?:'|\Z)|"""
    r"""([;{}]|(?:\\(?:.|\Z)|\$\{|[^ \t\r\n;{\\])+)""",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\([\"'\\])")
STOPS: Final = "nginx refuses to start with it"


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive. `block` is None unless braces follow; only directives that matter are in it."""

    name: str
    words: tuple[str, ...]
    where: Where
    block: tuple[Directive, ...] | None = None


def split(text: str) -> Iterator[tuple[str, int, bool]]:
    """Words with their lines and whether they are quoted, as ngx_conf_read_token makes them; no comments."""
    line, counted = 1, 0
    for found in _TOKEN.finditer(text):
        double, single, word = found.groups()
        if word is None and double is None and single is None:
            continue
        start = found.start()
        line += text.count("\n", counted, start)
        counted = start
        if word is None:
            yield _ESCAPE.sub(r"\1", double if single is None else single), line, True
        else:
            yield _ESCAPE.sub(r"\1", word) if "\\" in word else word, line, False


@cache
def _tools() -> tuple[Callable[[StringIO], Iterator[tuple[str, int, bool]]], Callable[..., None], type[Exception]]:
    # Importing the package registers its reader of Lua blocks.
    import crossplane
    from crossplane.analyzer import analyze
    from crossplane.lexer import _lex_file_object

    return _lex_file_object, analyze, crossplane.errors.NgxParserBaseException


@dataclass(slots=True)
class _Block:
    name: str
    words: tuple[str, ...]
    line: int
    context: tuple[str, ...]
    inside: list[Directive] = field(default_factory=list)


def read_directives(text: str, before: int, shown: Places) -> tuple[tuple[Directive, ...], list[Malformed]]:
    """The directives that matter, as a tree, and what nginx would refuse. `before`: lines above the text."""
    lex, analyze, refused = _tools()
    problems: list[Malformed] = []

    def place(line: int) -> Where:
        return shown.at(line + before)

    words: list[str] = []
    start = 0

    def close(term: str) -> None:
        nonlocal words
        name, arguments = words[0], tuple(words[1:])
        context = blocks[-1].context
        # "server" with an address belongs to an upstream; anywhere else the brace is missing.
        if term == ";" and name == "server" and blocks[-1].name in ("http", "stream", "mail"):
            problems.append(Malformed(place(start), 'directive "server" has no opening "{"', STOPS))
        try:
            analyze("", {"directive": name, "line": start, "args": list(arguments)}, term, context, check_ctx=False)
        # A value with a percent sign breaks crossplane's own message.
        except (refused, ValueError, TypeError, KeyError) as error:
            reason = str(getattr(error, "strerror", "")) or f'invalid value in "{excerpt(name)}" directive'
            problems.append(Malformed(place(start), excerpt(reason), STOPS))
            if term != "{":
                words = []
                return
        if term == "{":
            blocks.append(_Block(name, arguments, start, (*context, name)))
        elif name in _KEPT and not (name in LOGS and not any(word.startswith("syslog:") for word in arguments)):
            blocks[-1].inside.append(Directive(name, arguments, _NOWHERE if name in _UNPLACED else place(start)))
        words = []

    def words_of() -> Iterator[tuple[str, int, bool]]:
        if "_by_lua_block" not in text:
            yield from split(text)
            return
        # The reader of Lua blocks is crossplane's. It gives up where one does not begin.
        try:
            yield from lex(StringIO(text if text.endswith("\n") else f"{text}\n"))
        except refused as error:
            line = getattr(error, "lineno", 0) or 0
            problems.append(Malformed(place(line), excerpt(str(getattr(error, "strerror", error))), STOPS))

    # A file that is included says nothing of where: most are included by http.
    outermost = () if re.search(r"(?m)^\s*(?:http|events|stream|mail)\s*\{", text) else ("http",)
    blocks = [_Block("", (), 0, outermost)]
    for word, line, quoted in words_of():
        if quoted or word not in (";", "{", "}"):
            if quoted or not word.startswith("#"):
                if not words:
                    start = line
                words.append(word)
            continue
        if word != "}":
            if not words:
                problems.append(Malformed(place(line), f'unexpected "{word}"', STOPS))
                words, start = [""], line
            if word == "{" and len(blocks) > MAX_DEPTH:
                problems.append(Malformed(place(line), f"nested deeper than {MAX_DEPTH}", "not read from here on"))
                words = []
                break
            close(word)
            continue
        if words:
            problems.append(Malformed(place(start), f'directive "{excerpt(words[0])}" is not terminated by ";"', STOPS))
            words = []
        if len(blocks) == 1:
            problems.append(Malformed(place(line), 'unexpected "}"', STOPS))
            continue
        _end(blocks, place)
    if words:
        problems.append(Malformed(place(start), 'unexpected end of file, expecting ";" or "}"', STOPS))
    elif len(blocks) > 1:
        problems.append(Malformed(place(blocks[-1].line), 'unexpected end of file, expecting "}"', STOPS))
    while len(blocks) > 1:
        _end(blocks, place)
    return tuple(blocks[0].inside), problems[:MAX_PROBLEMS]


def _end(blocks: list[_Block], place: Callable[[int], Where]) -> None:
    done = blocks.pop()
    if done.name in BLOCKS:
        where = _NOWHERE if done.name in _UNPLACED else place(done.line)
        blocks[-1].inside.append(Directive(done.name, done.words, where, tuple(done.inside)))
