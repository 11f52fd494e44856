"""`/etc/resolv.conf`: which name servers a host asks, and how it completes short names (resolv.conf(5), glibc 2.36)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Attribute,
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
    decode,
    excerpt,
    is_hostname,
    normal_address,
    normal_name,
)

NAMESERVER_LIMIT: Final = 3
"""MAXNS of resolv.h: name servers after the third are ignored."""

_RESOLVER: Final = Ref(Kind.SERVICE, "resolver")
_KEYWORDS: Final = frozenset({"nameserver", "search", "domain", "options", "sortlist", "lookup", "family", "trust-ad"})


class ResolvConfCollector(Collector):
    """The resolver of a host: `search` and `nameservers` of THIS_HOST, and edges to the servers, as alternatives.

    `search` and `domain` exclude each other, and the last line of either kind wins. Servers on a loopback address
    (systemd-resolved, dnsmasq) are the host itself and make no edge.

    Reads
    -----
    `/etc/resolv.conf`.

    Yields
    ------
    The domains that complete short names on this host, and the name servers that it asks, as alternatives.

    Can't see
    ---------
    What systemd-resolved or a local forwarder asks behind a loopback address.
    """

    name: ClassVar[str] = "resolv_conf"
    title: ClassVar[str] = "Resolver configuration"
    area: ClassVar[Area] = Area.NAMES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS, Relation.RUNS_ON})

    def recognizes(self, path: str, head: bytes) -> bool:
        """The host's own file, also where systemd-resolved keeps the upstream servers; in a tree by its name."""
        if not path.endswith("resolv.conf"):
            return False
        return path.rsplit("/", 1)[-1] == "resolv.conf" and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Lines begin with their keyword in the first column, `#` and `;` too (glibc ignores indented ones)."""
        search: tuple[tuple[str, ...], Where] | None = None
        servers: list[tuple[str, Where]] = []
        for number, line in enumerate(decode(document.content).removeprefix("\ufeff").split("\n"), start=1):
            words = line.split()
            if not words or line[0] in "#;":
                continue
            where = Where(number, excerpt(line))
            keyword, values = words[0], words[1:]
            if line[0] in " \t" or keyword not in _KEYWORDS:
                yield Malformed(
                    where, f"{excerpt(keyword)} is no keyword in the first column", "the resolver ignores the line"
                )
            elif keyword == "nameserver":
                address = normal_address(values[0]) if values else None
                if address is None:
                    yield Malformed(where, "nameserver takes an address", "the resolver ignores the line")
                elif len(servers) >= NAMESERVER_LIMIT:
                    yield Malformed(
                        where, f"more than {NAMESERVER_LIMIT} name servers", "the resolver ignores this one"
                    )
                else:
                    servers.append((address, where))
            elif keyword in ("search", "domain"):
                names = values[:1] if keyword == "domain" else _until_comment(values)
                if not names:
                    yield Malformed(where, f"{keyword} without a name", "the resolver ignores the line")
                    continue
                search = (tuple(normal_name(name) for name in names if is_hostname(name)), where)
        yield from _facts(search, servers)


def _until_comment(values: list[str]) -> list[str]:
    for at, value in enumerate(values):
        if value[0] in "#;":
            return values[:at]
    return values


def _facts(search: tuple[tuple[str, ...], Where] | None, servers: list[tuple[str, Where]]) -> Iterator[Parsed]:
    if search is not None:
        yield Entity(THIS_HOST, search[1], {"search": search[0]})
    if not servers:
        return
    addresses: dict[str, Attribute] = {"nameservers": tuple(address for address, _ in servers)}
    yield Entity(THIS_HOST, servers[0][1], addresses)
    yield Dependency(_RESOLVER, THIS_HOST, Relation.RUNS_ON, servers[0][1])
    for address, where in servers:
        if not address.startswith("127.") and address != "::1":
            provider = Ref(Kind.ADDRESS, address)
            yield Dependency(_RESOLVER, provider, Relation.CONNECTS, where, group="nameservers")
