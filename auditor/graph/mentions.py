"""Any text may name a host: one pass of one automaton over all text, with boundaries that know host names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from auditor.graph.hosts import HostTable, Identity
from auditor.text import RANGE_LIMIT, expand_range

_TOKEN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_.")
_WORD: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_")
_DIGIT: Final = frozenset(b"0123456789")
_LABEL: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_HEXADECIMAL: Final = frozenset(b"0123456789abcdef:")
_FILE_ENDINGS: Final = frozenset(
    "cfg conf config yml yaml json toml ini j2 erb tmpl pem crt cer key csr service timer socket sh txt log cron zone"
    " rules xml repo pp db md rst bak tar gz sql target".split()
)
_RANGE: Final = re.compile(
    rb"[\[{]([a-z0-9]{1,12}(?::|\.\.|-)[a-z0-9]{1,12}(?:(?::|\.\.)\d{1,6})?|[a-z0-9,]{1,200})[\]}]"
)
_COMMENT: Final = re.compile(r"\s*(?:#|//|;|--|<!--|/\*|\*\s|%|REM\b)", re.IGNORECASE)
MAX_PER_FILE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Mention:
    """An identity in a line of text. `exact` tells a host's own name from a name below it or an instance of it."""

    line: int
    text: str
    identity: Identity
    exact: bool
    comment: bool


class MentionScanner:
    """Finds identities in text. Build once, scan many."""

    def __init__(self, table: HostTable, wanted: Iterable[Identity]) -> None:
        from ahocorasick_rs import BytesAhoCorasick, MatchKind

        self._table = table
        self._identities: dict[bytes, list[Identity]] = {}
        self._stems: dict[bytes, list[Identity]] = {}
        words: list[bytes] = []
        self._means: list[tuple[bytes, int]] = []
        for identity in wanted:
            text = identity.text.encode()
            if text not in self._identities:
                words.append(text)
                self._means.append((text, 0))
                escaped = text.replace(b".", rb"\.")
                if escaped != text and identity.kind not in ("word", "group"):
                    words.append(escaped)
                    self._means.append((text, 1))
            self._identities.setdefault(text, []).append(identity)
            if identity.kind in ("full", "short"):
                for stem in _stems(identity.text):
                    for bracket in (b"[", b"{"):
                        opened = stem.encode() + bracket
                        if opened not in self._stems:
                            words.append(opened)
                            self._means.append((opened, 2))
                        self._stems.setdefault(opened, []).append(identity)
        self._automaton = BytesAhoCorasick(words, matchkind=MatchKind.Standard) if words else None

    def scan(self, content: bytes) -> list[Mention]:
        """All mentions in a file, by line; one for each identity and line."""
        if self._automaton is None or not content:
            return []
        if b"\x00" in content[:512]:
            from auditor.text import decode

            content = decode(content).encode("utf-8", "replace")
        lower = content.lower()
        found: dict[tuple[int, str], Mention] = {}
        starts: list[int] = []
        for which, start, end in self._automaton.find_matches_as_indexes(lower, overlapping=True):
            text, form = self._means[which]
            if form == 2:
                hits = self._in_range(lower, text, start, end)
            else:
                hits = self._match(lower, text, start, end)
            for identity, exact in hits:
                if not starts:
                    starts = _line_starts(lower)
                line = _line_at(starts, start)
                key = (line, identity.host)
                known = found.get(key)
                if known is not None and (known.exact or not exact) and len(known.identity.text) >= len(identity.text):
                    continue
                raw = _line_text(content, starts, line)
                found[key] = Mention(line, raw, identity, exact, bool(_COMMENT.match(raw)))
                if len(found) >= MAX_PER_FILE:
                    return sorted(found.values(), key=lambda one: one.line)
        return sorted(found.values(), key=lambda one: one.line)

    def _match(self, lower: bytes, text: bytes, start: int, end: int) -> list[tuple[Identity, bool]]:
        hits = []
        for identity in self._identities[text]:
            exact = self._judge(lower, identity, start, end)
            if exact is not None:
                hits.append((identity, exact))
        return hits

    def _judge(self, lower: bytes, identity: Identity, start: int, end: int) -> bool | None:
        """True: the name itself; False: a name below it or an instance of it; None: something else."""
        before = lower[start - 1] if start else 10
        after = lower[end] if end < len(lower) else 10
        kind = identity.kind
        if kind == "address":
            return _address_stands(lower, start, end, identity.text)
        if kind == "word":
            return True if before not in _LABEL and after not in _LABEL else None
        if before in _LABEL and not _escape_before(lower, start):
            return None
        if kind == "group":
            ended = after not in _LABEL and not (
                after == 46 and lower[end + 1 : end + 2].isalnum() and not _file_ending(lower, end)
            )
            return True if ended and before != 46 else None
        below = before == 46 and start >= 2 and lower[start - 2] in _LABEL
        if after in _WORD:
            return None
        if after == 45:  # a hyphen: only an instance number may follow (qa-stg01-1)
            tail = end + 1
            while tail < len(lower) and lower[tail] in _DIGIT:
                tail += 1
            if tail == end + 1 or (tail < len(lower) and lower[tail] in _LABEL) or kind != "short":
                return None
            return None if self._known(lower[start:tail]) else False
        if after == 46 and end + 1 < len(lower) and lower[end + 1] in _WORD:
            # More labels: another name, unless it is only the ending of a file's name.
            if kind == "full" or not _file_ending(lower, end):
                return None
            if below:
                return None
        if below:
            if self._table.is_domain(identity.text) or kind == "reverse":
                return None
            # A service below a host's name (`docs.web01.example.org`) is served by it; a numbered name is a machine.
            token_start = start
            while token_start and lower[token_start - 1] in _TOKEN:
                token_start -= 1
            token = lower[token_start:end].strip(b".-")
            numbered = token.split(b".", 1)[0][-1:].isdigit()
            return None if numbered or self._known(token) else False
        return True

    def _known(self, token: bytes) -> bool:
        return self._table.find(token.decode("ascii", "replace")) is not None

    def _in_range(self, lower: bytes, opened: bytes, start: int, end: int) -> list[tuple[Identity, bool]]:
        """`web[01:20]`, `web{01..20}`, `web0[1-3]`, `web{01,02}`: whether one of the names is in it."""
        before = lower[start - 1] if start else 10
        if before in _LABEL or before == 46:
            return []
        found = _RANGE.match(lower, end - 1)
        if found is None:
            return []
        tail = found.end()
        while tail < len(lower) and lower[tail] in _TOKEN:
            tail += 1
        stem, inner, rest = (
            lower[start : end - 1].decode(),
            found[1].decode(),
            lower[found.end() : tail].decode("ascii", "replace"),
        )
        names = _expand(stem, inner, rest.rstrip("."))
        return [(identity, True) for identity in self._stems[opened] if identity.text in names]


def _stems(name: str) -> set[str]:
    """What may stand before the bracket of a range: the first label without some or all of its last digits."""
    label = name.split(".", 1)[0]
    bare = label.rstrip("0123456789")
    return {label[:at] for at in range(len(bare), len(label))} if bare else set()


def _expand(stem: str, inner: str, rest: str) -> set[str]:
    if "," in inner:
        return {f"{stem}{part}{rest}" for part in inner.split(",")}
    dash = re.fullmatch(r"([a-z0-9]+)-([a-z0-9]+)", inner)
    text = f"{stem}[{dash[1]}:{dash[2]}]{rest}" if dash else f"{stem}[{inner.replace('..', ':')}]{rest}"
    try:
        names = set(expand_range(text))
    except ValueError:
        return set()
    if len(names) > RANGE_LIMIT or text in names:
        # A character class such as [123] of a pattern.
        return {f"{stem}{character}{rest}" for character in inner} if inner.isalnum() else set()
    return names


def _address_stands(lower: bytes, start: int, end: int, text: str) -> bool | None:
    inside = _HEXADECIMAL if ":" in text else _DIGIT
    before = lower[start - 1] if start else 10
    after = lower[end] if end < len(lower) else 10
    if before in inside or before in _WORD or (before == 46 and start >= 2 and lower[start - 2] in _DIGIT):
        return None
    if ":" in text:
        return True if after not in _HEXADECIMAL else None
    if after in _WORD:
        return None
    if after == 46 and end + 1 < len(lower) and lower[end + 1] in _DIGIT:
        return None
    return None if after == 45 and end + 1 < len(lower) and lower[end + 1] in _DIGIT and before == 45 else True


def _escape_before(lower: bytes, start: int) -> bool:
    """Whether the letter before is only the `n` or `t` of an escape: `\\thost01` in a quoted string."""
    return start >= 2 and lower[start - 2] == 92 and lower[start - 1] in b"ntr"


def _file_ending(lower: bytes, end: int) -> bool:
    tail = end + 1
    while tail < len(lower) and lower[tail] in _LABEL:
        tail += 1
    if tail < len(lower) and lower[tail] == 46 and tail + 1 < len(lower) and lower[tail + 1] in _WORD:
        # web01.conf.j2
        return lower[end + 1 : tail].decode("ascii", "replace") in _FILE_ENDINGS and _file_ending(lower, tail)
    return lower[end + 1 : tail].decode("ascii", "replace") in _FILE_ENDINGS


def _line_starts(content: bytes) -> list[int]:
    starts = [0]
    at = content.find(b"\n")
    while at >= 0:
        starts.append(at + 1)
        at = content.find(b"\n", at + 1)
    return starts


def _line_at(starts: list[int], offset: int) -> int:
    from bisect import bisect_right

    return bisect_right(starts, offset)


def _line_text(content: bytes, starts: list[int], line: int) -> str:
    begin = starts[line - 1]
    end = starts[line] - 1 if line < len(starts) else len(content)
    return content[begin : min(end, begin + 100_000)].decode("utf-8", "replace").rstrip("\r")
