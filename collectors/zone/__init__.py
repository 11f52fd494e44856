"""DNS zone files in master file format (RFC 1035 section 5, RFC 2308 section 4, BIND 9.18's additions)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from ipaddress import AddressValueError, IPv6Address
from pathlib import PurePosixPath
from typing import Any, ClassVar, Final, TypeAlias

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Fragment,
    Kind,
    Malformed,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
    decode,
    excerpt,
    host_ref,
    is_hostname,
    lazy_pattern,
    normal_address,
    normal_name,
    read_spf,
    split_endpoint,
)
from collectors.zone.declared import Declared, declared

GENERATE_LIMIT: Final = 65_536
"""Names that all $GENERATE lines of one document may make together."""
INCLUDE_DEPTH: Final = 10
INCLUDE_FILES: Final = 1_000
"""Files that the $INCLUDE lines of one zone may read together."""
MALFORMED_LIMIT: Final = 200
"""Places of one document that are reported one by one."""
UNCLOSED_LIMIT: Final = 20
"""Unclosed parentheses that are recovered from before the rest of a document is given up."""

_REFUSED: Final = "named does not load the zone with this line"
_DIRECTIVE: Final = lazy_pattern(rb"\$(?:ORIGIN|TTL|INCLUDE|GENERATE)[ \t]", re.IGNORECASE)
_RECORD: Final = lazy_pattern(
    rb"[^\s;{}<>=]*(?:[ \t]+(?:\d\w*|IN|CH|HS))*[ \t]+"
    rb"(?:SOA|NS|A|AAAA|CNAME|MX|TXT|PTR|SRV|CAA|ALIAS|ANAME|DNAME|HTTPS|SVCB|TLSA|NAPTR|HINFO|DS|DNSKEY)[ \t]+[^\s=]",
    re.IGNORECASE,
)
_FIRST: Final = lazy_pattern(rb"(?:[ \t\r]*+(?:;[^\n]*+)?\n)*([^\n]*+)")
_DIRECTORIES: Final = frozenset({"named", "bind", "dns", "zones", "nsd"})
_RAW: Final = b"\x00\x00\x00\x02\x00\x00\x00"
_TEMPLATE: Final = lazy_pattern(r"\{\{|\{%|\{#|<%|\$\{[A-Za-z_]")
# What a template may fill in and leave the records as they are: a serial number, and the zone of the file's name.
_FILLED_NUMBER: Final = lazy_pattern(r"(^|\()([ \t]*)(?:\{\{[^{}]*\}\}|<%=[^<>]*%>)(?=[ \t]*(?:;|$)|[ \t]+\d)")
_FILLED_ZONE: Final = lazy_pattern(r"(?:\{\{|<%=)[ \t]*@?\w*(?:zone|domain|origin)\w*[ \t]*(?:\}\}|%>)", re.IGNORECASE)
_SUFFIXES: Final = (".signed", ".zone", ".db", ".dns", ".hosts", ".rev", ".txt", ".axfr", ".inc", ".in", ".j2")
_PREFIXES: Final = ("db.", "named.", "master.", "primary.", "pri.", "slave.", "secondary.", "sec.", "zone.")
# What Debian's bind9 package names its own zone files.
_DISTRIBUTED: Final = {"db.local": "localhost", "db.root": "", "named.root": "", "root.hints": "", "db.cache": ""}

_STATED: Final = lazy_pattern(
    r"^\$ORIGIN[ \t]+\S{0,255}\.(?:[ \t\r;]|$)|^[^\s;@$]{0,255}\.[ \t](?:\d\w*[ \t]+|IN[ \t]+)*SOA\b",
    re.IGNORECASE | re.MULTILINE,
)
# What the DNS server of Windows, and `dnscmd /ZoneExport`, write above the records and before those that may age.
_WINDOWS_HEADER: Final = lazy_pattern(
    r"^;[ \t]*Database file [^\n]{1,255} for ([^\s;]{1,255}) zone\.\s*$", re.MULTILINE
)
_WINDOWS_AGE: Final = lazy_pattern(r"\[(?:AGE|Aging):\d+\]", re.IGNORECASE)
_TOKEN: Final = lazy_pattern(r'(?:[^\s;()"\\]++|"(?:[^"\\]++|\\.)*"|\\.){1,10000}')
_STRING: Final = lazy_pattern(r'"(?:[^"\\]++|\\.)*"|(?:[^"\\]++|\\.)+')
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = lazy_pattern(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_TTL: Final = lazy_pattern(r"\d+|(?:\d+[wdhms])+", re.IGNORECASE)
_TTL_PART: Final = lazy_pattern(r"(\d+)([wdhms]?)", re.IGNORECASE)
_TTL_UNIT: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_CLASSES: Final = frozenset({"IN", "CH", "HS", "CHAOS", "HESIOD"})
_ESCAPED: Final = lazy_pattern(r"\\(\d{3}|.)")
_REPORTED_TO: Final = lazy_pattern(r"(?:mailto:[^@\s,;]{1,64}@|https://)([^\s/:,;!]{1,255})")
_MODIFIER: Final = lazy_pattern(r"\{([+-]?\d{1,10})(?:,(\d{1,3})(?:,([doxXnN]))?)?\}")
_GENERATE_RANGE: Final = lazy_pattern(r"(\d{1,10})-(\d{1,10})(?:/(\d{1,10}))?")

_ONE_NAME: Final = frozenset({"CNAME", "NS", "PTR", "DNAME", "ALIAS", "ANAME"})
_REDIRECTS: Final = frozenset({"CNAME", "ALIAS", "ANAME", "DNAME"})
# Signatures and keys of DNSSEC, made by a signer: no host is in them.
_DNSSEC: Final = frozenset(
    {"RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDNSKEY", "DS", "CDS", "DLV", "SIG", "KEY", "NXT"}
)
_KNOWN: Final = _ONE_NAME | _DNSSEC | {"A", "AAAA", "MX", "SRV", "SOA", "TXT", "SPF"}
# Types whose records are alternatives: a client tries the next.
_SETS: Final = frozenset({"MX", "NS", "SRV", "NAPTR", "URI", "SVCB", "HTTPS", "AFSDB", "KX", "SPF"})
# What may stand beside a CNAME (RFC 4035 section 2.5, RFC 2181 section 10.1).
_BESIDE_CNAME: Final = frozenset({"CNAME", "RRSIG", "NSEC", "NSEC3", "SIG", "KEY", "NXT"})
# Types whose rdata names one host, and dnspython's attribute that holds it.
_TARGETS: Final = {"AFSDB": "hostname", "RT": "exchange", "KX": "exchange", "LP": "fqdn", "NAPTR": "replacement"}


class _BadLineError(Exception):
    """A line that can't be read; the text says why."""


class _NoOriginError(Exception):
    """A relative name where no origin is known."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One entry: its tokens as written, and whether it begins with white space (the owner of before)."""

    number: int
    end: int
    tokens: tuple[str, ...]
    inherits: bool


@dataclass(frozen=True, slots=True)
class _State:
    """What a zone file's lines hand on to the next: names without the final dot, "" for the root."""

    origin: str | None
    zone: str | None = None
    owner: str | None = None
    ttl: int | None = None
    default_ttl: int | None = None


@dataclass(frozen=True, slots=True)
class _Include:
    """An $INCLUDE line as it stands in a file, with the state in which the other file is read."""

    path: str
    name: str
    state: _State


@dataclass(frozen=True, slots=True)
class _Rdata:
    """The rdata of one record: how it is shown, which hosts it names, and what else is known."""

    text: str
    providers: tuple[tuple[Ref, str], ...] = ()
    attributes: dict[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Unnamed:
    """A file that does not say which zone it is, and what its name says of that."""

    path: str
    origin: str | None


_Item: TypeAlias = Parsed | _Include


class ZoneCollector(Collector):
    """BIND zone files: records with file and line, whatever one bad line among them says.

    A file's origin is its $ORIGIN, else its SOA's absolute owner, else the zone that Windows names above the records or
    that the server's named.conf makes it, else what the file is called.

    Reads
    -----
    Master files: `*.zone`, `db.*`, `*.dns` of Windows and its exports, and any file that begins like one, with
    `$INCLUDE` and `$GENERATE`. For files that do not say which zone they are, `named.conf` and what it includes: one
    file may be several zones.

    Yields
    ------
    What each name resolves to, over CNAME, ALIAS and wildcards, and a record node for every other type: MX, SRV, NS,
    PTR, SPF and the rest.

    Can't see
    ---------
    Records that are made at run time (dynamic updates without a dump, geographic answers), zones that are only served
    and not captured, and which view a client gets: where a zone differs between views, and its files do not say
    themselves which zone they are, each view is told apart, else their answers count as one.
    """

    name: ClassVar[str] = "zone"
    title: ClassVar[str] = "DNS zone files"
    area: ClassVar[Area] = Area.NAMES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.RESOLVES, Relation.RECORDS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By content: the first line that says something is a directive or a record."""
        if head.startswith(_RAW):
            return _named_like_zone(path)
        named = _named_like_zone(path)
        at = 3 if head.startswith(b"\xef\xbb\xbf") else 0
        # A few lines that can't be read may come first where the path says what the file is.
        for _ in range(20 if named else 1):
            found = _FIRST.match(head, at)
            line = found[1] if found else b""
            if _DIRECTIVE.match(line) or ((named or b"SOA" in line.upper()) and _RECORD.match(line)):
                return b"\x00" not in head[:512]
            at += len(found[0]) if found else 0
        return False

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Records of one file. What an $INCLUDE brings comes from `combine`."""
        if document.content.startswith(_RAW):
            yield Malformed(
                Where(0),
                "a compiled zone (masterfile-format raw)",
                "named reads it; `named-compilezone -f raw -F text` makes it readable",
                whole=True,
            )
            return
        text = decode(document.content)
        if "\x00" in text[:512]:
            yield Malformed(Where(0), "not text", "named does not load it as a zone", whole=True)
            return
        origin = _origin_of(document.path, text)
        text, unknown = _filled_in(text, origin)
        yield from unknown
        if (document.path.startswith("/") or origin is None) and not _states_origin(text):
            yield Fragment("unnamed", _Unnamed(document.path, origin), Where(1))
            return
        reader = _Reader(text, _State(origin), guessed=True)
        if reader.is_part():
            yield Fragment("part", document.path, Where(1))
            return
        for item in reader.items():
            if isinstance(item, _Include):
                line = reader.where(reader.current)
                yield Fragment("include", replace(item, path=document.path), line)
            else:
                yield item

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Names the zones of files that do not, follows $INCLUDE lines, says which parts of zones no zone includes."""
        included: set[str] = set()
        unnamed = [(f.path or f.value.path, f.value.origin) for f in fragments if isinstance(f.value, _Unnamed)]
        known = declared((path for path, _ in unnamed), read) if unnamed else Declared()
        parts: list[tuple[str, Where]] = []
        for path, guess in unnamed:
            text, _ = _filled_in(decode(read(path) or b""), guess)
            if path not in known.zones and _Reader(text, _State(guess)).is_part():
                parts.append((path, Where(1)))
            else:
                yield from _unnamed(path, text, guess, known, read, included)
        for fragment in fragments:
            if isinstance(fragment.value, _Include):
                includes = _Includes(read, included, known.directory)
                path = fragment.path or fragment.value.path
                yield from includes.follow(replace(fragment.value, path=path), fragment.where, (path,))
        parts.extend((f.path or f.value, f.where) for f in fragments if isinstance(f.value, str))
        for path, where in parts:
            if path not in included:
                reason = "a part of a zone that no captured zone includes: its origin is not known"
                yield Malformed(replace(where, path=path), reason)


def _unnamed(
    path: str, text: str, guess: str | None, known: Declared, read: Read, included: set[str]
) -> Iterator[Parsed]:
    """A file as each of the zones that named.conf makes it; as its own name says if that does not know it."""
    zones = known.zones.get(path, [])
    views = {
        zone: {view for file in known.zones.values() for other, view in file if other == zone}
        for zone in {zone for zone, _ in zones}
    }
    origins: dict[str | None, tuple[str, ...]] = {
        zone: tuple(view for other, view in zones if other == zone) for zone, _ in zones
    }
    for origin, shown in (origins or {guess: ()}).items():
        reader = _Reader(text, _State(origin), guessed=not zones)
        # A name that has other addresses in another view is lost to the clients of this one.
        apart = f" in view {', '.join(shown)}" if len(views.get(origin or "", ())) > len(shown) else ""
        for item in reader.items():
            if isinstance(item, _Include):
                includes = _Includes(read, included, known.directory)
                place = reader.where(reader.current)
                yield from includes.follow(replace(item, path=path), place, (path,))
            elif isinstance(item, Dependency) and item.group and apart:
                yield replace(item, group=item.group + apart, where=replace(item.where, path=path))
            elif isinstance(item, Entity | Dependency | Malformed):
                yield replace(item, where=replace(item.where, path=path))


class _Includes:
    """Follows $INCLUDE lines, each file as often as it is included, with limits."""

    def __init__(self, read: Read, included: set[str], directory: str) -> None:
        self._read = read
        self._directory = directory
        self._included = included
        self._files = 0

    def follow(self, include: _Include, where: Where, chain: tuple[str, ...]) -> Iterator[Parsed]:
        """Facts of the included file and of those that it includes. `chain` is the files that led here."""
        where = replace(where, path=include.path)
        tried = _included_paths(include, self._directory)
        if not tried:
            reason = f"$INCLUDE {excerpt(include.name)} leaves the captured files"
            yield Malformed(where, reason, "its records are not known")
            return
        if len(chain) > INCLUDE_DEPTH or self._files >= INCLUDE_FILES:
            yield Malformed(where, "too many $INCLUDE lines, or too deep", "its records are not known")
            return
        path, content = next(((path, found) for path in tried if (found := self._read(path)) is not None), ("", None))
        if content is None:
            reason = f"$INCLUDE {excerpt(include.name)}: the file was not captured"
            yield Malformed(where, reason, "its records are not known")
            return
        if path in chain:
            yield Malformed(where, f"$INCLUDE {excerpt(include.name)} includes itself", _REFUSED)
            return
        self._files += 1
        self._included.add(path)
        text, unknown = _filled_in(decode(content), include.state.origin)
        for one in unknown:
            yield replace(one, where=replace(one.where, path=path))
        reader = _Reader(text, include.state)
        for item in reader.items():
            if isinstance(item, _Include):
                at = reader.where(reader.current)
                yield from self.follow(replace(item, path=path), at, (*chain, path))
            elif isinstance(item, Entity | Dependency | Malformed):
                yield replace(item, where=replace(item.where, path=path))


def _included_paths(include: _Include, directory: str) -> list[str]:
    """Paths to try, inside the source: in the server's directory, beside the including file, in those above it.

    named resolves a relative name against its `directory` option, which a zone file does not say: where that is not
    known, it usually is the including file's directory or one above it.
    """
    name = PurePosixPath(include.name)
    if "\x00" in include.name or not include.name:
        return []
    if name.is_absolute():
        path = _inside(name)
        return [path] if path else []
    places = [PurePosixPath(directory)] if directory and include.path.startswith("/") else []
    places += PurePosixPath(include.path).parents
    return [path for parent in places if (path := _inside(parent / name))][:16]


def _inside(path: PurePosixPath) -> str | None:
    """The path without `.` and `..`; None if it leaves the root."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            if not parts or parts == ["/"]:
                return None
            parts.pop()
        elif part != ".":
            parts.append(part)
    return str(PurePosixPath(*parts)) if parts else None


def _named_like_zone(path: str) -> bool:
    base = path.rsplit("/", 1)[-1]
    if base.endswith((".zone", ".zone.signed", ".db", ".dns")) or base.startswith("db."):
        return True
    return not _DIRECTORIES.isdisjoint(path.split("/")[:-1])


def _states_origin(text: str) -> bool:
    """Whether a file says itself which zone it is: by its first $ORIGIN or its SOA's owner, if that is absolute.

    The DNS server of Windows says it in a comment.
    """
    return _STATED.search(text[:16_384]) is not None or _WINDOWS_HEADER.search(text[:1024]) is not None


def _origin_of(path: str, text: str) -> str | None:
    """The zone's name by its file's name, without the final dot; None if that is no zone's name."""
    if windows := _WINDOWS_HEADER.search(text[:1024]):
        return normal_name(windows[1])
    base = path.rsplit("/", 1)[-1].lower()
    if base in _DISTRIBUTED:
        return _DISTRIBUTED[base]
    found, stripped = _without_affixes(base)
    if stripped == "db." and (octets := found.split(".")) and len(octets) < 4 and all(o.isdecimal() for o in octets):
        return ".".join((*reversed(octets), "in-addr.arpa"))
    if "." in found and is_hostname(found.replace("/", "-")):
        return normal_name(found)
    parent = path.rsplit("/", 2)[-2].lower() if "/" in path else ""
    if "." in parent.strip(".") and is_hostname(parent) and found in ("db", "zone", "zonefile", "master", "primary"):
        return normal_name(parent)
    if not stripped or not is_hostname(found) or found in ("empty", "local", "root", "cache", "example"):
        return None
    if not re.search(r"\sSOA\s", text, re.IGNORECASE):
        return None
    # `eventide.zone`: the SOA's server or mailbox tells `eventide.net` from a zone `eventide`.
    name = rf"(?<![\w-]){re.escape(found)}((?:\.[a-z0-9-]{{1,63}}){{1,4}})\.(?:\s|$)"
    longer = re.search(name, text[:4096], re.IGNORECASE)
    return normal_name(found + longer[1]) if longer else normal_name(found)


def _filled_in(text: str, origin: str | None) -> tuple[str, list[Malformed]]:
    """A zone file that is a template, with what can be told of it filled in; the lines that can't are left empty.

    After an $ORIGIN that is not known, relative names are not either: all is left out up to the next that is.
    """
    if _TEMPLATE.search(text) is None:
        return text, []
    lines, unknown, lost = text.split("\n"), [], False
    for at, line in enumerate(lines):
        directive = line.startswith("$ORIGIN")
        if _TEMPLATE.search(line) is not None:
            filled = _FILLED_NUMBER.sub(r"\g<1>\g<2>1", line)
            if origin:
                filled = _FILLED_ZONE.sub(origin, filled)
            if _TEMPLATE.search(filled.partition(";")[0]) is None:
                line = filled
            else:
                unknown.append(at)
                lost, line = lost or directive, ""
        if directive and line.partition(";")[0].rstrip().endswith("."):
            lost = False
        lines[at] = "" if lost else line
    if not unknown:
        return "\n".join(lines), []
    where = Where(unknown[0] + 1, excerpt(text.split("\n", unknown[0] + 1)[unknown[0]]))
    more = f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    effect = "the records that it becomes are not known; text that names a host is found in it all the same"
    return "\n".join(lines), [Malformed(where, f"a line of a template{more}", effect)]


def _without_affixes(base: str) -> tuple[str, str]:
    """A file's name without what marks it as a zone file, and the last affix that was cut."""
    stripped = ""
    for _ in range(4):
        suffix = next((s for s in _SUFFIXES if base.endswith(s) and len(base) > len(s)), "")
        prefix = next((p for p in _PREFIXES if base.startswith(p) and len(base) > len(p)), "")
        if not suffix and not prefix:
            break
        base = base.removesuffix(suffix).removeprefix(prefix)
        stripped = prefix or suffix
    return base, stripped


class _Reader:
    """Reads one file's entries into facts, keeping the state of RFC 1035 section 5.1 between them."""

    def __init__(self, text: str, state: _State, guessed: bool = False) -> None:
        """`guessed` is whether the origin comes from the file's name: a zone that is taken from it may be wrong."""
        self._lines = text.removeprefix("\ufeff").split("\n")
        self._origin, self._zone, self._owner = state.origin, state.zone, state.owner
        self._ttl, self._default_ttl = state.ttl, state.default_ttl
        self._guessed = guessed
        self._zone_guessed = guessed
        self._generated = 0
        self._malformed = 0
        self._no_origin = False
        self._cnames: dict[str, list[int]] = {}
        self._others: set[str] = set()
        self._named: set[tuple[str, str]] = set()
        self._place = Where()
        self.current = _Line(0, 0, (), False)

    def where(self, line: _Line, needle: str = "") -> Where:
        """The place of an entry, or of the line in it that holds a text."""
        number = line.number
        if needle and line.end > line.number:
            for at in range(line.number, line.end + 1):
                if needle in self._lines[at - 1].lower():
                    number = at
                    break
        # Facts of one entry, and all that a $GENERATE makes, share their place.
        if self._place.line != number:
            self._place = Where(number, excerpt(self._lines[number - 1]))
        return self._place

    def is_part(self) -> bool:
        """Whether the file has relative names only, and nothing says which zone they belong to."""
        if self._origin is not None:
            return False
        for line in self._lines:
            word = line.split(None, 1)[0].upper() if line.strip() else ""
            if word == "$ORIGIN" or " SOA " in line.upper().replace("\t", " "):
                return False
        return True

    def items(self) -> Iterator[_Item]:
        """All facts, in the order of the lines; then what contradicts itself."""
        for entry in self._entries():
            yield from self._limited(entry)
        for owner, numbers in self._cnames.items():
            for count, number in enumerate(numbers):
                where = Where(number, excerpt(self._lines[number - 1]))
                effect = "named does not load the zone; other servers may answer with either"
                if owner in self._others:
                    yield Malformed(where, f"CNAME beside other records of {excerpt(owner)}", effect)
                elif count:
                    yield Malformed(where, f"more than one CNAME of {excerpt(owner)}", effect)
        if self._malformed > MALFORMED_LIMIT:
            yield Malformed(Where(0), f"{self._malformed - MALFORMED_LIMIT} more lines that can't be read")

    def _limited(self, entry: _Line | Malformed) -> Iterator[_Item]:
        if isinstance(entry, Malformed):
            items: Iterator[_Item] = iter((entry,))
        else:
            self.current = entry
            items = self._entry(entry)
        for item in items:
            if isinstance(item, Malformed):
                self._malformed += 1
                if self._malformed > MALFORMED_LIMIT:
                    continue
            yield item

    def _entries(self) -> Iterator[_Line | Malformed]:
        """Entries as tokens. Parentheses join lines; an unclosed one spoils its own line only."""
        at, unclosed, lines = 0, 0, self._lines
        while at < len(lines):
            line = lines[at]
            if '"' not in line and "(" not in line and ")" not in line and "\\" not in line:
                words = tuple((line if ";" not in line else line[: line.index(";")]).split())
                if words:
                    yield _Line(at + 1, at + 1, words, line[0] in " \t")
                at += 1
                continue
            tokens: list[str] = []
            depth, last, why = 0, at, ""
            while True:
                depth, why = _scan(lines[last], depth, tokens)
                if why or depth == 0:
                    break
                if last + 1 >= len(lines):
                    why = "a parenthesis that is not closed"
                    break
                last += 1
            if why:
                if last > at:
                    why = "a parenthesis that is not closed"
                unclosed += depth > 0
                if unclosed > UNCLOSED_LIMIT:
                    where = Where(at + 1, excerpt(line))
                    yield Malformed(where, "too many unclosed parentheses: the rest of the file is not read", _REFUSED)
                    return
                yield Malformed(Where(at + 1, excerpt(line)), why, _REFUSED)
                # An error of its own line inside parentheses: what follows the opening line is read as if alone.
                at += 1
                continue
            if tokens:
                yield _Line(at + 1, last + 1, tuple(tokens), line[0] in " \t")
            at = last + 1

    def _entry(self, line: _Line) -> Iterator[_Item]:
        tokens = line.tokens
        try:
            if tokens[0].startswith("$") and not line.inherits and tokens[0][1:].isalpha():
                yield from self._directive(line)
                return
            if line.inherits:
                at = 0
                if self._owner is None:
                    if self._origin is None:
                        raise _NoOriginError
                    raise _BadLineError("a record without a name, before any name")
            else:
                self._owner = None
                self._owner = self._absolute(tokens[0])
                at = 1
            yield from self._record(line, self._owner, tokens[at:])
        except _NoOriginError:
            if not self._no_origin:
                self._no_origin = True
                yield Malformed(
                    self.where(line),
                    "a relative name, and no origin is known: no $ORIGIN, and the file is not named after its zone",
                    "this and all further records with relative names are left out",
                )
        except _BadLineError as bad:
            yield Malformed(self.where(line), str(bad), _REFUSED)

    def _directive(self, line: _Line) -> Iterator[_Item]:
        word, *rest = line.tokens
        word = word.upper()
        if word == "$ORIGIN":
            if len(rest) != 1:
                raise _BadLineError("$ORIGIN takes one name")
            self._guessed = self._guessed and not rest[0].endswith(".")
            self._origin = self._absolute(rest[0] if self._origin is not None else rest[0].rstrip(".") + ".")
        elif word == "$TTL":
            ttl = _ttl(rest[0]) if len(rest) == 1 else None
            if ttl is None:
                raise _BadLineError("$TTL takes one time")
            self._default_ttl = ttl
        elif word == "$INCLUDE":
            if not 1 <= len(rest) <= 2:
                raise _BadLineError("$INCLUDE takes a file, and perhaps an origin")
            origin = self._absolute(rest[1]) if len(rest) == 2 else self._origin
            state = _State(origin, self._zone, self._owner, self._ttl, self._default_ttl)
            yield _Include("", _unquoted(rest[0]), state)
        elif word == "$GENERATE":
            yield from self._generate(line, rest)
        elif word not in ("$UNICODE", "$DATE"):
            raise _BadLineError(f"{excerpt(word)} is no directive of zone files")

    def _generate(self, line: _Line, rest: list[str]) -> Iterator[_Item]:
        """BIND 9's $GENERATE: range, owner, and a record, with the number in place of each `$`."""
        found = _GENERATE_RANGE.fullmatch(rest[0]) if rest else None
        if found is None or len(rest) < 3:
            raise _BadLineError("$GENERATE takes a range, a name and a record")
        start, stop, step = int(found[1]), int(found[2]), int(found[3] or 1)
        if start > stop or step < 1 or stop > 0x7FFFFFFF:
            raise _BadLineError("$GENERATE with a range that is none")
        numbers = range(start, stop + 1, step)
        room = GENERATE_LIMIT - self._generated
        if len(numbers) > room:
            reason = f"$GENERATE of {len(numbers)} names: only {GENERATE_LIMIT} of one file are looked at"
            yield Malformed(self.where(line), reason, "named makes them all")
            numbers = numbers[: max(room, 0)]
        self._generated += len(numbers)
        for number in numbers:
            words = [_filled(word, number) if "$" in word or "\\" in word else word for word in rest[1:]]
            yield from self._record(line, self._absolute(words[0]), tuple(words[1:]))

    def _absolute(self, token: str) -> str:
        """A name as written, made whole: lower case, without the final dot."""
        if token == "@":  # noqa: S105 - a token of the file's grammar
            if self._origin is None:
                raise _NoOriginError
            return self._origin
        if token == ".":  # noqa: S105
            return ""
        name = token
        if "\\" in name:
            # In a zone file `\052` is the digit 4, yet no one writes that: it is Route 53's `*`, from an export.
            if name.startswith("\\052."):
                name = f"*{name[4:]}"
            name = _ESCAPED.sub(_unescaped, name)
        if '"' in name:
            name = name.strip('"')
        if name.endswith(".") and not name.endswith("\\."):
            name = name[:-1]
        elif self._origin is None:
            raise _NoOriginError
        elif self._origin:
            name = f"{name}.{self._origin}"
        if not name or name[0] == "." or ".." in name:
            raise _BadLineError(f"{excerpt(token)}: an empty label in a name")
        if len(name) > 253 and "\\" not in name:
            raise _BadLineError(f"{excerpt(token[:40])}…: a name of more than 253 characters")
        if len(name) > 63 and any(len(label) > 63 for label in name.split(".")) and "\\" not in name:
            raise _BadLineError(f"{excerpt(token[:40])}…: a label of more than 63 characters")
        return normal_name(name)

    def _record(self, line: _Line, owner: str, tokens: tuple[str, ...]) -> Iterator[_Item]:
        if tokens and _WINDOWS_AGE.fullmatch(tokens[0]):
            tokens = tokens[1:]
        kind, ttl, rest = self._head(tokens)
        if kind == "SOA":
            if self._default_ttl is None and self._ttl is None and rest:
                self._default_ttl = _ttl(rest[-1])
            if self._zone is None or not _within(owner, self._zone):
                self._zone = owner
                self._zone_guessed = self._guessed and not (line.tokens[0].endswith(".") and not line.inherits)
                attributes: dict[str, Attribute] = {"origin": owner}
                if len(rest) > 2 and rest[2].isdecimal():
                    attributes["serial"] = rest[2]
                yield Entity(Ref(Kind.ZONE, owner or "."), self.where(line), attributes)
        if ttl is None:
            ttl = self._default_ttl if self._default_ttl is not None else self._ttl
        else:
            self._ttl = ttl
        if self._zone is not None and not _within(owner, self._zone):
            reason = f"{excerpt(owner)} is not in the zone {excerpt(self._zone)}"
            if not self._zone_guessed:
                yield Malformed(self.where(line), reason, "named ignores this record")
                return
            effect = "named ignores this record, if the zone is called as its file is"
            yield Malformed(self.where(line), reason, effect)
        if kind == "CNAME":
            self._cnames.setdefault(owner, []).append(line.number)
        elif kind not in _BESIDE_CNAME:
            self._others.add(owner)
        if kind in _DNSSEC:
            return
        rdata = self._rdata(kind, owner, rest)
        known: dict[str, Attribute] = {"type": kind}
        if ttl is not None:
            known["ttl"] = ttl
        if kind in ("A", "AAAA") or kind in _REDIRECTS:
            yield from self._resolution(line, owner, kind, rdata, known)
        else:
            yield from self._other(line, owner, kind, rdata, known)

    def _resolution(
        self, line: _Line, owner: str, kind: str, rdata: _Rdata, known: dict[str, Attribute]
    ) -> Iterator[_Item]:
        """NAME to ADDRESS or NAME. A DNAME's owner itself keeps its own addresses (RFC 6672 section 2.4)."""
        name = Ref(Kind.NAME, owner or ".")
        if (owner, kind) not in self._named:
            self._named.add((owner, kind))
            if kind == "DNAME":
                known["dname"] = rdata.text
            yield Entity(name, self.where(line), known)
        group = "" if kind in ("CNAME", "ALIAS", "ANAME") else "addresses"
        for provider, _ in rdata.providers:
            yield Dependency(name, provider, Relation.RESOLVES, self.where(line, rdata.text), group=group)
        address = rdata.attributes.get("literal")
        if address is not None:
            yield self._literal(line, kind, owner, rdata)

    def _other(self, line: _Line, owner: str, kind: str, rdata: _Rdata, known: dict[str, Attribute]) -> Iterator[_Item]:
        record = Ref(Kind.RECORD, f"{owner or '.'} {kind} {_shown(rdata.text)}")
        attributes = {**known, "owner": owner or ".", **rdata.attributes}
        literal = attributes.pop("literal", None)
        yield Entity(record, self.where(line), attributes)
        of = "SPF" if rdata.text.lower().startswith("v=spf1 ") else kind
        if of in _SETS and rdata.providers:
            yield from self._set(line, owner, of, record)
        for provider, group in rdata.providers:
            named = provider.text.partition(" ")[0]
            yield Dependency(record, provider, Relation.RECORDS, self.where(line, named), group=group)
        if literal is not None:
            yield self._literal(line, kind, owner, rdata)

    def _set(self, line: _Line, owner: str, kind: str, record: Ref) -> Iterator[_Item]:
        """The records of one name and type as alternatives of each other.

        The set is a node of its own: a name that lost its mail servers still resolves. It does not without its name
        servers, and the name of a service (`_sip._tcp`) is nothing but its SRV records.
        """
        whole = Ref(Kind.RECORD, f"{owner or '.'} {kind}")
        if (owner, kind) not in self._named:
            self._named.add((owner, kind))
            yield Entity(whole, self.where(line), {"type": kind, "owner": owner or ".", "record_set": True})
            if kind in ("NS", "SRV"):
                yield Dependency(Ref(Kind.NAME, owner or "."), whole, Relation.RECORDS, self.where(line))
        yield Dependency(whole, record, Relation.RECORDS, self.where(line), group=kind)

    def _literal(self, line: _Line, kind: str, owner: str, rdata: _Rdata) -> Malformed:
        return Malformed(
            self.where(line),
            f"{kind} of {owner} holds an address where a name belongs",
            f"named reads it as the name {excerpt(rdata.text)}",
        )

    def _head(self, tokens: tuple[str, ...]) -> tuple[str, int | None, tuple[str, ...]]:
        """Type, explicit TTL and rdata of a record without its owner; TTL and class in either order."""
        ttl: int | None = None
        classed = False
        for at, token in enumerate(tokens):
            if at > 2:
                break
            upper = token.upper()
            if not classed and (upper in _CLASSES or (upper.startswith("CLASS") and upper[5:].isdecimal())):
                if upper not in ("IN", "CLASS1"):
                    raise _BadLineError(f"class {excerpt(token)}: only IN is looked at")
                classed = True
                continue
            if ttl is None and token[0].isdecimal() and (found := _ttl(token)) is not None:
                ttl = found
                continue
            if upper in _KNOWN or _is_type(upper):
                return upper, ttl, tokens[at + 1 :]
            raise _BadLineError(f"{excerpt(token)} is no record type")
        raise _BadLineError("a record without a type")

    def _rdata(self, kind: str, owner: str, tokens: tuple[str, ...]) -> _Rdata:
        if tokens and tokens[0] == "\\#":
            return self._by_dnspython(kind, owner, tokens)
        match kind:
            case "A":
                return _a(tokens)
            case "AAAA":
                return _aaaa(tokens)
            case "MX":
                return self._numbered(kind, 1, tokens)
            case "SRV":
                return self._numbered(kind, 3, tokens)
            case "SOA":
                return self._soa(tokens)
            case "TXT" | "SPF":
                return self._txt(owner, tokens)
        return (self._one_name if kind in _ONE_NAME else self._by_dnspython)(kind, owner, tokens)

    def _one_name(self, kind: str, owner: str, tokens: tuple[str, ...]) -> _Rdata:
        if len(tokens) != 1:
            raise _BadLineError(f"{kind} takes one name")
        target = self._absolute(tokens[0])
        providers = [(Ref(Kind.NAME, target), "")] if target else []
        if kind == "PTR" and (address := _reverse(owner)):
            providers.append((Ref(Kind.ADDRESS, address), ""))
        return _Rdata(target or ".", tuple(providers), _literal_attribute(tokens[0]))

    def _numbered(self, kind: str, count: int, tokens: tuple[str, ...]) -> _Rdata:
        """MX and SRV: numbers of 16 bits, then a name; `.` says "none"."""
        numbers = tokens[:count]
        if len(tokens) != count + 1 or any(not n.isdecimal() or len(n) > 5 or int(n) > 65535 for n in numbers):
            raise _BadLineError(f"{kind} takes {count} number{'s' if count > 1 else ''} and a name")
        target = self._absolute(tokens[count])
        attributes: dict[str, Attribute] = {"priority": int(numbers[0]), **_literal_attribute(tokens[count])}
        if kind == "SRV":
            attributes["port"] = int(numbers[2])
        text = " ".join((*(str(int(n)) for n in numbers), target or "."))
        return _Rdata(text, ((Ref(Kind.NAME, target), ""),) if target else (), attributes)

    def _soa(self, tokens: tuple[str, ...]) -> _Rdata:
        """The serial and the timers stay out of the text, which must be stable."""
        if len(tokens) != 7 or not tokens[2].isdecimal() or any(_ttl(token) is None for token in tokens[3:]):
            raise _BadLineError("SOA takes a server, a mailbox, a serial and four times")
        server, mailbox = self._absolute(tokens[0]), self._absolute(tokens[1])
        return _Rdata(f"{server or '.'} {mailbox or '.'}", ((Ref(Kind.NAME, server), ""),) if server else ())

    def _txt(self, owner: str, tokens: tuple[str, ...]) -> _Rdata:
        if not tokens:
            raise _BadLineError("TXT without a text")
        strings = [part for token in tokens for part in _strings(token)]
        if any(len(part.encode()) > 255 for part in strings):
            raise _BadLineError("a text of more than 255 bytes: it must be split into several")
        text = "".join(strings)
        if text.lower().startswith("v=spf1 "):
            providers, networks = read_spf(text, owner)
            return _Rdata(text, providers, {"networks": networks} if networks else {})
        if text.lower().startswith(("v=dmarc1", "v=tlsrptv1")):
            found = (host_ref(domain) for domain in _REPORTED_TO.findall(text))
            return _Rdata(text, tuple((ref, "reports") for ref in found if ref))
        return _Rdata(" ".join(strings))

    def _by_dnspython(self, kind: str, owner: str, tokens: tuple[str, ...]) -> _Rdata:
        """All other types, and the unknown-type form of RFC 3597."""
        # Keys for encrypted hello rotate and name no host; dnspython refuses some that named takes.
        text = " ".join(token for token in tokens if not token.lower().startswith("ech="))
        try:
            rdata = _dnspython()(kind, text, self._origin)
        except Exception as error:  # noqa: BLE001 - dnspython raises many kinds, not all of them its own
            why = excerpt(str(error)) or type(error).__name__
            raise _BadLineError(f"{kind} with rdata that can't be read: {why}") from None
        return _named_in(kind, owner, rdata)


def _scan(line: str, depth: int, tokens: list[str]) -> tuple[int, str]:
    """Adds a line's tokens; returns how many parentheses are open after it, and what is wrong with it."""
    at, end = 0, len(line)
    while at < end:
        char = line[at]
        if char == ";":
            break
        if char in " \t\r\v\f":
            at += 1
        elif char == "(":
            depth, at = depth + 1, at + 1
        elif char == ")":
            if depth == 0:
                return 0, "a closing parenthesis without an opening one"
            depth, at = depth - 1, at + 1
        elif found := _TOKEN.match(line, at):
            tokens.append(found[0])
            at = found.end()
        elif char == '"':
            return depth, "a quotation mark that is not closed on its line"
        elif char == "\\":
            return depth, "a backslash at the end of a line"
        else:
            at += 1
    return depth, ""


def _a(tokens: tuple[str, ...]) -> _Rdata:
    address = _only(tokens)
    if not _IPV4.fullmatch(address):
        raise _BadLineError(f"{excerpt(address)} is no IPv4 address")
    return _Rdata(address, ((Ref(Kind.ADDRESS, address), ""),))


def _aaaa(tokens: tuple[str, ...]) -> _Rdata:
    try:
        address = normal_address(str(IPv6Address(_only(tokens)))) or ""
    except AddressValueError:
        raise _BadLineError(f"{excerpt(tokens[0])} is no IPv6 address") from None
    return _Rdata(address, ((Ref(Kind.ADDRESS, address), ""),))


def _only(tokens: tuple[str, ...]) -> str:
    if len(tokens) != 1:
        raise _BadLineError("an address record takes one address")
    return tokens[0]


def _ttl(text: str) -> int | None:
    """Seconds of `3600`, `1h30m` (BIND's form); None if it is no time or more than RFC 2181 section 8 allows."""
    if len(text) > 40 or not _TTL.fullmatch(text):
        return None
    total = sum(int(number) * _TTL_UNIT[unit.lower()] for number, unit in _TTL_PART.findall(text))
    return total if total <= 0xFFFFFFFF else None


def _within(name: str, zone: str) -> bool:
    return not zone or name == zone or name.endswith("." + zone)


def _unquoted(token: str) -> str:
    return _ESCAPED.sub(_unescaped, token[1:-1] if len(token) > 1 and token[0] == token[-1] == '"' else token)


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    char = code
    if len(code) == 3:
        if int(code) > 255:
            return found[0]
        char = chr(int(code))
    # A dot inside a label stays escaped: it does not part labels.
    return char if char != "." and char.isprintable() and not char.isspace() else found[0]


def _strings(token: str) -> list[str]:
    """The character strings of one token: quoted ones, which may touch each other, or a bare one."""
    if '"' not in token:
        return [_text_of(token)]
    return [_text_of(part[1:-1] if part[0] == '"' else part) for part in _STRING.findall(token)]


def _text_of(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1]) & 255) if len(found[1]) == 3 else found[1], text)


def _filled(word: str, number: int) -> str:
    """One word of a $GENERATE line with the number in it (BIND 9 ARM, "$GENERATE")."""
    out: list[str] = []
    at = 0
    while at < len(word):
        char = word[at]
        if char == "\\" or word.startswith("$$", at):
            out.append("$" if char == "$" or word[at : at + 2] == "\\$" else word[at : at + 2])
            at += 2
        elif char != "$":
            out.append(char)
            at += 1
        elif not word.startswith("{", at + 1):
            out.append(str(number))
            at += 1
        else:
            found = _MODIFIER.match(word, at + 1)
            if found is None or int(found[2] or 0) > 127:
                raise _BadLineError("$GENERATE with a modifier that is none")
            out.append(_formatted(number + int(found[1]), int(found[2] or 0), found[3] or "d"))
            at = found.end()
    return "".join(out)


def _formatted(value: int, width: int, base: str) -> str:
    if abs(value) > 0x7FFFFFFF:
        raise _BadLineError("$GENERATE with a number of more than 31 bits")
    if base in "nN":
        # named takes a negative number for one of 32 bits without a sign.
        digits = format(value & 0xFFFFFFFF, "x" if base == "n" else "X").zfill((width + 1) // 2)
        return ".".join(reversed(digits)) + ("." if width and width % 2 == 0 and len(digits) * 2 == width else "")
    return format(value, base).zfill(width)


def _literal_attribute(token: str) -> dict[str, Attribute]:
    """Marks an IPv4 address where a name belongs; `_other` and `_resolution` turn it into a report."""
    if token[0].isdecimal() and token.count(".") in (3, 4) and normal_address(token.rstrip(".")):
        return {"literal": token}
    return {}


def _shown(text: str) -> str:
    """Rdata inside a reference: without secrets, and short but different for different rdata."""
    safe = excerpt(text)
    if safe.endswith("…") and "‹redacted›" not in safe:
        return f"{safe[:150]}… #{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return safe


def _reverse(owner: str) -> str | None:
    """The address of a name under in-addr.arpa or ip6.arpa, also with RFC 2317's classless labels."""
    if owner.endswith(".in-addr.arpa"):
        labels = [label for label in owner[: -len(".in-addr.arpa")].split(".") if "/" not in label and "-" not in label]
        return normal_address(".".join(reversed(labels))) if len(labels) == 4 else None
    if owner.endswith(".ip6.arpa"):
        nibbles = owner[: -len(".ip6.arpa")].split(".")
        if len(nibbles) != 32 or any(len(nibble) != 1 for nibble in nibbles):
            return None
        digits = "".join(reversed(nibbles))
        return normal_address(":".join(digits[at : at + 4] for at in range(0, 32, 4)))
    return None


def _named_in(kind: str, owner: str, rdata: Any) -> _Rdata:
    """Hosts in rdata that dnspython read."""
    text = _rdata_text(rdata)
    providers: list[tuple[Ref, str]] = []
    attributes: dict[str, Attribute] = {}
    if kind in ("SVCB", "HTTPS"):
        target = _rdata_name(rdata.target)
        if target:
            providers.append((Ref(Kind.NAME, target), ""))
        for key in (4, 6):  # ipv4hint, ipv6hint (RFC 9460 section 7.3)
            hints = getattr(rdata.params.get(key), "addresses", ())
            addresses = (normal_address(hint) for hint in hints)
            providers.extend((Ref(Kind.ADDRESS, address), "hints") for address in addresses if address)
        attributes["priority"] = int(rdata.priority)
    elif kind == "CAA":
        tag, value = rdata.tag.decode("ascii", "replace"), rdata.value.decode("utf-8", "replace")
        attributes[tag] = excerpt(value)
        for url in re.findall(r"accounturi\s*=\s*([^\s;]+)", value) + ([value] if tag == "iodef" else []):
            found = _host_of(url)
            if found:
                providers.append((found, ""))
    elif kind in ("TLSA", "SMIMEA"):
        host = owner.split(".")
        while host and host[0].startswith("_"):
            del host[0]
        if host and kind == "TLSA":
            providers.append((Ref(Kind.NAME, ".".join(host)), ""))
    elif kind == "URI":
        found = _host_of(rdata.target.decode("utf-8", "replace"))
        if found:
            providers.append((found, ""))
    elif (attribute := _TARGETS.get(kind)) and (target := _rdata_name(getattr(rdata, attribute, None))):
        providers.append((Ref(Kind.NAME, target), ""))
    if kind == "NAPTR":
        # `!pattern!replacement!flags` (RFC 3403 section 4.1); the delimiter is nearly always `!`.
        parts = rdata.regexp.decode("utf-8", "replace").split("!")
        if len(parts) > 2 and (found := _host_of(parts[2])):
            providers.append((found, ""))
    return _Rdata(text, tuple(dict.fromkeys(providers)), attributes)


def _host_of(url: str) -> Ref | None:
    """The host of a URL, also of `mailto:` and `sip:`."""
    if found := re.match(r"(?:mailto|sips?|tel|xmpp|im):[^@\s]*@([^\s;>?:]+)", url, re.IGNORECASE):
        return host_ref(found[1])
    parts = split_endpoint(url) if "://" in url else None
    return host_ref(parts.host) if parts else None


def _rdata_name(name: Any) -> str:
    return normal_name(str(name)) if name is not None else ""


def _rdata_text(rdata: Any) -> str:
    return " ".join(str(rdata.to_text()).split())


@lru_cache(maxsize=4096)
def _is_type(upper: str) -> bool:
    """Whether dnspython knows a record type that may stand in a zone file; TYPE123 counts (RFC 3597)."""
    from dns import exception, rdatatype

    if not upper.isascii() or len(upper) > 16:
        return False
    try:
        kind = rdatatype.from_text(upper)
    except (exception.DNSException, ValueError):
        return False
    return not rdatatype.is_metatype(kind) and kind != rdatatype.TYPE0


@lru_cache(maxsize=1)
def _dnspython() -> Callable[[str, str, str | None], Any]:
    from dns import name, rdata, rdataclass

    def read(kind: str, text: str, origin: str | None) -> Any:
        return rdata.from_text(rdataclass.IN, kind, text, name.from_text(f"{origin or ''}."), relativize=False)

    return read
