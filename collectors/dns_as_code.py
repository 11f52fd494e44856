"""DNS zones as octoDNS, DNSControl and Guix keep them: a YAML file a zone, `dnsconfig.js`, and Scheme.

Sources: octoDNS's documentation of records and of its YamlProvider; DNSControl's language reference (D, D_EXTEND and
the record functions); the manual of GNU Guix, DNS Services (`define-zone-entries`). JavaScript and Scheme are not run:
records with literal names and values are read, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final, TypeAlias

from auditor.api import (
    Area,
    Collector,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    YamlNode,
    YamlStream,
    decode,
    excerpt,
    host_ref,
    is_hostname,
    lazy_pattern,
    normal_address,
    normal_name,
    read_spf,
    read_yaml,
)

RECORDS_LIMIT: Final = 200_000
"""Records of one file that are read."""

_TYPES: Final = r"A|AAAA|ALIAS|ANAME|CAA|CNAME|DNAME|HTTPS|MX|NAPTR|NS|PTR|SPF|SRV|SSHFP|SVCB|TLSA|TXT"
_OCTODNS: Final = lazy_pattern(
    rb"(?m)^[ \t]+(?:-[ \t]+)?type:[ \t]*['\"]?(?:" + _TYPES.encode() + rb")['\"]?[ \t]*\r?$"
)
_VALUES: Final = lazy_pattern(rb"(?m)^[ \t]+(?:-[ \t]+)?values?:")
_CONTROL: Final = lazy_pattern(rb"\bD(?:_EXTEND)?\(\s*[\"'][\w.-]+[\"']")
_ZONE: Final = lazy_pattern(r"\bD(?:_EXTEND)?\(\s*[\"']([\w.-]+)(?:!\w+)?[\"']")
_RECORD: Final = lazy_pattern(
    rf"\b({_TYPES})\(\s*(?:\"([^\"]*)\"|'([^']*)')\s*,\s*([^()]{{0,500}}(?:\([^()]{{0,200}}\)[^()]{{0,200}}){{0,8}})\)"
)
_ARGUMENT: Final = lazy_pattern(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([A-Za-z_$][\w$]*)|(\d+)")
_GIVEN: Final = lazy_pattern(r"\b(?:var|let|const)\s+([A-Za-z_$][\w$]*)\s*=\s*(?:IP\(\s*)?[\"']([^\"'\\]*)[\"']")
_COMMENT: Final = lazy_pattern(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|(//.*)")
_ENTRIES: Final = lazy_pattern(rb"\(define-zone-entries\s+[\w-]+\.[\w.-]+")
_ENTRY: Final = lazy_pattern(
    rf"\(define-zone-entries\s+([\w.-]+?\.[\w.-]+?)(?:\.zone)?(?=[\s()]|$)"
    rf'|\(\s*"([^"]*)"\s+"[^"]*"\s+"IN"\s+"({_TYPES})"\s+"((?:[^"\\]|\\.)*)"\s*\)'
)
_REDIRECTS: Final = frozenset({"CNAME", "ALIAS", "ANAME", "DNAME"})
_HOSTS: Final = frozenset({"MX", "NS", "PTR", "SRV"})
_LONG: Final = 10_000

_Found: TypeAlias = tuple[Where, Iterable[Parsed]]
"""Where a record stands, and what it says."""


class DnsAsCodeCollector(Collector):
    """Zones of octoDNS, DNSControl and Guix: what names resolve to, and which records name hosts.

    Reads
    -----
    octoDNS's `<zone>.yaml`; JavaScript files with DNSControl's `D("zone", …)`; Scheme files with Guix's
    `(define-zone-entries example.org.zone …)`, which the zone is taken from.

    Yields
    ------
    What each name resolves to, over CNAME and ALIAS, and record nodes for MX, NS, SRV, PTR, TXT, SSHFP and the rest.

    Can't see
    ---------
    What JavaScript or Scheme puts together from variables, loops and functions, dynamic records of octoDNS (pools and
    rules), and what other sources add to a zone.
    """

    name: ClassVar[str] = "dns_as_code"
    title: ClassVar[str] = "DNS zones of octoDNS, DNSControl and Guix"
    area: ClassVar[Area] = Area.NAMES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.RESOLVES, Relation.RECORDS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """YAML called after a zone, with record types and values; JavaScript and Scheme with a domain in its head."""
        if path.endswith((".yaml", ".yml")):
            named = bool(_zone_of(path)) and "_vars/" not in path
            return named and _OCTODNS.search(head) is not None and _VALUES.search(head) is not None
        if path.endswith(".scm"):
            return _ENTRIES.search(head) is not None
        return path.endswith(".js") and _CONTROL.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The records of one file."""
        if document.path.endswith(".js"):
            records = _dnscontrol(decode(document.content))
        elif document.path.endswith(".scm"):
            records = _guix(decode(document.content))
        else:
            stream = read_yaml(document.content)
            if stream.problem is not None:
                where = stream.where(min(stream.problem.line, len(stream.lines)))
                yield Malformed(
                    where, excerpt(stream.problem.reason), "scanned for mentions only", not stream.documents
                )
            records = _octodns(stream, _zone_of(document.path))
        for number, (where, record) in enumerate(records, 1):
            if number > RECORDS_LIMIT:
                yield Malformed(where, f"more than {RECORDS_LIMIT:,} records: the rest is not read")
                return
            yield from record


def _zone_of(path: str) -> str:
    """The zone that a YAML file is called after; empty if that is no name of a zone."""
    zone = path.rpartition("/")[2].rpartition(".")[0].rstrip(".").lower()
    return normal_name(zone) if "." in zone and is_hostname(zone) else ""


def _octodns(stream: YamlStream, zone: str) -> Iterator[_Found]:
    for root in stream.documents[:1]:
        for key, node in root.items() if root.is_map else ():
            owner = _absolute(key.scalar or "@", zone)
            for record in node.elements if node.is_list else (node,):
                kind = record.text("type").upper() if record.is_map else ""
                if not kind or not owner:
                    continue
                named: tuple[Parsed, ...] = (Entity(Ref(Kind.NAME, owner), stream.where(key), {"type": kind}),)
                values = (*record.children("values"), *([one] if (one := record.get("value")) else []))
                for value in values:
                    where = stream.where(value)
                    yield where, (*named, *_facts(owner, kind, _written(value), zone, where))
                    named = ()
                if named:
                    yield stream.where(key), named


def _written(value: YamlNode) -> list[str]:
    """A value as the parts of a record: a map's numbers come before its host."""
    if not value.is_map:
        return [value.scalar]
    numbers = ("preference", "priority", "weight", "port", "algorithm", "fingerprint_type", "flags", "tag")
    hosts = ("exchange", "target", "value", "fingerprint")
    return [text for key in (*numbers, *hosts) if (text := value.text(key))]


def _dnscontrol(text: str) -> Iterator[_Found]:
    given = {found[1]: found[2] for found in _GIVEN.finditer(text)}
    zone = ""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > _LONG:
            continue
        bare = _COMMENT.sub(lambda found: "" if found[1] else found[0], line.rstrip("\r"))
        for found in re.finditer(f"{_ZONE.pattern}|{_RECORD.pattern}", bare):
            if found[1]:
                zone = normal_name(found[1])
                continue
            where = Where(number, excerpt(line))
            owner = _absolute(found[3] or found[4] or "", zone) if zone else ""
            arguments = [_argument(one, given) for one in _ARGUMENT.finditer(found[5])]
            yield where, _named(owner, found[2], arguments, zone, where) if arguments else ()


def _guix(text: str) -> Iterator[_Found]:
    """Entries of name, TTL, class, type and data."""
    zone = ""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > _LONG or line.lstrip().startswith(";"):
            continue
        for found in _ENTRY.finditer(line):
            if found[1]:
                zone = normal_name(found[1])
                continue
            where = Where(number, excerpt(line))
            owner = _absolute(found[2], zone) if zone else ""
            parts = [found[4]] if found[3] in ("TXT", "SPF") else found[4].split()
            yield where, _named(owner, found[3], parts, zone, where)


def _argument(found: re.Match[str], given: dict[str, str]) -> str:
    if found[3]:
        return given.get(found[3], "")
    return found[1] or found[2] or found[4] or ""


def _absolute(name: str, zone: str) -> str:
    """A name made whole, without the final dot; empty if it is none."""
    if name in ("@", ""):
        return zone
    whole = name[:-1] if name.endswith(".") else f"{name}.{zone}"
    return normal_name(whole) if len(whole) <= 253 and not re.search(r"\s", whole) else ""


def _named(owner: str, kind: str, parts: Sequence[str], zone: str, where: Where) -> Iterator[Parsed]:
    """One record and the name that has it; nothing without a name."""
    if owner:
        yield Entity(Ref(Kind.NAME, owner), where, {"type": kind})
        yield from _facts(owner, kind, parts, zone, where)


def _facts(owner: str, kind: str, parts: Sequence[str], zone: str, where: Where) -> Iterator[Parsed]:
    """One record. `parts` are its values, the host that it names among them."""
    name = Ref(Kind.NAME, owner)
    first = parts[0] if parts else ""
    if kind in ("A", "AAAA"):
        address = normal_address(first)
        if address is not None:
            yield Dependency(name, Ref(Kind.ADDRESS, address), Relation.RESOLVES, where, group="addresses")
        elif first:
            yield Malformed(where, f"{excerpt(first)} is no address", "the record is left out")
        return
    if kind in _REDIRECTS:
        if target := _target(first, zone):
            yield Dependency(name, Ref(Kind.NAME, target), Relation.RESOLVES, where)
        return
    if kind in ("TXT", "SPF"):
        # octoDNS wants a semicolon escaped.
        yield from _text(owner, kind, first.replace("\\;", ";"), where)
        return
    numbers = [part for part in parts if part.isdecimal()]
    written = next((part for part in parts if part and not part.isdecimal()), "")
    provider = host_ref(_target(written, zone)) if kind in _HOSTS and written else None
    shown = " ".join((*numbers, provider.text if provider is not None else excerpt(written)))
    record = Ref(Kind.RECORD, excerpt(f"{owner} {kind} {shown}".rstrip()))
    yield Entity(record, where, {"type": kind, "owner": owner})
    if provider is None:
        return
    yield Dependency(record, provider, Relation.RECORDS, where)
    if kind != "PTR":
        whole = Ref(Kind.RECORD, f"{owner} {kind}")
        yield Entity(whole, where, {"type": kind, "owner": owner, "record_set": True})
        yield Dependency(whole, record, Relation.RECORDS, where, group=kind)


def _text(owner: str, kind: str, text: str, where: Where) -> Iterator[Parsed]:
    """A text, and whom it lets send mail if it is SPF."""
    record = Ref(Kind.RECORD, excerpt(f"{owner} {kind} {text}".rstrip()))
    yield Entity(record, where, {"type": kind, "owner": owner})
    providers = read_spf(text, owner)[0] if text.lower().startswith("v=spf1 ") else ()
    for provider, group in providers:
        yield Dependency(record, provider, Relation.RECORDS, where, group=group)
    if providers:
        whole = Ref(Kind.RECORD, f"{owner} SPF")
        yield Entity(whole, where, {"type": "SPF", "owner": owner, "record_set": True})
        yield Dependency(whole, record, Relation.RECORDS, where, group="SPF")


def _target(written: str, zone: str) -> str:
    """The name that a record points at: whole with its final dot, or if it ends like the zone; else below the zone."""
    text = written.lower()
    if text.endswith("." + zone) and not text.endswith("."):
        return normal_name(text)
    return _absolute(text, zone)
