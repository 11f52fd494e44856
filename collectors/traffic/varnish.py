"""Varnish: backends and directors of VCL.

Source: vcl(7) and vmod_directors(3) of Varnish 6 and 7; `director` blocks are of VCL 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from auditor.api import (
    TEMPLATE,
    Area,
    Collector,
    Dependency,
    Document,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    decode,
    endpoint_ref,
    without_templates,
)
from collectors.traffic.common import MAX_BYTES, Places, bare_name, is_templated, qualified, service

MAX_BLOCK: Final = 20_000
"""Words of one backend or director. What is longer, or never ends, is not read, nor is what comes after it."""

_TOKEN: Final = re.compile(
    r"(?P<skip>\s+|//[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z)|C\{.*?(?:\}C|\Z))"
    r'|\{"(?P<long>.*?)(?:"\}|\Z)|"(?P<text>[^"\n]*)"|(?P<word>[A-Za-z_][\w.:-]*|\d[\w.]*)|(?P<mark>.)',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    is_text: bool = False


class VarnishCollector(Collector):
    """Varnish: backends, directors.

    Reads
    -----
    Files with the name `*.vcl`, and templates of them.

    Yields
    ------
    A service for each backend with the host and port behind it, and for each director with its backends as
    alternatives.

    Can't see
    ---------
    Which requests go to which backend, files included from outside, backends made at run time by other modules, and
    what inline C does.
    """

    name: ClassVar[str] = "varnish"
    title: ClassVar[str] = "Varnish: backends and directors"
    area: ClassVar[Area] = Area.TRAFFIC
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.BACKED_BY})

    def recognizes(self, path: str, head: bytes) -> bool:
        return ".vcl" in path and bare_name(path).endswith(".vcl") and b"\0" not in head

    def parse(self, document: Document) -> Iterator[Parsed]:
        if len(document.content) > MAX_BYTES:
            yield Malformed(Where(), f"larger than {MAX_BYTES >> 20} MiB", "scanned for mentions only", whole=True)
            return
        text = decode(document.content)
        yield from _File(
            document.path, text, without_templates(text) if is_templated(document.path, text) else text
        ).facts()


class _File:
    def __init__(self, path: str, shown: str, text: str) -> None:
        self._path = path
        self._places = Places(shown.split("\n"))
        self._text = text
        self._line = 1
        self._counted = 0
        self._tokens = [
            _Token(found["long"] or found["text"] or "", found.start(), is_text=True)
            if found["long"] is not None or found["text"] is not None
            else _Token(found["word"] or found["mark"], found.start())
            for found in _TOKEN.finditer(text)
            if found["skip"] is None
        ]

    def _where(self, token: _Token) -> Where:
        """The place of a token; asked for in the order of the file."""
        if token.start >= self._counted:
            self._line += self._text.count("\n", self._counted, token.start)
            self._counted = token.start
        return self._places.at(self._line)

    def _label(self, kind: str, name: str) -> str:
        return qualified(f"varnish {kind} {name}", self._path)

    def facts(self) -> Iterator[Parsed]:
        tokens = self._tokens
        directors: set[str] = set()
        declared = {
            tokens[at + 1].text
            for at in range(len(tokens) - 2)
            if tokens[at].text == "backend" and not tokens[at].is_text
        }
        at = 0
        while at < len(tokens) - 2:
            word, name, mark = tokens[at : at + 3]
            if word.is_text:
                at += 1
            elif word.text in ("backend", "director") and not name.is_text and TEMPLATE not in name.text:
                block = _block(tokens, at + 2)
                if not block and "{" in (mark.text, tokens[min(at + 3, len(tokens) - 1)].text):
                    yield Malformed(self._where(word), f"a {word.text} that does not end", "Varnish refuses the file")
                    return
                if word.text == "backend" and mark.text == "{":
                    yield from self._backend(word, name.text, block)
                elif word.text == "director" and len(block) > 2:
                    yield from self._director(word, name.text, block, declared)
                at += 2 + max(len(block), 1)
            elif word.text == "new" and mark.text == "=" and at + 3 < len(tokens):
                if tokens[at + 3].text.startswith("directors."):
                    directors.add(name.text)
                    yield from service(self._label("director", name.text), self._where(word), {"software": "varnish"})
                at += 4
            else:
                pool, _, call = word.text.rpartition(".")
                if call == "add_backend" and pool in directors and name.text == "(" and mark.text in declared:
                    yield self._member(pool, mark)
                at += 1

    def _member(self, director: str, token: _Token) -> Dependency:
        ref = Ref(Kind.SERVICE, self._label("director", director))
        target = Ref(Kind.SERVICE, self._label("backend", token.text))
        return Dependency(ref, target, Relation.BACKED_BY, self._where(token), group="servers")

    def _backend(self, word: _Token, name: str, block: Sequence[_Token]) -> Iterator[Parsed]:
        label = self._label("backend", name)
        yield from service(label, self._where(word), {"software": "varnish"})
        values: dict[str, _Token] = {}
        depth = 0
        for here, token in enumerate(block):
            depth += {"{": 1, "}": -1}.get(token.text, 0) if not token.is_text else 0
            # `.host` is a mark and a word; the value is a text of its own.
            if depth == 1 and token.text == "." and here + 3 < len(block) and block[here + 2].text == "=":
                values[block[here + 1].text] = block[here + 3]
        host, port = values.get("host"), values.get("port")
        if host is None or not host.is_text or TEMPLATE in host.text:
            return
        address = host.text
        if port is not None and TEMPLATE not in port.text and port.text:
            address = f"[{address}]" if address.count(":") > 1 and not address.startswith("[") else address
            address = f"{address}:{port.text}" if port.text.isdecimal() else address
        target = endpoint_ref(address)
        if target is not None:
            yield Dependency(Ref(Kind.SERVICE, label), target, Relation.BACKED_BY, self._where(host))

    def _director(self, word: _Token, name: str, block: Sequence[_Token], declared: set[str]) -> Iterator[Parsed]:
        label = self._label("director", name)
        yield from service(label, self._where(word), {"software": "varnish"})
        for here, token in enumerate(block[:-3]):
            if token.text == "." and block[here + 1].text == "backend" and block[here + 3].text in declared:
                yield self._member(name, block[here + 3])


def _block(tokens: Sequence[_Token], start: int) -> list[_Token]:
    """The tokens of a block, both braces included; for a director the words before it too. Empty if there is none."""
    depth = 0
    for at in range(start, min(start + MAX_BLOCK, len(tokens))):
        token = tokens[at]
        if token.is_text:
            continue
        if token.text == "{":
            depth += 1
        elif token.text == "}":
            depth -= 1
            if depth <= 0:
                return list(tokens[start : at + 1])
        elif depth == 0 and (token.text == ";" or at > start + 1):
            return []
    return []
