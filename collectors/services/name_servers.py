"""Static data of name servers: Unbound 1.17, NSD 4.6, dnsmasq 2.89, PowerDNS 4.7, Knot DNS 3.2, systemd-resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final, TypeAlias

from auditor.api import (
    Area,
    Collector,
    Confidence,
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
    excerpt,
    is_hostname,
    normal_address,
    normal_name,
    read_yaml,
)
from collectors.services.common import (
    LINE_LIMIT,
    Source,
    base_name,
    is_foreign,
    is_templated,
    limited,
    names_host,
    read_source,
    reserved,
    sections,
    target,
    unquoted,
    url_target,
)

_Targets: TypeAlias = list[tuple[Ref | None, Where]]

_ATTRIBUTE: Final = re.compile(r"\s*([a-z][a-z0-9-]*):(?:\s+|$)(.*)", re.IGNORECASE)
_CLAUSE: Final = re.compile(r"\s*([a-z][a-z-]*):\s*(?:#.*)?", re.IGNORECASE)
_RECORD: Final = re.compile(r"""["']?\s*(\S+)\s+(?:\d+\s+)?(?:IN\s+)?(A|AAAA|CNAME)\s+([^\s"']+)\s*["']?""", re.I)
# Answers that block a name, or mean the asking machine itself.
_NOWHERE: Final = ("0.", "127.", "255.")
_BLOCKED: Final = ("/", "/#", "/0.0.0.0", "/127.0.0.1", "/::", "/::1")
_UPSTREAM: Final = {
    "forward-addr": "forward",
    "forward-host": "forward",
    "stub-addr": "stub",
    "stub-host": "stub",
    "primary": "auth",
    "master": "auth",
    "url": "auth",
    "request-xfr": "zone",
}
_KEYS: Final = {
    "forwarders": ("forward-zones", "forward-zones-recurse"),
    "backend": (
        "gmysql-host", "gpgsql-host", "godbc-host", "ldap-host", "remote-connection-string", "gmysql-host-read",
    ),
    "resolver": ("resolver",),
    "allowed": ("allow-axfr-ips", "allow-notify-from"),
}  # fmt: skip


class NameServersCollector(Collector):
    """Names that resolvers answer for themselves, and the servers that they ask for others.

    Reads
    -----
    `unbound.conf`, `nsd.conf` and their `*.conf.d` directories, `dnsmasq.conf` and `dnsmasq.d`, `pdns.conf`,
    `recursor.conf`, `knot.conf`, `resolved.conf` and drop-ins.

    Yields
    ------
    Names of `local-data`, `address=`, `host-record=` and `cname=`, resolved to what the resolver answers, with medium
    confidence, as only its clients see it. A service for each forward, stub and secondary zone, which connects to its
    servers: one is enough. Databases behind PowerDNS. A wildcard of dnsmasq (`address=/x/…`) is the name and all
    below it.

    Can't see
    ---------
    Zones in databases, Lua, python modules of Unbound, `resolv-file` and DHCP, views and access lists by client.
    """

    name: ClassVar[str] = "name_servers"
    title: ClassVar[str] = "Local data and upstreams of Unbound, NSD, dnsmasq, PowerDNS, Knot"
    area: ClassVar[Area] = Area.NAMES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.RESOLVES, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name and directory."""
        for word in ("unbound", "dnsmasq", "nsd", "pdns", "powerdns", "knot", "resolved"):
            if word in path:
                return bool(_form(path)) and b"\x00" not in head[:512]
        return False

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of one file."""
        form = _form(document.path)
        source = read_source(document, form)
        if isinstance(source, Malformed):
            yield source
        elif form == "knot":
            yield from limited(source, _knot(source, read_yaml(document.content)))
        else:
            read = {"unbound": _unbound, "nsd": _unbound, "dnsmasq": _dnsmasq, "pdns": _pdns}.get(form, _resolved)
            yield from limited(source, read(source))


def _form(path: str) -> str:
    base = base_name(path)
    if is_foreign(path):
        return ""
    for program in ("unbound", "nsd"):
        if base == f"{program}.conf" or (f"/{program}" in path and "conf.d/" in path and base.endswith(".conf")):
            return program
        if f"/{program}/" in path and base.endswith(".conf") and path.startswith("/"):
            return program
    if base == "dnsmasq.conf" or ("/dnsmasq.d/" in path and not base.endswith((".dpkg-dist", "README"))):
        return "dnsmasq"
    if base in ("pdns.conf", "recursor.conf") or (
        ("/pdns.d/" in path or "/powerdns/" in path or "/pdns/" in path) and base.endswith(".conf")
    ):
        return "pdns"
    if base == "knot.conf":
        return "knot"
    return "resolved" if base == "resolved.conf" or "/resolved.conf.d/" in path else ""


def _answer(name: str, value: str, where: Where, *, alias: bool = False) -> Iterator[Parsed]:
    """A name and what a resolver answers for it."""
    bare = normal_name(name)
    if alias:
        if is_hostname(bare) and is_hostname(value):
            provider = Ref(Kind.NAME, normal_name(value))
            yield Dependency(Ref(Kind.NAME, bare), provider, Relation.RESOLVES, where, confidence=Confidence.MEDIUM)
        return
    address = normal_address(value)
    if address is None or not is_hostname(bare) or address.startswith(_NOWHERE) or address in ("::", "::1"):
        return
    yield Entity(Ref(Kind.NAME, bare), where)
    yield Dependency(
        Ref(Kind.NAME, bare),
        Ref(Kind.ADDRESS, address),
        Relation.RESOLVES,
        where,
        group="addresses",
        confidence=Confidence.MEDIUM,
    )


def _unbound(source: Source) -> Iterator[Parsed]:
    """Clauses hold attributes until the next clause. NSD's files have the same form."""
    program = "nsd" if _form(source.path) == "nsd" else "unbound"
    clause, name = "", ""
    servers: _Targets = []
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = _uncommented(line)
        if not text.strip() or is_templated(text):
            continue
        where = source.where(number)
        found = _ATTRIBUTE.fullmatch(text)
        if found is None:
            if not text.lstrip().startswith("include"):
                yield Malformed(where, "no attribute: value", f"{program} refuses the configuration")
            continue
        key, value = found[1].lower(), unquoted(found[2])
        if not found[2].strip() and _CLAUSE.fullmatch(text):
            yield from _zone_clause(source, program, clause, name, servers)
            clause, name, servers = key, "", []
        elif key == "name" and clause:
            name = value
        elif key in _UPSTREAM:
            servers.append((_upstream(key, value), where))
        elif key == "local-data" and (record := _RECORD.fullmatch(found[2].strip())):
            yield from _answer(record[1], record[3], where, alias=record[2].upper() == "CNAME")
        elif key == "local-data-ptr":
            words = value.split()
            if len(words) > 1 and is_hostname(words[-1]):
                yield from _answer(words[-1], words[0], where)
    yield from _zone_clause(source, program, clause, name, servers)


def _uncommented(line: str) -> str:
    """Text before a `#` that is outside quotes and begins a word (`1.1.1.1@853#name` is one word)."""
    if "#" not in line:
        return line
    quote = ""
    for at, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "#" and (at == 0 or line[at - 1] in " \t"):
            return line[:at]
    return line


def _upstream(key: str, value: str) -> Ref | None:
    if key == "request-xfr":
        words = [word for word in value.split() if word.upper() not in ("AXFR", "UDP")]
        value = words[0] if words else ""
    if key == "url":
        return url_target(value)
    host, _, port = value.split("#", 1)[0].partition("@")
    return target(host, port)


def _zone_clause(source: Source, program: str, clause: str, name: str, servers: _Targets) -> Iterator[Parsed]:
    if servers and name:
        kind = clause.removesuffix("-zone") if clause != "zone" else "secondary"
        zone = normal_name(name) or "."
        yield from source.uses(f"{program} {kind} zone {zone}", servers, group="servers")


def _dnsmasq(source: Source) -> Iterator[Parsed]:
    servers: dict[str, _Targets] = {}
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = _uncommented(line).strip()
        key, separator, value = (part.strip() for part in text.partition("="))
        if not separator or is_templated(text) or (key == "address" and text.endswith(_BLOCKED)):
            continue
        where = source.where(number)
        parts = [part.strip() for part in value.split(",")]
        if key in ("address", "server", "local") and value.startswith("/"):
            *domains, last = value[1:].split("/")
            if key == "address":
                for domain in domains:
                    yield from _answer(domain, last, where)
                    yield from _answer(f"*.{domain}", last, where)
            elif last and last != "#":
                for domain in domains:
                    servers.setdefault(normal_name(domain) or "unqualified names", []).append((_dns(last), where))
        elif key == "server" and value:
            servers.setdefault(".", []).append((_dns(value), where))
        elif key == "rev-server" and len(parts) > 1:
            servers.setdefault(parts[0], []).append((_dns(parts[1]), where))
        elif key == "host-record":
            addresses = [part for part in parts if normal_address(part)]
            for name in parts:
                for address in addresses if is_hostname(name) else ():
                    yield from _answer(name, address, where)
        elif key == "cname" and len(parts) > 1:
            names = parts[:-1] if not parts[-1].isdecimal() else parts[:-2]
            alias_of = parts[-1] if not parts[-1].isdecimal() else parts[-2]
            for name in names:
                yield from _answer(name, alias_of, where, alias=True)
        elif key == "dhcp-host":
            yield from _reservation(parts, where)
    for domain, targets in servers.items():
        name = "dnsmasq upstream" if domain == "." else f"dnsmasq upstream for {domain}"
        yield from source.uses(name, targets, group="servers")


def _dns(text: str) -> Ref | None:
    """A server of dnsmasq: `address#port@interface`."""
    host, _, port = text.split("@", 1)[0].partition("#")
    return target(host, port)


def _reservation(parts: list[str], where: Where) -> Iterator[Parsed]:
    """`dhcp-host=` ties a name to an address."""
    addresses = [one for part in parts if (one := normal_address(part)) is not None]
    names = [
        part for part in parts
        if is_hostname(part) and part not in ("ignore", "infinite") and not re.fullmatch(r"\d+[smhdw]?", part)
    ]  # fmt: skip
    if len(addresses) == 1 and len(names) == 1:
        yield reserved(names[0], addresses[0], where)


def _pdns(source: Source) -> Iterator[Parsed]:
    for setting in sections(source, comments="#"):
        if isinstance(setting, Malformed) or is_templated(setting.value):
            continue
        key, where = setting.key.rstrip("+"), source.where(setting.line)
        if key in _KEYS["forwarders"]:
            for zone in re.split(r",\s*|\s+", setting.value):
                name, separator, servers = zone.partition("=")
                if separator:
                    found = [(_pdns_server(one), where) for one in servers.split(";") if one]
                    title = f"pdns-recursor forward zone {normal_name(name.lstrip('+')) or '.'}"
                    yield from source.uses(title, found, group="servers")
        elif key in _KEYS["backend"]:
            host = url_target(setting.value) if "://" in setting.value else target(setting.value)
            yield from source.uses(f"powerdns backend {key.partition('-')[0]}", [(host, where)])
        elif key in _KEYS["resolver"]:
            yield from source.uses("powerdns resolver", [(_pdns_server(setting.value), where)])
        elif key in _KEYS["allowed"]:
            entries = [one for one in re.split(r"[,\s]+", setting.value) if names_host(one)]
            yield from source.allows(f"powerdns {key}", [(one, where) for one in entries])


def _pdns_server(text: str) -> Ref | None:
    bare = text.strip()
    found = re.fullmatch(r"(\[[^\]]+\]|[^:]+):(\d+)", bare)
    return target(found[1], found[2]) if found else target(bare)


def _resolved(source: Source) -> Iterator[Parsed]:
    """An empty value takes back what came before it (resolved.conf(5))."""
    found: dict[str, _Targets] = {}
    for setting in sections(source):
        if isinstance(setting, Malformed) or setting.key not in ("dns", "fallbackdns") or is_templated(setting.value):
            continue
        if not setting.value:
            found[setting.key] = []
        for word in setting.value.split():
            host = word.split("#", 1)[0].split("%", 1)[0]
            bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?", host)
            plain = re.fullmatch(r"([\d.]+):(\d+)", host)
            parts = bracketed or plain
            ref = target(parts[1], parts[2] or "") if parts else target(host)
            found.setdefault(setting.key, []).append((ref, source.where(setting.line)))
    servers = [one for key in ("dns", "fallbackdns") for one in found.get(key, ())]
    yield from source.uses("systemd-resolved", servers, group="servers")


def _knot(source: Source, stream: YamlStream) -> Iterator[Parsed]:
    """Knot's configuration is a subset of YAML with lists of maps; remotes have ids that zones and templates use."""
    if stream.problem is not None and not any(map(is_templated, source.lines)):
        where = stream.where(min(stream.problem.line, len(stream.lines)))
        yield Malformed(where, excerpt(stream.problem.reason), "not read further", whole=not stream.documents)
    root = stream.documents[0] if stream.documents else None
    if root is None or not root.is_map:
        return
    remotes: dict[str, _Targets] = {}
    for remote in root.children("remote"):
        if remote.is_map:
            remotes[remote.text("id")] = [
                (_upstream("", address.scalar), stream.where(address))
                for node in remote.children("address")
                for address in _flat(node)
            ]
    masters = {
        one.text("id"): [found.scalar for found in one.children("master")]
        for one in root.children("template")
        if one.is_map
    }
    for zone in root.children("zone"):
        if not zone.is_map or not zone.text("domain") or is_templated(zone.text("domain")):
            continue
        own = [found.scalar for found in zone.children("master")]
        names = own or masters.get(zone.text("template", "default"), [])
        servers = [server for name in names for server in remotes.get(name, ())]
        title = f"knot secondary zone {normal_name(zone.text('domain')) or '.'}"
        yield from source.uses(title, servers, group="servers")


def _flat(node: YamlNode) -> Iterator[YamlNode]:
    yield from node.elements if node.is_list else (node,)
