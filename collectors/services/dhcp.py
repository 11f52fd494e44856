"""DHCP servers: `dhcpd.conf` of ISC DHCP 4.4 (dhcpd.conf(5), dhcp-options(5)) and Kea 2.2's JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Collector,
    Dependency,
    Document,
    Malformed,
    Parsed,
    Ref,
    Relation,
    Where,
    YamlNode,
    excerpt,
    is_hostname,
    normal_address,
    read_yaml,
)
from collectors.services.blocks import Statement, read_blocks
from collectors.services.common import (
    Source,
    base_name,
    is_foreign,
    is_templated,
    limited,
    read_source,
    reserved,
    target,
    url_target,
)

# What clients get: the option's name, and what its servers are to them.
_OPTIONS: Final = {
    "domain-name-servers": "name servers",
    "dns-servers": "name servers",
    "routers": "routers",
    "ntp-servers": "time servers",
    "sntp-servers": "time servers",
    "time-servers": "time servers",
    "log-servers": "log servers",
    "smtp-server": "mail servers",
    "netbios-name-servers": "NetBIOS name servers",
    "tftp-server-name": "boot server",
    "boot-server": "boot server",
    "next-server": "boot server",
}
_SUBNETS: Final = frozenset({"subnet", "subnet6"})
_JSON_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|/\*[\s\S]*?(?:\*/|\Z)|//[^\n]*|#[^\n]*')


class DhcpCollector(Collector):
    """What a DHCP server tells its clients to use, and which addresses it reserves for whom.

    Reads
    -----
    `dhcpd.conf` and files whose name begins with it, `dhcpd.d/*.conf`, `kea-dhcp4.conf`, `kea-dhcp6.conf`.

    Yields
    ------
    For each network (and for all of them), one service for its clients' name servers, routers, time servers, boot
    servers and so on, each connecting to its servers, of which one is enough. Reservations are evidence that a name
    and an address are one machine (`known_as`). A failover peer is an alternative of the server itself.

    Can't see
    ---------
    Leases, hosts in LDAP or databases, options by class or by expression, and what a relay adds.
    """

    name: ClassVar[str] = "dhcp"
    title: ClassVar[str] = "Reservations and options of DHCP servers"
    area: ClassVar[Area] = Area.NAMES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.STANDS_FOR})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name and directory."""
        if "dhcpd" not in path and "kea" not in path:
            return False
        return bool(_form(path)) and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of one file."""
        source = read_source(document, "the DHCP server")
        if isinstance(source, Malformed):
            yield source
        elif _form(document.path) == "kea":
            yield from limited(source, _kea(source))
        else:
            yield from limited(source, _dhcpd(source))


def _form(path: str) -> str:
    base = base_name(path)
    if base.startswith("kea-dhcp") and base.endswith(".json"):
        return "kea"
    if is_foreign(path):
        return ""
    if base.startswith(("dhcpd.conf", "dhcpd6.conf")) or ("/dhcpd.d/" in path and base.endswith(".conf")):
        return "isc"
    return "kea" if base.startswith("kea-dhcp") and base.endswith(".conf") else ""


def _dhcpd(source: Source) -> Iterator[Parsed]:
    text = "\n".join(source.lines)
    statements, problem = read_blocks(text)
    if problem is not None and not is_templated(text):
        yield Malformed(source.where(problem.line), problem.reason, "dhcpd does not start with it")
    found: dict[tuple[str, str], list[tuple[Ref | None, Where]]] = {}
    stack: list[tuple[Statement, str]] = [(one, "all networks") for one in reversed(statements)]
    while stack:
        one, scope = stack.pop()
        where = source.where(one.line)
        if one.keyword == "host" and one.block is not None:
            yield from _host(source, one)
        elif one.keyword == "failover" and one.block is not None and len(one.words) > 2:
            yield from _failover(source, one)
            continue
        elif one.keyword in _SUBNETS and len(one.words) > 1:
            scope = _network(one.words)
        elif one.keyword == "option" and len(one.words) > 2 and one.words[1].lower() in _OPTIONS:
            refs = found.setdefault((scope, _OPTIONS[one.words[1].lower()]), [])
            for word in " ".join(one.words[2:]).replace(",", " ").split():
                refs.append((target(word), where))
        elif one.keyword == "next-server" and len(one.words) > 1:
            found.setdefault((scope, "boot server"), []).append((target(one.words[1]), where))
        # Conditions and classes choose clients by what they send: their options are not a network's.
        if one.block is not None and one.keyword not in ("if", "elsif", "else", "class", "subclass", "zone", "key"):
            stack += [(inner, scope) for inner in reversed(one.block)]
    for (scope, what), servers in found.items():
        yield from source.uses(f"{what} of DHCP clients on {scope}"[:200], servers, group="servers")


def _network(words: list[str]) -> str:
    text = f"{words[1]}/{words[3]}" if len(words) > 3 and words[2].lower() == "netmask" else words[1]
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return excerpt(text)


def _host(source: Source, host: Statement) -> Iterator[Parsed]:
    """`host name { fixed-address …; option host-name "…"; }`: the option is what the machine calls itself."""
    name = host.words[1] if len(host.words) > 1 else ""
    addresses: list[tuple[str, int]] = []
    for one in host.block or ():
        if one.keyword in ("fixed-address", "fixed-address6"):
            addresses += [(word, one.line) for word in " ".join(one.words[1:]).replace(",", " ").split()]
        elif one.keyword == "option" and len(one.words) > 2 and one.words[1].lower() == "host-name":
            name = one.words[2]
    if not is_hostname(name) or is_templated(name):
        return
    for text, line in addresses[:20]:
        address = normal_address(text)
        if address is not None:
            yield reserved(name, address, source.where(line))


def _failover(source: Source, peer: Statement) -> Iterator[Parsed]:
    title = f"DHCP failover {excerpt(peer.words[2])}"
    for one in peer.inside("peer"):
        if len(one.words) > 2 and one.words[1].lower() == "address":
            where = source.where(one.line)
            yield from source.uses(title, [(target(one.words[2]), where)], group="peers")
            yield Dependency(source.ref(title), THIS_HOST, Relation.CONNECTS, where, group="peers")


def _kea(source: Source) -> Iterator[Parsed]:
    """Kea's JSON has comments of three kinds; they become blanks, so that no line moves."""
    text = "\n".join(source.lines)
    if "<?include" in text:
        text = re.sub(r"<\?include[^>]*\?>", '"included"', text)
    plain = _JSON_PIECE.sub(_without_comment, text)
    stream = read_yaml(plain)
    if stream.problem is not None and not is_templated(text):
        where = source.where(min(stream.problem.line, len(source.lines)))
        yield Malformed(where, excerpt(stream.problem.reason), "Kea refuses the file", whole=not stream.documents)
    root = stream.documents[0] if stream.documents else None
    for version in ("Dhcp4", "Dhcp6"):
        top = root.get(version) if root is not None and root.is_map else None
        if top is None or not top.is_map:
            continue
        yield from _kea_options(source, top, "all networks")
        subnets = [*top.children("subnet4"), *top.children("subnet6")]
        for shared in top.children("shared-networks"):
            if shared.is_map:
                subnets += [*shared.children("subnet4"), *shared.children("subnet6")]
        for subnet in subnets:
            if subnet.is_map:
                yield from _kea_options(source, subnet, subnet.text("subnet") or "a network")
        yield from _kea_peers(source, top)


def _without_comment(found: re.Match[str]) -> str:
    return found[0] if found[0][0] == '"' else "\n" * found[0].count("\n")


def _kea_options(source: Source, holder: YamlNode, scope: str) -> Iterator[Parsed]:
    found: dict[str, list[tuple[Ref | None, Where]]] = {}
    for option in holder.children("option-data"):
        what = _OPTIONS.get(option.text("name")) if option.is_map else None
        data = option.get("data") if option.is_map else None
        if what and data is not None and data.is_scalar:
            where = source.where(data.line)
            found.setdefault(what, []).extend((target(word), where) for word in data.scalar.replace(",", " ").split())
    boot = holder.get("next-server")
    if boot is not None and boot.scalar not in ("", "0.0.0.0"):
        found.setdefault("boot server", []).append((target(boot.scalar), source.where(boot.line)))
    for what, servers in found.items():
        yield from source.uses(f"{what} of DHCP clients on {scope}"[:200], servers, group="servers")
    for one in holder.children("reservations"):
        address = one.get("ip-address") if one.is_map else None
        name = one.text("hostname") if one.is_map else ""
        if address is not None and is_hostname(name) and (plain := normal_address(address.scalar)):
            yield reserved(name, plain, source.where(address.line))


def _kea_peers(source: Source, top: YamlNode) -> Iterator[Parsed]:
    """The servers of the high-availability hook, the host itself among them: one of them is enough."""
    for library in top.children("hooks-libraries"):
        parameters = library.get("parameters") if library.is_map else None
        for ha in parameters.children("high-availability") if parameters is not None and parameters.is_map else ():
            peers = [peer.get("url") for peer in ha.children("peers") if peer.is_map] if ha.is_map else []
            targets = [(url_target(url.scalar), source.where(url.line)) for url in peers if url is not None]
            yield from source.uses("Kea high availability", targets, group="peers")
