"""Any text may name a host: one pass of one automaton over all text, with boundaries that know host names."""

from __future__ import annotations

import codecs
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from auditor.graph.hosts import ENVIRONMENT_LABELS, INTERFACE_LABELS, HostTable, Identity
from auditor.model import EXCERPT_LIMIT, Lifecycle
from auditor.redaction import redact
from auditor.text import decode, is_comment, normal_address

_TOKEN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_.")
_WORD: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_")
_DIGIT: Final = frozenset(b"0123456789")
_LABEL: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_LETTER: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz")
_HEX: Final = frozenset(b"0123456789abcdef")
_CONSOLES: Final = frozenset(b"mgmt ipmi ilo idrac drac bmc oob console".split())
"""What the service processor of a machine is called, behind its name."""
_TWINS: Final = frozenset({b"new", b"old", *(label.encode() for label in ENVIRONMENT_LABELS)})
"""What tells another machine from the one that is called so: `old_web01`, `web01_stg`."""
_DAEMONS: Final = frozenset(b"dir fd sd".split())
"""How Bacula and Bareos call their daemons on a machine: `web01-fd`."""
_DONE_TO: Final = frozenset(
    b"backup bootstrap check deploy from ping provision reboot restart restore rsync ssh sync to update upgrade".split()
)
"""What is done to a machine, in the name of a task or a target: `deploy-web01`."""
_BOMS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_FILE_ENDINGS: Final = frozenset(
    "cfg conf config yml yaml json toml ini j2 erb tmpl pem crt cer key csr service timer socket sh txt log cron zone"
    " rules xml repo pp db md rst bak tar gz sql target adoc asc cnf csv epp eyaml gpg hcl html inc iso jinja jinja2 js"
    " ks ldif list lock lua map mdwn mount nix nmconnection ovpn php pid preseed properties pub py qcow2 rb rrd scm sls"
    " tf tfvars tpl tsv vhost xz zst"
    # What stands before the last: web01.example.org.access.log, web01.fullchain.pem.
    " access acl bundle cert certs chain error fullchain orig privkey ssl".split()
)
_RANGE: Final = re.compile(
    rb"[\[{]([a-z0-9]{1,18}(?:(?::|\.{2,3}|-)[a-z0-9]{1,18}(?:(?::|\.\.)\d{1,6})?)?(?:,[a-z0-9:.-]{1,40}){0,50})[\]}]"
)
_CHOICE: Final = re.compile(rb"\((?:\?:)?([a-z0-9-]{1,40}(?:\|[a-z0-9-]{1,40}){1,50})\)")
_PART: Final = re.compile(r"(\d+|[a-z])(?::|\.{2,3}|-)(\d+|[a-z])(?:(?::|\.\.)(\d+))?")
_DIGITS: Final = re.compile(rb"(?:\\d|\[0-9\]|\[\[:digit:\]\])(?:([+*])|\{(\d{1,2})(,?)(\d{0,2})\})?")
_DEFAULT: Final = re.compile(rb"\$\{[a-z0-9_]{1,60}:?-\Z")
_SIX: Final = re.compile(rb"[0-9a-f:]{2,45}(?:\.[0-9]{1,3}){0,3}")
_MAX_RANGES: Final = 4
"""Ranges of one name that are read."""
_CHOICE_LIMIT: Final = 500
"""Characters of a choice of names that are looked at."""
_PART_LIMIT: Final = 64
"""Characters of an identifier that are looked at on either side of a name."""
MAX_PER_FILE: Final = 20_000
_LONG: Final = 4096
"""Bytes of a line that are looked at around a mention."""
_HOST_PREFIX: Final = 30
"""The longest prefix of a network of which the first address is no machine's (RFC 3021)."""
_RUN: Final = 8
"""Addresses one after another, in lines that are alike else, that are a network written out."""
_RUN_LINE: Final = 200
"""Bytes of a line of such a list."""
BATCH: Final = 4 * 1024 * 1024
"""Bytes of small files that are searched as one text: a call a file costs more than its matches."""


class _Form(Enum):
    """What a word of the automaton is the beginning of."""

    PLAIN = auto()
    RANGE = auto()
    CHOICE = auto()
    SIX = auto()


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
        self._named: dict[str, list[Identity]] = {}
        self._below: dict[bytes, list[Identity]] = {}
        self._others: list[str] | None = None
        self._sixes: dict[str, list[Identity]] = {}
        means: dict[bytes, tuple[bytes, _Form]] = {}
        stems: set[bytes] = set()
        for identity in wanted:
            text = identity.text.encode("utf-8", "surrogateescape")
            if not text:
                continue
            if identity.kind == "address" and b":" in text:
                self._sixes.setdefault(identity.text, []).append(identity)
                for opener in _openers(identity.text):
                    means[opener] = (opener, _Form.SIX)
                continue
            known = self._identities.get(text)
            if known is not None:
                known.append(identity)
            else:
                self._identities[text] = [identity]
                means[text] = (text, _Form.PLAIN)
                escaped = text.replace(b".", rb"\.")
                if escaped != text and identity.kind not in ("word", "group"):
                    means[escaped] = (text, _Form.PLAIN)
            if identity.kind == "full":
                domain = text[text.find(b".") :]
                self._below.setdefault(domain, []).append(identity)
                for closed in (b")" + domain, b"}" + domain):
                    means[closed] = (domain, _Form.CHOICE)
                    means[closed.replace(b".", rb"\.")] = (domain, _Form.CHOICE)
            if identity.kind in ("full", "short"):
                self._named.setdefault(identity.text, []).append(identity)
                for stem in _stems(text):
                    if stem in stems:
                        continue
                    stems.add(stem)
                    for bracket in (b"[", b"{", b"(", rb"\d"):
                        opened = stem + bracket
                        means[opened] = (stem, _Form.RANGE)
                        if b"." in stem:
                            means[opened.replace(b".", rb"\.")] = (stem, _Form.RANGE)
        self._names = sorted(self._named)
        self._means = list(means.values())
        self._automaton = BytesAhoCorasick(list(means), matchkind=MatchKind.Standard) if means else None

    def scan(self, content: bytes) -> list[Mention]:
        """All mentions in a file, by line; one for each identity and line."""
        return next(self.scan_all((content,)))

    def scan_all(self, contents: Iterable[bytes]) -> Iterator[list[Mention]]:
        """The mentions of each file, in the order given. Small files are searched together."""
        batch: list[bytes] = []
        size = 0
        for content in contents:
            if b"\x00" in content[:512] or content.startswith(_BOMS):
                content = decode(content).encode("utf-8", "replace")
            batch.append(content)
            size += len(content)
            if size >= BATCH:
                yield from self._scan_batch(batch)
                batch, size = [], 0
        if batch:
            yield from self._scan_batch(batch)

    def _scan_batch(self, batch: list[bytes]) -> Iterator[list[Mention]]:
        if self._automaton is None:
            yield from ([] for _ in batch)
            return
        content = batch[0] if len(batch) == 1 else b"\n".join(batch)
        lower = content.lower()
        hits = sorted(self._automaton.find_matches_as_indexes(lower, overlapping=True), key=lambda hit: hit[1])
        at = begin = 0
        for one in batch:
            finish = begin + len(one)
            first = at
            while at < len(hits) and hits[at][1] < finish:
                at += 1
            yield self._of_file(content, lower, begin, finish, hits[first:at]) if at > first else []
            begin = finish + 1

    def _of_file(
        self, content: bytes, lower: bytes, begin: int, finish: int, hits: Sequence[tuple[int, int, int]]
    ) -> list[Mention]:
        """The mentions of the file that lies from `begin` to `finish`, by the hits in it, in order of their starts."""
        found: dict[tuple[int, str], Mention] = {}
        line, counted = 1, begin
        for which, start, end in hits:
            text, form = self._means[which]
            if form is _Form.PLAIN:
                meant = self._match(lower, text, start, end)
            elif form is _Form.RANGE:
                meant = self._in_range(lower, text, start, end)
            elif form is _Form.CHOICE:
                meant = self._in_choice(lower, text, start, end)
            else:
                meant = self._six(lower, start)
            for identity, exact in meant:
                line += lower.count(b"\n", counted, start)
                counted = start
                key = (line, identity.host)
                known = found.get(key)
                if known is not None and (known.exact or not exact) and len(known.identity.text) >= len(identity.text):
                    continue
                raw = known.text if known is not None else _line_text(content, begin, start, finish)
                found[key] = Mention(line, raw, identity, exact, is_comment(raw))
            if len(found) >= MAX_PER_FILE:
                break
        return list(found.values())

    def _match(self, lower: bytes, text: bytes, start: int, end: int) -> list[tuple[Identity, bool]]:
        hits = []
        for identity in self._identities[text]:
            exact = self._judge(lower, identity, text, start, end)
            if exact is not None:
                hits.append((identity, exact))
        return hits

    def _judge(self, lower: bytes, identity: Identity, text: bytes, start: int, end: int) -> bool | None:
        """True: the name itself; False: a name below it or an instance of it; None: something else."""
        before = lower[start - 1] if start else 10
        after = lower[end] if end < len(lower) else 10
        kind = identity.kind
        if kind == "address":
            return None if _written_out(lower, start, end) else _address_stands(lower, start, end)
        if kind == "word":
            return True if before not in _LABEL and after not in _LABEL else None
        if before in _LABEL and not _escape_before(lower, start):
            if kind != "short":
                return None
            compound = before == 95 or after == 95
            return (self._identifier if compound else self._task)(lower, identity, start, end)
        if kind == "group":
            return True if before != 46 and _group_ends(lower, end) else None
        below = before == 46 and _label_ends(lower, start - 1)
        if after == 45 or (after == 95 and kind == "full"):
            return None if below else self._goes_on(lower, identity, start, end)
        if after == 95 and kind == "short":
            return self._identifier(lower, identity, start, end)
        if after in _WORD or (after == 64 and kind in ("short", "prefix") and lower[end + 1 : end + 2].isalnum()):
            return None  # a longer word, or who gets mail
        dot = end + 1 if after == 92 and lower[end + 1 : end + 2] == b"." else end
        more = (after == 46 or dot > end) and dot + 1 < len(lower) and lower[dot + 1] in _WORD
        # More labels: another name, unless it is only the ending of a file's name.
        if more and (below or not _file_ending(lower, dot)):
            return True if kind == "short" and not below and self._elsewhere(lower, identity, dot + 1) else None
        if below:
            return self._is_below(lower, identity, text, start, end)
        # An address of mail: where it goes is said by MX, and seldom is the machine that has the domain's name.
        return not (before == 64 and self._table.is_domain(identity.text))

    def _goes_on(self, lower: bytes, identity: Identity, start: int, end: int) -> bool | None:
        """False if the label goes on with what the machine has or runs; else None.

        An instance (qa-stg01-1), its service processor (qa-stg01-mgmt), or what no top-level domain can go on with
        (web01.example.org-access.log).
        """
        tail = end + 1
        while tail < len(lower) and lower[tail] in _DIGIT:
            tail += 1
        numbered = tail > end + 1 and not (tail < len(lower) and lower[tail] in _LABEL)
        while not numbered and tail < len(lower) and lower[tail] in _LABEL:
            tail += 1
        instance = numbered or lower[end + 1 : tail] in _CONSOLES or lower[end + 1 : tail] in _DAEMONS
        if instance and identity.kind == "short" and self._stays(lower, identity, tail):
            return None if self._known(lower[start:tail]) else False
        return False if identity.kind == "full" and identity.text.count(".") >= 2 else None

    def _is_below(self, lower: bytes, identity: Identity, text: bytes, start: int, end: int) -> bool | None:
        """False if a name below the machine's is a service that it has; None if it is another machine's.

        What is below a host's name (`docs.web01.example.org`) is served by it; a numbered name is a machine.
        """
        if self._table.is_domain(identity.text) or identity.kind == "reverse":
            return None
        begin = start
        while begin and (lower[begin - 1] in _TOKEN or _escaped_dot(lower, begin - 1)):
            begin -= 1
        token = lower[begin:end].replace(b"\\", b"").strip(b".-")
        if token == text:
            numbered = any(digits in lower[max(start - _PART_LIMIT, 0) : start] for digits in (b"0-9", rb"\d"))
            return None if numbered else False
        numbered = token.split(b".", 1)[0][-1:].isdigit()
        return None if numbered or self._known(token) else False

    def _task(self, lower: bytes, identity: Identity, start: int, end: int) -> bool | None:
        """False if the name is that of something that is done to the machine, such as `deploy-web01`; else None."""
        if lower[start - 1] != 45 or (end < len(lower) and lower[end] in _LABEL):
            return None
        begin = start - 1
        while begin and start - begin < _PART_LIMIT and lower[begin - 1] in _WORD:
            begin -= 1
        if (begin and lower[begin - 1] in b"-.") or lower[begin : start - 1] not in _DONE_TO:
            return None
        return False if self._stays(lower, identity, end) and not self._known(lower[begin:end]) else None

    def _identifier(self, lower: bytes, identity: Identity, start: int, end: int) -> bool | None:
        """False if it is a word of an identifier, such as `allow_web01` or `web01_address`; else None.

        No host has an underscore in its name (RFC 952): what has one is called after it.
        """
        begin, tail = start, end
        while begin and start - begin < _PART_LIMIT and lower[begin - 1] in _WORD:
            begin -= 1
        while tail < len(lower) and tail - end < _PART_LIMIT and lower[tail] in _WORD:
            tail += 1
        if (begin and lower[begin - 1] in _LABEL) or (tail < len(lower) and lower[tail] in _LABEL):
            return None
        before, after = lower[begin:start], lower[end:tail]
        if (before and before[-1] != 95) or (after and after[0] != 95):
            return None
        beside = [before[:-1].rpartition(b"_")[2]] * bool(before) + [after[1:].partition(b"_")[0]] * bool(after)
        if any(word in _TWINS or not any(one in _LETTER for one in word) for word in beside):
            return None
        return False if self._stays(lower, identity, tail) else None

    def _stays(self, lower: bytes, identity: Identity, end: int) -> bool:
        """Whether an instance ends here, or goes on with the domain of its host or the ending of a file."""
        if lower[end : end + 1] != b"." or lower[end + 1 : end + 2] in (b"", b".") or lower[end + 1] not in _WORD:
            return True
        tail = end
        while tail < len(lower) and lower[tail] in _TOKEN:
            tail += 1
        domain = lower[end + 1 : tail].rstrip(b".-").decode()
        return _file_ending(lower, end) or f"{identity.text}.{domain}" in self._table.records[identity.host].names

    def _elsewhere(self, lower: bytes, identity: Identity, start: int) -> bool:
        """Whether the labels from here make it the machine's name in another of its networks, or outside of its site.

        `web01.mgmt.example.org` and `web01.example.org` are names of `web01.iad.example.org`, unless the latter is
        a machine of its own. That of `web01.stg.example.org` is not: it is its twin's.
        """
        tail = start
        while tail < len(lower) and (lower[tail] in _TOKEN or _escaped_dot(lower, tail)):
            tail += 1
        labels = lower[start:tail].replace(b"\\", b"").decode("ascii", "replace").strip(".-").split(".")
        inside = labels[0] in INTERFACE_LABELS
        domain = ".".join(labels[inside:])
        if inside and not domain:
            return True
        for name in self._table.records[identity.host].names:
            site = name.partition(".")[2]
            while "." in site:
                if domain == site or (domain.startswith(site) and domain[len(site)] in "-_"):
                    return inside or self._table.find(f"{identity.text}.{site}") is None
                label, _, site = site.partition(".")
                if label in ENVIRONMENT_LABELS and identity.text == name.partition(".")[0]:
                    break
        return False

    def _known(self, token: bytes) -> bool:
        return self._table.find(token.decode("ascii", "replace")) is not None

    def _in_range(self, lower: bytes, stem: bytes, start: int, end: int) -> list[tuple[Identity, bool]]:
        """`web[01:20]`, `web{01..20}`, `web0[1-3]`, `web{01,02}`, `web[0-9]+`: which of the names are in it."""
        before = lower[start - 1] if start else 10
        if before == 46 or (before in _LABEL and not _escape_before(lower, start)):
            return []
        at = end - 1 if lower[end - 1] in b"[{(" else end - 2
        head = stem.decode("utf-8", "replace")
        pieces: list[str | list[Callable[[str], bool]]] = []
        every = True
        while len(pieces) < 2 * _MAX_RANGES and (read := _range_at(lower, at)) is not None:
            every = every and _DIGITS.match(lower, at) is not None
            parts, tail = read
            at = tail
            while at < len(lower) and (lower[at] in _TOKEN or _escaped_dot(lower, at)):
                at += 1
            pieces += [parts, lower[tail:at].replace(b"\\", b"").decode("ascii", "replace")]
        if not pieces or (at < len(lower) and lower[at] in b"[{(\\" and pieces[-1]):
            return []  # something else that opens within the name
        pieces[-1] = str(pieces[-1]).rstrip(".")
        if every and any(_fits(name[len(head) :], pieces) for name in self._staying(head)):
            return []  # any number: it is about the machines that stay as much, and need not change
        hits: list[tuple[Identity, bool]] = []
        for number in range(bisect_left(self._names, head), len(self._names)):
            text = self._names[number]
            if not text.startswith(head):
                break
            if _fits(text[len(head) :], pieces):
                hits.extend((identity, True) for identity in self._named[text])
        return hits

    def _in_choice(self, lower: bytes, domain: bytes, start: int, end: int) -> list[tuple[Identity, bool]]:
        """Which names are in `(web|mail).example.org` or `{web,mail}.example.org`, whose bracket ends at `start`."""
        opened = lower.rfind(b"(" if lower[start] == 41 else b"{", max(start - _CHOICE_LIMIT, 0), start)
        if opened < 0 or (opened and lower[opened - 1] in _LABEL) or (end < len(lower) and lower[end] in _LABEL):
            return []
        if lower[end : end + 1] == b"." and lower[end + 1 : end + 2].isalnum():
            return []
        parts = lower[opened + 1 : start].removeprefix(b"?:").replace(b"|", b",").split(b",")
        names = {part.strip() + domain for part in parts}
        return [(one, True) for one in self._below[domain] if one.text.encode("utf-8", "surrogateescape") in names]

    def _staying(self, head: str) -> Iterator[str]:
        """Names that begin so, in full and short, of the machines that are not looked for and still run."""
        if self._others is None:
            looked = {one.host for found in self._named.values() for one in found}
            others: set[str] = set()
            domains = {name.partition(".")[2] for name in self._named} - {""}
            for record in self._table.records.values():
                if record.name not in looked and record.lifecycle is Lifecycle.ACTIVE:
                    others.update(record.names)
                    shorts = {name.split(".", 1)[0] for name in record.names}
                    others |= shorts
                    if "." not in record.name:
                        others.update(f"{short}.{domain}" for short in shorts for domain in domains)
            self._others = sorted(others)
        for at in range(bisect_left(self._others, head), len(self._others)):
            if not self._others[at].startswith(head):
                return
            yield self._others[at]

    def _six(self, lower: bytes, start: int) -> list[tuple[Identity, bool]]:
        """An IPv6 address in any spelling (RFC 4291 section 2.2) that begins here."""
        before = lower[start - 1] if start else 10
        if before in _WORD or before in b":.":
            return []
        found = _SIX.match(lower, start)
        if found is None:
            return []
        token = found[0]
        if found.end() < len(lower) and lower[found.end()] in _WORD:
            return []
        for text in (token, token.removesuffix(b":")):
            address = normal_address(text.decode())
            if address is not None:
                return [(identity, True) for identity in self._sixes.get(address, ())]
        return []


def _range_at(lower: bytes, at: int) -> tuple[list[Callable[[str], bool]], int] | None:
    """The range that opens at an offset, as tests of what may stand in its place, and where it ends."""
    digits = _DIGITS.match(lower, at)
    if digits is not None:
        return [_any_digits(digits)], digits.end()
    choice = _CHOICE.match(lower, at)
    if choice is not None:
        return [_part(part) for part in choice[1].decode().split("|")], choice.end()
    found = _RANGE.match(lower, at)
    if found is None:
        return None
    parts = [_part(part) for part in found[1].decode().split(",")]
    if len(parts) == 1 and lower[at] == 91 and found[1].isalnum():
        parts = [_part(character) for character in found[1].decode()]  # a character class
    return parts, found.end()


def _fits(text: str, pieces: Sequence[str | Sequence[Callable[[str], bool]]]) -> bool:
    """Whether a text is made of these pieces: ranges and what stands between them."""
    if not pieces:
        return not text
    piece = pieces[0]
    if isinstance(piece, str):
        return text.startswith(piece) and _fits(text[len(piece) :], pieces[1:])
    return any(
        any(part(text[:length]) for part in piece) and _fits(text[length:], pieces[1:])
        for length in range(1, len(text) + 1)
    )


def _openers(address: str) -> set[bytes]:
    """How an IPv6 address may begin, up to its first colons: with and without leading zeros."""
    first = IPv6Address(address).exploded.split(":", 1)[0]
    short = first.lstrip("0") or "0"
    openers = {f"{short.zfill(width)}:".encode() for width in range(len(short), 5)}
    return openers | {b"::"} if short == "0" else openers


def _stems(name: bytes) -> set[bytes]:
    """What may stand before the bracket of a range: the name up to a digit of its first label, or to a later number."""
    found = [at for at in range(1, min(len(name), 64)) if name[at] in _DIGIT and name[at - 1] not in b"."]
    label = name.find(b".")
    return {name[:at] for at in found if label < 0 or at < label or name[at - 1] not in _DIGIT}


def _part(text: str) -> Callable[[str], bool]:
    """Whether a text is in one part of a range, such as `01:20`, `1-9`, `a..c` or `07`, without expanding it."""
    found = _PART.fullmatch(text)
    if found is None or found[1].isdigit() != found[2].isdigit():
        return lambda middle: middle == text
    first, last, step = found[1], found[2], max(int(found[3] or 1), 1)
    if not first.isdigit():
        return lambda middle: len(middle) == 1 and first <= middle <= last and (ord(middle) - ord(first)) % step == 0
    low, high = int(first), int(last)
    width = len(first) if first.startswith("0") else 0

    def within(middle: str) -> bool:
        if not (middle.isascii() and middle.isdigit() and len(middle) <= 18):
            return False
        number = int(middle)
        return low <= number <= high and (number - low) % step == 0 and str(number).zfill(width) == middle

    return within


def _any_digits(found: re.Match[bytes]) -> Callable[[str], bool]:
    """Whether a text is what `\\d`, `[0-9]+` or `\\d{2,3}` matches."""
    least, most = 1, 1
    if found[1]:
        most = 63
    elif found[2]:
        least = int(found[2])
        most = least if not found[3] else int(found[4] or 63)
    return lambda middle: middle.isascii() and middle.isdigit() and least <= len(middle) <= most


def _group_ends(lower: bytes, end: int) -> bool:
    """Whether the name of a group ends here, or goes on with the ending of a file alone."""
    after = lower[end] if end < len(lower) else 10
    if after == 46 and lower[end + 1 : end + 2].isalnum():
        return _file_ending(lower, end)
    return after not in _LABEL


def _address_stands(lower: bytes, start: int, end: int) -> bool | None:
    """Whether an IPv4 address stands alone: not in 10.0.0.170, 110.0.0.17 or 1.10.0.0.17."""
    before = lower[start - 1] if start else 10
    after = lower[end] if end < len(lower) else 10
    if before in _WORD and not _escape_before(lower, start):
        return None
    if before == 46 and start >= 2 and lower[start - 2] in _DIGIT:
        return None
    if after in _WORD:
        return None
    if after == 46 and end + 1 < len(lower) and lower[end + 1] in _DIGIT:
        return None
    if after == 47 and _is_network(lower, start, end):
        return None
    return None if after == 45 and end + 1 < len(lower) and lower[end + 1] in _DIGIT and before == 45 else True


def _is_network(lower: bytes, start: int, end: int) -> bool:
    """Whether an IPv4 address with a prefix length is that of a network, rather than of a machine in it."""
    length = lower[end + 1 : end + 3].rstrip(b"./,;\"')]} \t\r\n")
    if not length.isdigit() or int(length) > _HOST_PREFIX:
        return False
    address = int(IPv4Address(lower[start:end].decode()))
    return address & ((1 << (32 - int(length))) - 1) == 0


def _written_out(lower: bytes, start: int, end: int) -> bool:
    """Whether a network is written out here, an address a line: that is about the network, and no use of one host."""
    base = lower.rfind(b".", start, end) + 1
    begin = lower.rfind(b"\n", 0, start) + 1
    after = lower.find(b"\n", end)
    after = len(lower) if after < 0 else after
    if after - begin > _RUN_LINE:
        return False
    head, number, tail = lower[begin:base], int(lower[base:end]), lower[end:after]
    run, at = 1, begin
    while run < _RUN:
        line = b"%s%d%s\n" % (head, number - run, tail)
        if number < run or not lower.endswith(line, 0, at):
            break
        at -= len(line)
        run += 1
    below, at = run - 1, after
    while run < _RUN:
        line = b"\n%s%d%s" % (head, number + run - below, tail)
        if not lower.startswith(line, at) or lower[at + len(line) : at + len(line) + 1] not in (b"", b"\n"):
            break
        at += len(line)
        run += 1
    return run >= _RUN


def _escape_before(lower: bytes, start: int) -> bool:
    """Whether what stands before is no part of a name.

    An escape (`\\thost01` in a quoted string, `%2fhost01` in a URL), the default of a variable (`${DB:-host01}`), or an
    option with its value behind it (`mysql -hhost01`).
    """
    if start >= 2 and lower[start - 2] == 92 and lower[start - 1] in b"ntr":
        return True
    if lower[start - 1] == 45 and _DEFAULT.search(lower, max(start - _PART_LIMIT, 0), start):
        return True
    if start >= 3 and lower[start - 2 : start] == b"-h" and lower[start - 3] in b" \t'\"[,":
        return True
    return start >= 3 and lower[start - 3] == 37 and lower[start - 2] in _HEX and lower[start - 1] in _HEX


def _escaped_dot(lower: bytes, at: int) -> bool:
    """Whether a backslash stands here that only escapes a dot, as in a regular expression."""
    return lower[at] == 92 and lower[at + 1 : at + 2] == b"."


def _label_ends(lower: bytes, dot: int) -> bool:
    """Whether a label stands before this dot, which may be escaped."""
    if dot and lower[dot - 1] == 92:
        dot -= 1
    # Of a pattern only the end is looked at: `web[0-9]+`, but not `.+`, which is what a certificate calls `*`.
    patterned = dot > 1 and lower[dot - 1] in b"+?" and lower[dot - 2] in b"])d}"
    return dot > 0 and (lower[dot - 1] in _LABEL or lower[dot - 1] in b"])}" or patterned)


def _file_ending(lower: bytes, end: int) -> bool:
    tail = end + 1
    while tail < len(lower) and lower[tail] in _LABEL:
        tail += 1
    if tail < len(lower) and lower[tail] == 46 and tail + 1 < len(lower) and lower[tail + 1] in _WORD:
        # web01.conf.j2
        return lower[end + 1 : tail].decode("ascii", "replace") in _FILE_ENDINGS and _file_ending(lower, tail)
    return lower[end + 1 : tail].decode("ascii", "replace") in _FILE_ENDINGS


def _line_text(content: bytes, begin: int, at: int, finish: int) -> str:
    """The line around an offset, of a file from `begin` to `finish`; of a very long one, what is near the offset.

    Secrets are taken out before a line is cut, since afterwards a password has lost the word that tells it.
    """
    start = max(content.rfind(b"\n", begin, at) + 1, begin, at - _LONG)
    end = content.find(b"\n", at, min(finish, at + _LONG))
    if end < 0:
        end = min(finish, at + _LONG)
    if at - start <= EXCERPT_LIMIT // 2:
        return content[start:end].decode("utf-8", "replace").rstrip("\r")
    before = redact(content[start:at].decode("utf-8", "replace"))
    whole = redact(content[start:end].decode("utf-8", "replace").rstrip("\r"))
    return whole[max(len(before) - EXCERPT_LIMIT // 4, 0) :] if len(whole) > EXCERPT_LIMIT else whole
