"""NetBox: which names and addresses a machine has, and in which state somebody has noted it (REST API of 3 and 4).

Sources: the models of DCIM, virtualization and IPAM in NetBox's documentation, and `DeviceStatusChoices`,
`VirtualMachineStatusChoices` and `IPAddressRoleChoices` of its source.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from posixpath import dirname
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
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
    YamlNode,
    YamlStream,
    decode,
    excerpt,
    is_hostname,
    normal_address,
    normal_name,
    read_yaml,
)

_HEAD: Final = re.compile(rb"\s*\{[^\[]{0,300}\"results\"\s*:\s*\[")
_OBJECT: Final = re.compile(
    rb"\"url\"\s*:\s*\"[^\"\s]{0,300}/api/(?:dcim/devices|virtualization/virtual-machines|ipam/ip-addresses)/"
)
_MACHINE: Final = re.compile(
    rb"\"(?:primary_ip4|primary_ip6|device_role|cluster)\"\s*:|\"status\"\s*:\s*\{\s*\"value\""
)
_ADDRESS: Final = re.compile(rb"\"(?:dns_name|assigned_object|nat_inside)\"\s*:")
_PRIMARY: Final = ("primary_ip4", "primary_ip6", "primary_ip")
_SHARED: Final = frozenset({"anycast", "vip", "vrrp", "hsrp", "glbp", "carp", "loopback"})
"""Roles of addresses that more than one machine may answer to."""
_NOT_USED: Final = frozenset({"reserved", "deprecated"})
_FREE: Final = _NOT_USED | {"available", "free", "unused"}
_ADDRESS_COLUMNS: Final = ("ip_address", "primary_ip", "ipv4_address", "primary_ip4", "ipv6_address", "primary_ip6")
_STATUS_COLUMNS: Final = ("status", "state", "ip_state", "tag")
_PHPIPAM: Final = ({"ip_state"}, {"section", "tag"}, {"vrf", "tag"}, {"subnet", "tag"}, {"mac", "tag"})
"""Columns by which an export of phpIPAM is known: of a subnet, and of all addresses, where `tag` is their state."""
_HEADING: Final = 10
"""Lines in which a table may begin: phpIPAM writes what the subnet is before it."""
_NAME_COLUMNS: Final = ("dns_name", "hostname")
_OF_ADDRESSES: Final = ("ip_address", "address", "ip")
_OF_MACHINES: Final = frozenset({"role", "device_role", "device_type", "type", "cluster", "manufacturer"})
ROWS_LIMIT: Final = 200_000
"""Machines or addresses of one table."""


@dataclass(frozen=True, slots=True)
class _Machine:
    identity: str
    """`device 7`, or `virtual_machine 7`."""
    name: str
    status: str
    role: str
    addresses: tuple[str, ...]
    where: Where


@dataclass(frozen=True, slots=True)
class _Address:
    owner: str
    addresses: tuple[str, ...]
    """Itself, and what it is translated to outside."""
    dns_name: str


@dataclass(slots=True)
class _Known:
    machines: list[_Machine] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)
    addresses: list[_Address] = field(default_factory=list)


class NetboxCollector(Collector):
    """Devices and virtual machines of a NetBox: what they are called, and in which state they are noted.

    They add names and addresses to machines that are known otherwise, and make none: a NetBox knows switches and
    sockets, too. What is noted is what somebody meant, and no observation.

    Reads
    -----
    The answers of `/api/dcim/devices/`, `/api/virtualization/virtual-machines/` and `/api/ipam/ip-addresses/`, whole or
    the list of their results alone, and the lists of devices and virtual machines as CSV (with the columns name and
    status, a site or cluster, and a role or type); those in one directory together. Lists of addresses as CSV, of
    NetBox, phpIPAM and others: with an address, a status or state, and a DNS or host name.

    Yields
    ------
    For each name that one machine alone has: its status and role, and the DNS names and addresses of its interfaces,
    translated ones (NAT) among them. Each address that is in use by such a list, with its status and for whom.

    Can't see
    ---------
    Whether what is noted is so. Machines without a name, and those of which two have the same. Addresses that several
    may answer to (anycast, VIP, VRRP and the like), and objects that the token may not view, of which NetBox does not
    speak.
    """

    name: ClassVar[str] = "netbox"
    title: ClassVar[str] = "NetBox: devices, virtual machines and their addresses"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.STANDS_FOR})

    def recognizes(self, path: str, head: bytes) -> bool:
        """JSON by its keys or the URLs of its objects, CSV by its columns."""
        if path.endswith(".csv"):
            return _heading(decode(head).split("\n")) is not None
        if path.endswith(".json") and head.lstrip().startswith(b"["):
            return _OBJECT.search(head) is not None
        if not path.endswith(".json") or _HEAD.match(head) is None or b'"attrs"' in head:
            return False
        return _MACHINE.search(head) is not None or _ADDRESS.search(head) is not None

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Fragments: a machine and its addresses are in different answers."""
        if document.path.endswith(".csv"):
            yield from _table(decode(document.content))
            return
        stream = read_yaml(document.content)
        if stream.problem is not None:
            where = stream.where(min(stream.problem.line, len(stream.lines)))
            yield Malformed(where, excerpt(stream.problem.reason), "scanned for mentions only", not stream.documents)
        for root in stream.documents:
            for one in root.children("results") if root.is_map else root.elements:
                if not one.is_map:
                    continue
                if (address := one.get("address")) is not None and address.is_scalar:
                    # What several machines may answer to stays with the others.
                    shared = _text(one, "role", "value") in _SHARED
                    yield from (
                        ()
                        if shared
                        else _registered(
                            "NetBox",
                            one.text("address"),
                            _text(one, "status", "value") or one.text("status"),
                            one.text("dns_name"),
                            _text(one, "assigned_object", "device", "name")
                            or _text(one, "assigned_object", "virtual_machine", "name"),
                            stream.where(address),
                        )
                    )
                    if found := _address(one):
                        yield Fragment("address", found, stream.where(address))
                elif one.text("name") and one.text("id"):
                    machine = _machine(one, stream)
                    yield Fragment("machine", machine, machine.where)

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """HOST entities with `known_as`, of all answers in a directory."""
        known: dict[str, _Known] = {}
        for one in fragments:
            place = known.setdefault(dirname(one.path), _Known())
            if isinstance(one.value, _Machine):
                place.machines.append(one.value)
                place.paths[one.value.identity] = one.path
            elif isinstance(one.value, _Address):
                place.addresses.append(one.value)
        for place in known.values():
            yield from _hosts(place)


def _text(node: YamlNode, *keys: str) -> str:
    """The scalar behind several keys; empty as soon as one is missing."""
    found: YamlNode | None = node
    for key in keys:
        found = found.get(key) if found is not None and found.is_map else None
    return found.scalar if found is not None and found.is_scalar else ""


def _bare(address: str) -> str | None:
    """An address without the length of its prefix."""
    return normal_address(address.partition("/")[0])


def _machine(one: YamlNode, stream: YamlStream) -> _Machine:
    # Every device has a type, and no virtual machine has one.
    virtual = one.get("device_type") is None
    primary = dict.fromkeys(_bare(_text(one, key, "address")) for key in _PRIMARY)
    return _Machine(
        f"{'virtual_machine' if virtual else 'device'} {one.text('id')}",
        one.text("name"),
        _text(one, "status", "value") or one.text("status"),
        _text(one, "role", "name") or _text(one, "device_role", "name"),
        tuple(address for address in primary if address is not None),
        stream.where(one.get("name") or one),
    )


def _address(one: YamlNode) -> _Address | None:
    """An address with the machine that has it; None if it has none, or if it is not its own."""
    if _text(one, "role", "value") in _SHARED or _text(one, "status", "value") in _NOT_USED:
        return None
    owner = ""
    for kind in ("device", "virtual_machine"):
        if identity := _text(one, "assigned_object", kind, "id"):
            owner = f"{kind} {identity}"
    outside = [_bare(_text(other, "address")) for other in one.children("nat_outside") if other.is_map]
    found = tuple(address for address in (_bare(one.text("address")), *outside) if address is not None)
    return _Address(owner, found, one.text("dns_name")) if owner and found else None


def _registered(program: str, address: str, status: str, name: str, machine: str, where: Where) -> Iterator[Parsed]:
    """An address that is not free, and for whom; nothing of one that is for nobody.

    An address may be there several times, in networks of their own: each has an attribute, `registered NAME`.
    """
    bare, said = _bare(address.strip()), status.strip().lower()
    names = [normal_name(text.strip()) if is_hostname(text.strip()) else "" for text in (name, machine)]
    if bare is not None and said not in _FREE and any(names):
        key = f"registered {next(filter(None, names))}"
        yield Entity(Ref(Kind.ADDRESS, bare), where, {key: (program, excerpt(said), *names)})


def _columns(line: str) -> list[str]:
    """The names of columns as NetBox's forms have them, also where people wrote them; none of what is no CSV."""
    try:
        row = next(csv.reader([line.removeprefix("\ufeff").strip()]), [])
    except csv.Error:
        return []
    return [name.strip().lower().replace(" ", "_") for name in row]


def _is_table(columns: Sequence[str]) -> bool:
    known = set(columns)
    return {"name", "status"} <= known and bool(known & {"site", "cluster"}) and bool(known & _OF_MACHINES)


def _is_list_of_addresses(columns: Sequence[str]) -> bool:
    wanted = (_OF_ADDRESSES, _STATUS_COLUMNS if _is_phpipam(columns) else _STATUS_COLUMNS[:2], _NAME_COLUMNS)
    return "name" not in columns and all(any(name in columns for name in one) for one in wanted)


def _is_phpipam(columns: Sequence[str]) -> bool:
    return any(one <= set(columns) for one in _PHPIPAM)


def _heading(lines: Sequence[str]) -> int | None:
    """The number of the line with the names of columns, from 0; None if there is none."""
    for number, line in enumerate(lines[:_HEADING]):
        columns = _columns(line)
        if _is_list_of_addresses(columns) or (number == 0 and _is_table(columns)):
            return number
    return None


def _cell(cells: dict[str, str], keys: Iterable[str]) -> str:
    return next((cells[key] for key in keys if cells.get(key)), "")


def _table(text: str) -> Iterator[Parsed]:
    """The machines or addresses of a list that was exported as CSV. A row may hold line ends in quotes."""
    lines = text.split("\n")
    heading = _heading(lines) or 0
    columns = _columns(lines[heading])
    of_addresses = not _is_table(columns)
    program = "NetBox" if "dns_name" in columns else "the list of addresses"
    reader = csv.reader(f"{line}\n" for line in lines[heading:])
    start = 1
    try:
        for number, row in enumerate(reader):
            line, start = start + heading, reader.line_num + 1
            if number > ROWS_LIMIT:
                yield Malformed(Where(line), f"more than {ROWS_LIMIT:,} rows: the rest is not read")
                return
            cells = dict(zip(columns, row, strict=False))
            if number and of_addresses:
                keys = (_OF_ADDRESSES, _STATUS_COLUMNS, _NAME_COLUMNS)
                address, status, name = (_cell(cells, one) for one in keys)
                yield from _registered(program, address, status, name, "", Where(line, excerpt(lines[line - 1])))
            if number == 0 or of_addresses or not cells.get("name", "").strip():
                continue
            found = (_bare(cells.get(key, "").strip()) for key in _ADDRESS_COLUMNS)
            where = Where(line, excerpt(lines[line - 1]))
            machine = _Machine(
                f"row {number}",
                cells["name"].strip(),
                cells.get("status", "").strip().lower(),
                cells.get("role", "") or cells.get("device_role", ""),
                tuple(_once(address for address in found if address is not None)),
                where,
            )
            yield Fragment("machine", machine, where)
    except csv.Error as error:
        yield Malformed(Where(start + heading), excerpt(f"not CSV: {error}"), "the rest is scanned for mentions only")


def _hosts(known: _Known) -> Iterator[Parsed]:
    called = Counter(normal_name(one.name) for one in known.machines)
    of: dict[str, list[_Address]] = {}
    for address in known.addresses:
        of.setdefault(address.owner, []).append(address)
    holders = Counter(text for one in known.addresses for text in set(one.addresses))
    named = Counter(name for owned in of.values() for name in {normal_name(one.dns_name) for one in owned})
    for machine in known.machines:
        name = normal_name(machine.name)
        if called[name] > 1 or not is_hostname(name):
            continue
        owned = of.get(machine.identity, [])
        names = [normal_name(one.dns_name) for one in owned if is_hostname(one.dns_name)]
        addresses = [
            *(address for address in machine.addresses if holders[address] <= 1),
            *(address for one in owned for address in one.addresses if holders[address] == 1),
        ]
        # A short name may be that of another machine elsewhere: whether it is, its addresses tell.
        attributes: dict[str, Attribute] = {"registered": "NetBox"}
        if machine.status:
            attributes["netbox_status"] = excerpt(machine.status)
        if machine.role:
            attributes["netbox_role"] = excerpt(machine.role)
        attributes["known_as"] = tuple(_once([name, *(one for one in names if named[one] == 1), *addresses]))
        yield Entity(Ref(Kind.HOST, name), replace(machine.where, path=known.paths[machine.identity]), attributes)


def _once(texts: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(texts)
