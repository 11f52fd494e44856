"""Whole documents without their secrets: what single lines do not tell, such as where a list of arguments goes on.

The layout stays: as many lines as before, and everything but the secrets as it was. Documents are hostile: each step is
linear in their size, or works on short lines only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from auditor.redaction import MARK, lines_with, mark, may_hold_secrets, redact

_LINE_LIMIT: Final = 65536
"""Characters of a line up to which secrets are looked for at once; a longer one is taken in pieces."""
_DEPTH: Final = 200
"""Levels of JSON that are looked into."""
_INDENT: Final = 8
"""Columns by which an object in YAML may be indented to be looked for."""
_SHORT: Final = 200
_LONG: Final = 4096
_NEAR: Final = 3
"""Lines within which a name and its value stand."""

_KEY_BEGINS: Final = re.compile(r"-----BEGIN (?:[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?|OpenVPN Static key V1)-----")
_KEY_ENDS: Final = re.compile(r"-----END (?:[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?|OpenVPN Static key V1)-----")
_KEY_LINE: Final = re.compile(
    r"[\s\"'>|#;*+-]*+(?:[A-Za-z0-9+/=]{1,}(?:\\n|\\)?[\"',]*|(?:Proc-Type|DEK-Info|Version|Comment):.*)?\s*"
)
# What begins a part of which each line is secret, and what ends it: PuTTY's private keys, OpenVPN's inline files.
_WHOLE_BEGINS: Final = re.compile(
    r"\s*(?:(?P<putty>Private-Lines: \d+)|<(?P<tag>auth-user-pass|tls-crypt(?:-v2)?|secret)>)\s*"
)
_ASKED: Final = re.compile(r"\bexpect\b(?:(?!\bexpect\b).)*(?:assword|assphrase)", re.S)
_SENT: Final = re.compile(r"(?P<head>\s*(?:exp_)?send(?:_user)?\s+(?:--\s+)?[\"{])(?!\$|\[)(?P<secret>[^\"}\\]+)")
_NAME: Final = (
    r"(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|"
    r"(?:[_-]|\b)pass\b|[_-]pwd\b|[_-]key\b)"
)
_IS_NAME: Final = re.compile(_NAME, re.I)
_BLOCK_SECRET: Final = re.compile(
    rf"(?P<indent>\s*)(?:-\s+)?['\"]?[\w.-]*{_NAME}['\"]?\s*:\s*(?:[|>][-+0-9]*)\s*(?:#.*)?", re.I
)
# Items of a list of arguments, and entries of a mapping, with a line of their own: in YAML, or in JSON with indents.
_OPTION_LINE: Final = re.compile(
    r"\s*(?:-\s+)?['\"]?--[\w-]*(?:password|passwd|passphrase|pass|token|secret|api-?key|access-?key)['\"]?\s*,?\s*",
    re.I,
)
_USER_LINE: Final = re.compile(r"\s*(?:-\s+)?['\"]?(?:-u|--user|--proxy-user)['\"]?\s*,?\s*")
_NAME_LINE: Final = re.compile(
    rf"\s*(?:-\s+)?\{{?\s*['\"]?(?:name|key)['\"]?\s*:\s*['\"]?[\w.-]*{_NAME}[\w.-]*['\"]?\s*,?\s*", re.I
)
_ITEM_HEAD: Final = re.compile(r"\s*(?:-\s+)?(?=['\"]?[^\s'\"-])")
_VALUE_HEAD: Final = re.compile(r"\s*+(?:-\s++)?(?:\{\s*+)?['\"]?value['\"]?\s*:\s*(?=[^\s|>{\[&*!$])", re.I)
_VALUE_BLOCK: Final = re.compile(r"\s*(?:-\s+)?value\s*:\s*[|>][-+0-9]*\s*", re.I)
_SECRET_KIND: Final = re.compile(r"\s*(?:-\s+)?kind\s*:\s*['\"]?Secret['\"]?\s*(?:#.*)?")
_SECRET_DATA: Final = re.compile(r"\s*(?:-\s+)?(?:data|stringData)\s*:\s*(?:#.*)?")
_ENTRY: Final = re.compile(r"\s*['\"]?[\w./-]+['\"]?\s*:\s*(?P<secret>\S.*)")
_BLOCK: Final = re.compile(r"[|>][-+0-9]*")

_JSON_HINT: Final = re.compile(rf"\"kind\"\s*:\s*\"Secret\"|\"(?:name|key)\"\s*:\s*\"[\w.-]{{0,100}}{_NAME}", re.I)
_TOKEN: Final = re.compile(r"\"(?:\\.|[^\"\\])*+(?:\"|\\?\Z)|[{}\[\]:,]", re.S)

_USER_OPTIONS: Final = ("-u", "--user", "--proxy-user")
_ALONE: Final = (*_USER_OPTIONS, "assword", "Private-Lines:", "OpenVPN Static key")
"""What tells of a secret in another line, and is no word of `may_hold_secrets`."""
_NEAR_WORDS: Final = (
    *("pass", "assword", "secret", "token", "credential", "apikey", "accesskey", "privatekey"),
    *("private-lines", "openvpn static key"),
    *("_pwd", "-pwd", "_key", "-key", "-user", "-u"),
)
"""Without one of them no line tells of the secret of another."""
_TEMPLATES: Final = ("{{", "${", "$(", "<%", "%{")
_PUBLIC: Final = re.compile(r"\s*['\"]?(?:tls|ca|client|server)\.crt['\"]?\s*:")
_PUBLIC_NAMES: Final = frozenset({"tls.crt", "ca.crt", "client.crt", "server.crt"})
"""What a Secret of Kubernetes holds and is public: certificates."""
_BEGINS: Final = frozenset("-{}'\"nNkKvV")
"""How an item or entry begins that has to do with the lines beside it."""

_Parts: TypeAlias = tuple[str, str, str]
"""A line before its secret, the secret, and what is behind it."""


def redacted(content: bytes, key: bytes = b"") -> bytes:
    """Text without its secrets. Bytes that are no text stay as they are. `key` is that of `auditor.redaction.mark`."""
    text = content.decode("utf-8", "surrogateescape")
    if not may_hold_secrets(text) and not any(words in text for words in _ALONE):
        return content
    if _JSON_HINT.search(text):
        text = _replaced(text, _json_secrets(text), key)
    lines = text.split("\n")
    if "Secret" in text:
        for number, secret in _kubernetes_values(lines):
            lines[number] = lines[number].rstrip()[: -len(secret)] + mark(secret, key)
    lower = text.lower()
    near = any(word in lower for word in _NEAR_WORDS)
    text = "\n".join(lines)
    return "\n".join(_Lines(key, near).all(lines, _suspicious(text, near))).encode("utf-8", "surrogateescape")


def _suspicious(text: str, near: bool) -> list[int]:
    """The numbers of lines that may have a secret: by themselves, or because of a line near them."""
    found = set(lines_with(text))
    if near:
        count = text.count("\n") + 1
        for number in lines_with(text, _NEAR_WORDS):
            found.update(range(max(number - _NEAR, 0), min(number + _NEAR + 1, count)))
    return sorted(found)


@dataclass(slots=True)
class _Lines:
    """What the lines before say of the next one."""

    key: bytes
    near: bool
    """Whether a line may tell of the secret of another."""
    done: list[str] = field(default_factory=list)
    in_key: bool = False
    whole: str | None = None
    """Where a part ends of which each line is secret; nowhere, if empty."""
    asked: int = 0
    """For how many lines a password is waited for, which is sent in one of them."""
    block: int | None = None
    """The indent of an entry whose value is a block, all of it secret."""
    awaited: str = ""
    """What the next item is: `secret`, or `user` for user:password."""
    named: tuple[int, int] | None = None
    """A line with a name that says that its value is a secret, and its indent."""
    value: tuple[int, int, _Parts] | None = None
    """The last line with a `value:`, whose name may follow, its indent and its parts."""

    def all(self, lines: Sequence[str], suspicious: Iterable[int]) -> list[str]:
        """The lines, each without its secret; the suspicious ones alone are looked at."""
        for number in suspicious:
            self._until(lines, number)
            self.done.append(self._line(lines[number]))
        self._until(lines, len(lines))
        return self.done

    def _until(self, lines: Sequence[str], end: int) -> None:
        """The lines before a suspicious one: as they are, but for the rest of a secret of several lines."""
        while len(self.done) < end and (self.in_key or self.block is not None or self.whole is not None):
            self.done.append(self._line(lines[len(self.done)]))
        self.done += lines[len(self.done) : end]

    def _line(self, line: str) -> str:
        if self.whole is not None:
            if not self.whole or self.whole not in line:
                return mark(line.strip(), self.key) if line.strip() else line
            self.whole = None
        if self.block is not None:
            indent = len(line) - len(line.lstrip())
            if not line.strip():
                return line
            if indent > self.block:
                return line[:indent] + mark(line.strip(), self.key)
            self.block = None
        if self.in_key:
            if (ends := _KEY_ENDS.search(line)) is not None:
                line = MARK + line[ends.end() :]
            elif _KEY_LINE.fullmatch(line):
                return mark(line.strip(), self.key) if line.strip() else line
            self.in_key = False
        # What the patterns can't do without is looked for first: nearly no line has it.
        if "-----BEGIN" in line and (found := _KEY_BEGINS.search(line)) is not None:
            self.in_key = _KEY_ENDS.search(line, found.end()) is None
            line = line[: found.start()] + MARK
        if len(line) > _LINE_LIMIT:
            return "".join(redact(piece, self.key) for piece in _pieces(line))
        if self.near and len(line) <= _LONG:
            line = self._beside(self._sent(line))
        block = ("|" in line or ">" in line) and len(line) <= _SHORT
        if block and (found := _BLOCK_SECRET.fullmatch(line)) is not None:
            self.block = len(found["indent"])
        return redact(line, self.key)

    def _sent(self, line: str) -> str:
        """A line whose secret is one by what opened before it, or is what expect(1) sends when asked for a password."""
        if line.lstrip()[:1] in ("<", "P") and (found := _WHOLE_BEGINS.fullmatch(line)) is not None:
            self.whole = f"</{found['tag']}>" if found["tag"] else ""
        elif "expect" in line and _ASKED.search(line):
            self.asked = _NEAR
        elif self.asked:
            self.asked -= 1
            if (sent := _SENT.match(line)) is not None:
                self.asked = 0
                return sent["head"] + mark(sent["secret"], self.key) + line[sent.end() :]
        return line

    def _beside(self, line: str) -> str:
        """A line whose secret the lines near it tell of."""
        awaited, self.awaited = self.awaited, ""
        if awaited and (parts := _parts(line, _ITEM_HEAD)) is not None:
            user, colon, password = parts[1].partition(":")
            if awaited == "secret":
                return self._marked(parts)
            if colon and password and not password.startswith("//"):
                return self._marked((f"{parts[0]}{user}:", password, parts[2]))
        bare = line.lstrip()
        if bare[:1] not in _BEGINS:
            return line
        if bare.startswith(("- ", "{", "}")):
            # Another entry begins: what is here is not of the one before.
            self.named, self.value = None, None
        at = len(self.done)
        lower = line.lower()
        short = len(line) <= _SHORT
        if short and "--" in line and _OPTION_LINE.fullmatch(line):
            self.awaited = "secret"
        elif short and "-u" in line and _USER_LINE.fullmatch(line):
            self.awaited = "user"
        elif short and ("name" in lower or "key" in lower) and _NAME_LINE.fullmatch(line):
            self.named = at, _indent(line)
            if self.value is not None and self._is_beside(self.value[:2], line):
                self.done[self.value[0]] = self._marked(self.value[2])
        elif "value" in lower and (parts := _parts(line, _VALUE_HEAD)) is not None:
            if self.named is not None and self._is_beside(self.named, line):
                return self._marked(parts)
            self.value = at, _indent(line), parts
        elif short and self.named is not None and self._is_beside(self.named, line) and _VALUE_BLOCK.fullmatch(line):
            self.block = len(line) - len(bare)
        return line

    def _is_beside(self, other: tuple[int, int], line: str) -> bool:
        """Whether a line is an entry of the same mapping as another."""
        return len(self.done) - other[0] <= _NEAR and _indent(line) == other[1]

    def _marked(self, parts: _Parts) -> str:
        if parts[1].startswith(_TEMPLATES):
            return "".join(parts)
        return parts[0] + mark(parts[1], self.key) + parts[2]


def _parts(line: str, head: re.Pattern[str]) -> _Parts | None:
    """What stands behind a head, without its quotes and the signs that end an entry; None if there is nothing."""
    found = head.match(line)
    if found is None:
        return None
    start, end = found.end(), len(line.rstrip(" \t\r,}"))
    quote = line[start : start + 1]
    if quote in "'\"" and quote:
        start += 1
        if end - 1 <= start or line[end - 1] != quote:
            return None
        end -= 1
    return (line[:start], line[start:end], line[end:]) if end > start else None


def _pieces(line: str) -> Iterator[str]:
    """A long line in pieces that end between two objects, or else two entries, so that no secret is cut in two."""
    start = 0
    while start < len(line):
        end = start + _LINE_LIMIT
        if end < len(line):
            for sign in ("},", '",', ",", " ", ";"):
                if (near := line.rfind(sign, start + _LINE_LIMIT // 2, end)) >= 0:
                    end = near + len(sign)
                    break
        yield line[start:end]
        start = end


def _kubernetes_values(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Line numbers and values below `data:` and `stringData:` of objects of kind Secret, in YAML."""
    told: dict[int, int] = {}
    for number, line in enumerate(lines):
        if len(line) > _SHORT or "Secret" not in line or _SECRET_KIND.fullmatch(line) is None:
            continue
        indent = _indent(line)
        if indent > _INDENT or number < told.get(indent, 0):
            continue
        start, end = number, number + 1
        while start > 0 and _is_inside(lines[start - 1], indent) and not _is_item(lines[start], indent):
            start -= 1
        while end < len(lines) and _is_inside(lines[end], indent) and not _is_item(lines[end], indent):
            end += 1
        told[indent] = end
        yield from _below_data(lines, start, end, indent)


def _below_data(lines: list[str], start: int, end: int, indent: int) -> Iterator[tuple[int, str]]:
    below = False
    for at in range(start, end):
        line = lines[at].rstrip()
        if not line:
            continue
        if _indent(line) <= indent:
            below = _SECRET_DATA.fullmatch(line) is not None
        elif below:
            entry = _ENTRY.fullmatch(line)
            # An entry's value, or a line of a block.
            secret = entry["secret"] if entry is not None else line.strip()
            if not _BLOCK.fullmatch(secret) and not _PUBLIC.match(line):
                yield at, secret
        elif '"data"' in line and '"kind"' in line:
            # What kubectl keeps of the last time that it was applied.
            yield at, line.strip()


def _indent(line: str) -> int:
    """Where the key of a line begins: behind the dash of an item of a list."""
    bare = line.lstrip(" ")
    return len(line) - len(bare) + (2 if bare.startswith("- ") else 0)


def _is_inside(line: str, indent: int) -> bool:
    return not line.startswith(("---", "...")) and (not line.strip() or _indent(line) >= indent)


def _is_item(line: str, indent: int) -> bool:
    """Whether an item of a list begins here, of which the keys have this indent."""
    return _indent(line) == indent and line.lstrip(" ").startswith("- ")


Span: TypeAlias = tuple[int, int]


@dataclass(slots=True)
class _Object:
    """An object or array of JSON that is open: under which name it stands, and where strings in it are."""

    name: str
    kind: str = ""
    named: bool = False
    """Whether it has a name that says that its value is a secret."""
    value: Span | None = None
    strings: list[Span] = field(default_factory=list)
    secrets: list[Span] = field(default_factory=list)
    """Strings below that are secret if this is an object of kind Secret."""


def _json_secrets(text: str) -> list[Span]:
    """Where secrets stand in JSON: values of objects of kind Secret, and of entries whose name says so."""
    found: list[Span] = []
    stack: list[_Object] = []
    name, last = "", ""
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in "{[":
            if len(stack) >= _DEPTH:
                break
            stack.append(_Object(name))
            name = ""
        elif sign in "}]":
            if not stack:
                break
            _close(stack.pop(), stack, found)
            name = ""
        elif sign == ":":
            name = last
        elif sign == ",":
            name = ""
        else:
            last = sign[1:-1]
            if stack and name:
                _take(stack[-1], name, last, (token.start() + 1, token.end() - 1))
    while stack:
        _close(stack.pop(), stack, found)
    return found


def _take(into: _Object, name: str, value: str, span: Span) -> None:
    lower = name.lower()
    if name == "kind":
        into.kind = value
    elif lower in ("name", "key"):
        into.named = len(value) <= _SHORT and _IS_NAME.search(value) is not None
    elif lower == "value":
        into.value = span
    kept = name.endswith("last-applied-configuration") if into.name == "annotations" else name not in _PUBLIC_NAMES
    if kept:
        into.strings.append(span)


def _close(closed: _Object, stack: list[_Object], found: list[Span]) -> None:
    if closed.named and closed.value is not None:
        found.append(closed.value)
    if closed.kind == "Secret":
        found += closed.secrets
    elif stack:
        # Strings of the mapping below `data`, and the one that kubectl keeps among the annotations.
        if closed.name in ("data", "stringData", "annotations"):
            stack[-1].secrets += closed.strings
        if closed.name == "metadata":
            stack[-1].secrets += closed.secrets


def _replaced(text: str, spans: Iterable[Span], key: bytes) -> str:
    pieces: list[str] = []
    done = 0
    for start, end in sorted(set(spans)):
        if start >= done and end > start:
            pieces += text[done:start], mark(text[start:end], key)
            done = end
    return "".join((*pieces, text[done:]))
