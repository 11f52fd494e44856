"""Proxmox VE 8: `storage.cfg` (pvesm(1)), the storages of all nodes of a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from auditor.api import (
    Area,
    Attribute,
    Collector,
    Dependency,
    Document,
    Entity,
    Kind,
    Malformed,
    Need,
    Parsed,
    Ref,
    Relation,
    Where,
    excerpt,
)
from collectors.services.common import LINE_LIMIT, Source, limited, read_source, url_target

_STORAGE: Final = re.compile(r"([a-z]+):\s*([A-Za-z][\w.-]*)\s*")
_MOUNTED: Final = frozenset({"nfs", "cifs", "glusterfs", "cephfs"})
_BLOCKS: Final = frozenset({"iscsi", "iscsidirect", "zfs", "rbd"})
_SERVERS: Final = frozenset({"server", "server2", "portal", "monhost"})
_SEVERAL: Final = re.compile(r"[\s,;]+")


@dataclass(slots=True)
class _Storage:
    kind: str
    name: str
    where: Where
    options: dict[str, str] = field(default_factory=dict)
    servers: list[tuple[Ref, Where]] = field(default_factory=list)


class ProxmoxCollector(Collector):
    """Which servers the storages of Proxmox VE are on.

    Reads
    -----
    `/etc/pve/storage.cfg`, and files of that name below a directory `pve` of a tree.

    Yields
    ------
    A mount for each storage of type nfs, cifs, glusterfs and cephfs, at its path, or at `/mnt/pve/<name>`; a service
    for each of iSCSI, ZFS over iSCSI and RBD, whose server must be writable; one for each Proxmox Backup Server, which
    takes the backups; one for each of another type, as ESXi, from which guests are imported. Several servers of a
    storage are alternatives. Storages with `disable` are left out.

    Can't see
    ---------
    Which guests have their disks there, which backup jobs use a storage, and credentials.
    """

    name: ClassVar[str] = "proxmox"
    title: ClassVar[str] = "Proxmox VE: storages on other machines"
    area: ClassVar[Area] = Area.STORAGE
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.MOUNTS, Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name and directory."""
        return path.endswith("pve/storage.cfg") and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """Facts of one file."""
        source = read_source(document, "Proxmox VE")
        if isinstance(source, Malformed):
            yield source
            return
        yield from limited(source, _facts(source))


def _facts(source: Source) -> Iterator[Parsed]:
    for one in _storages(source):
        if one.options.get("disable", "0") != "0" or not one.servers:
            continue
        group = "servers" if len(one.servers) > 1 else ""
        if one.kind in _MOUNTED:
            mount = Ref(Kind.MOUNT, one.options.get("path") or f"/mnt/pve/{one.name}")
            shared = one.options.get("export") or one.options.get("share") or one.options.get("volume", "")
            attributes: dict[str, Attribute] = {"fstype": one.kind}
            if shared:
                attributes["source"] = excerpt(f"{one.servers[0][0].text}:{shared}")
            yield Entity(mount, one.where, attributes)
            for server, where in one.servers:
                yield Dependency(mount, server, Relation.MOUNTS, where, group=group)
        elif one.kind in _BLOCKS:
            yield from source.uses(f"proxmox storage {one.name}", one.servers, Need.WRITE, group)
        elif one.kind == "pbs":
            yield from source.uses(f"proxmox backup storage {one.name}", one.servers, Need.WRITE)
        else:
            yield from source.uses(f"proxmox storage {one.name}", one.servers, group=group)


def _storages(source: Source) -> Iterator[_Storage]:
    """`TYPE: NAME` at the start of a line, its options below it, each indented."""
    current: _Storage | None = None
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            if current is not None:
                yield current
            found = _STORAGE.fullmatch(line)
            current = _Storage(found[1], found[2], source.where(number)) if found else None
            continue
        if current is None:
            continue
        key, value = (*line.split(None, 1), "")[:2]
        # An option without a value is switched on (PVE::SectionConfig).
        current.options[key] = value.strip() or "1"
        if key in _SERVERS:
            places = (url_target(part.strip("\"'")) for part in _SEVERAL.split(value.strip())[:100] if part)
            current.servers += [(place, source.where(number)) for place in places if place is not None]
    if current is not None:
        yield current
