"""What a running host says of itself: its name, its addresses, its system (`uname`, `ip addr`, `ifconfig`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Attribute,
    Collector,
    Document,
    Entity,
    Parsed,
    Relation,
    Where,
    decode,
    excerpt,
    is_hostname,
    normal_address,
    normal_name,
    parse_time,
)

MAX_LINES: Final = 10_000

_HOST: Final = "/.auditor/host.txt"
_ADDRESSES: Final = "/.auditor/ip-addr.txt"
# Networks inside of one machine: containers, virtual machines, their bridges.
_INNER: Final = re.compile(
    r"(?:docker|br-|veth|virbr|vnet|cni|cali|flannel|lxc|lxd|podman|kube|cilium|weave|nerdctl|dummy)"
)
_IP: Final = re.compile(r"\d+:\s+(\S+?)(?:@\S+)?\s+inet6?\s+([0-9a-fA-F.:]+)(?:/(\d+))?(.*)")
_INTERFACE: Final = re.compile(r"(\S+?):?\s+(?:flags=|Link encap)")
_INET: Final = re.compile(r"\s+inet6?\s+(?:addr:\s*)?([0-9a-fA-F.:]+)(?:%\S+)?")


class HostStateCollector(Collector):
    """Reads what `auditor collect` asks a host about itself.

    Reads
    -----
    `host.txt` and `ip-addr.txt` in the directory `.auditor` of a captured host.

    Yields
    ------
    What the host calls itself, the addresses on its interfaces (`own_addresses`), its system, its clock's offset from
    UTC, and whether it was read as root.

    Can't see
    ---------
    Addresses that a load balancer or NAT puts before it. Addresses that move between hosts (keepalived's) and networks
    inside of the machine (containers) are left out.
    """

    name: ClassVar[str] = "host_state"
    title: ClassVar[str] = "Names and addresses of running hosts"
    area: ClassVar[Area] = Area.NAMES
    provides: ClassVar[frozenset[Relation]] = frozenset()

    def recognizes(self, path: str, head: bytes) -> bool:
        return path in (_HOST, _ADDRESSES)

    def parse(self, document: Document) -> Iterator[Parsed]:
        lines = decode(document.content).split("\n")[:MAX_LINES]
        yield from _identity(lines) if document.path == _HOST else _addresses(lines)


def _identity(lines: list[str]) -> Iterator[Entity]:
    known: dict[str, Attribute] = {}
    names: list[str] = []
    for line in lines:
        key, _, value = line.partition("=")
        value = value.strip()
        if key in ("node", "name") and is_hostname(value) and not value.startswith("localhost") and value[0] != "*":
            names.append(normal_name(value))
        elif key == "system" and value:
            known["system"] = excerpt(value)
        elif key == "uid" and value.isdecimal():
            known["read_as_root"] = value == "0"
        elif key == "time" and (moment := parse_time(value)) is not None:
            known["clock"] = moment.isoformat()
        elif key == "zone" and re.fullmatch(r"[+-]\d{4}", value):
            known["zone"] = value
    if names:
        known["own_names"] = tuple(dict.fromkeys(names))
    if known:
        yield Entity(THIS_HOST, Where(1, excerpt(lines[0])), known)


def _addresses(lines: list[str]) -> Iterator[Entity]:
    """Addresses of each interface; one that was added to another of its family is left out."""
    interface = ""
    seen: set[tuple[str, bool]] = set()
    for number, line in enumerate(lines, 1):
        if found := _IP.match(line):
            interface, text, prefix, rest = found[1], found[2], found[3] or "", found[4]
            moves = " secondary" in rest or " deprecated" in rest or " temporary" in rest
        elif found := _INTERFACE.match(line):
            interface = found[1]
            continue
        elif interface and (found := _INET.match(line)):
            text, prefix, moves = found[1], "32" if "0xffffffff" in line or "255.255.255.255" in line else "", False
        else:
            continue
        address = normal_address(text)
        if address is None or moves or _INNER.match(interface) or address.startswith(("127.", "169.254.", "fe80:")):
            continue
        family = (interface, ":" in address)
        if address == "::1" or (prefix in ("32", "128") and family in seen):
            continue
        seen.add(family)
        yield Entity(THIS_HOST, Where(number, excerpt(line)), {"own_addresses": (address,)})
