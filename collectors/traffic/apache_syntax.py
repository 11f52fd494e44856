"""Apache's syntax: lines, words, sections, and what Apache refuses.

Sources: its server/config.c and util.c (ap_getword_conf, continued lines), compared with `apache2 -t` of 2.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from auditor.api import Malformed, Where, excerpt
from collectors.traffic.common import MAX_PROBLEMS, Places

MAX_DEPTH: Final = 64
MAX_LINE: Final = 65_536

_OPEN: Final = re.compile(r"<\s*([A-Za-z]\w*)")
_CLOSE: Final = re.compile(r"</\s*([A-Za-z]\w*)\s*>$")
_WORD: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|(\S+))')
_SECTIONS: Final = frozenset(
    {
        "virtualhost", "directory", "directorymatch", "location", "locationmatch", "files", "filesmatch", "ifmodule",
        "ifdefine", "ifversion", "ifdirective", "iffile", "ifsection", "if", "elseif", "else", "proxy", "proxymatch",
        "macro", "limit", "limitexcept", "requireall", "requireany", "requirenone", "authnprovideralias",
        "authzprovideralias", "mdomainset",
    }
)  # fmt: skip
FILES: Final = {
    "sslcertificatefile", "sslcertificatekeyfile", "sslcertificatechainfile", "sslcacertificatefile",
    "sslcarevocationfile", "sslproxymachinecertificatefile", "sslproxycacertificatefile", "authuserfile",
}  # fmt: skip
_KEPT: Final = FILES | {
    "include", "includeoptional", "servername", "serveralias", "proxypass", "proxypassmatch", "balancermember",
    "rewriterule", "sethandler", "proxyremote", "sslstaplingforceurl", "sslocspdefaultresponder", "authldapurl",
    "define", "serverroot", "use",
}  # fmt: skip
_CONDITIONS: Final = frozenset({"ifmodule", "ifdefine", "ifversion", "ifdirective", "iffile", "ifsection"})
STOPS: Final = "Apache refuses to start with it"


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive, its name in lower case. `block` is None unless it is a section."""

    name: str
    words: tuple[str, ...]
    where: Where
    block: tuple[Directive, ...] | None = None


def read_directives(lines: Sequence[str], shown: Places) -> tuple[tuple[Directive, ...], list[Malformed]]:
    """The directives that matter, as a tree of sections, and what Apache would refuse."""
    problems: list[Malformed] = []
    blocks: list[tuple[str, tuple[str, ...], Where, list[Directive]]] = [("", (), Where(), [])]

    def end(*, closed: bool = True) -> None:
        name, words, where, inside = blocks.pop()
        # Apache does not miss the end of a condition that holds.
        if not closed and name not in _CONDITIONS:
            problems.append(Malformed(where, f"<{name}> is not closed", STOPS))
        if inside or name in ("virtualhost", "proxy"):
            blocks[-1][3].append(Directive(name, words, where, tuple(inside)))

    for number, line in _joined(lines):
        if line[0] != "<":
            name, *rest = line.split(None, 1)
            if name.lower() in _KEPT:
                words = _words(rest[0]) if rest else ()
                blocks[-1][3].append(Directive(name.lower(), words, shown.at(number)))
            continue
        where = shown.at(number)
        if line.startswith("</"):
            closing = _CLOSE.match(line)
            name = closing[1].lower() if closing else ""
            if not any(one[0] == name for one in blocks[1:]):
                if name in _SECTIONS or closing is None:
                    problems.append(Malformed(where, f"{excerpt(line)[:80]} without its opening line", STOPS))
                continue
            while blocks[-1][0] != name:
                end(closed=False)
            end()
            continue
        opening = _OPEN.match(line)
        if opening is None:
            continue
        if not line.endswith(">"):
            problems.append(Malformed(where, f"<{opening[1]}> lacks its closing >", STOPS))
        if len(blocks) > MAX_DEPTH:
            problems.append(Malformed(where, f"nested deeper than {MAX_DEPTH}", "not read from here on"))
            break
        blocks.append((opening[1].lower(), _words(line[opening.end() :].removesuffix(">")), where, []))
    while len(blocks) > 1:
        end(closed=False)
    return tuple(blocks[0][3]), problems[:MAX_PROBLEMS]


def _joined(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines without comments, continued ones joined; the number is that of the first."""
    pending, start = "", 0
    for number, raw in enumerate(lines, start=1):
        line = raw.rstrip("\r")
        if not pending:
            start = number
        if line.endswith("\\") and len(pending) < MAX_LINE:
            pending += line[:-1] + " "
            continue
        whole, pending = (pending + line).strip(), ""
        # A comment goes on over a backslash, as Apache joins lines before it looks at them.
        if whole and not whole.startswith("#"):
            yield start, whole[:MAX_LINE]
    if pending.strip() and not pending.lstrip().startswith("#"):
        yield start, pending.strip()


def _words(text: str) -> tuple[str, ...]:
    found = []
    for one in _WORD.finditer(text):
        quoted = one[1] if one[1] is not None else one[2]
        found.append(re.sub(r"\\([\"'\\])", r"\1", quoted) if quoted is not None else one[3])
        if len(found) >= 200:
            break
    return tuple(found)
