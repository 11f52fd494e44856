"""What is mounted, and how: `/proc/self/mountinfo` (proc(5)), `/proc/mounts`, `/etc/fstab` (fstab(5)), mount(8)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final

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
)

LINE_LIMIT: Final = 100_000
"""Mounts of one file that are read; the kernel's own limit (fs.mount-max) is as high."""

_OCTAL: Final = re.compile(r"\\([0-3][0-7]{2})")
_HOST_COLON: Final = frozenset(
    {"nfs", "nfs4", "ceph", "fuse.ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "sshfs", "beegfs", "lustre"}
)
_CIFS: Final = frozenset({"cifs", "smb3", "smbfs", "smb2"})
_READ_ONLY_KINDS: Final = frozenset({"squashfs", "iso9660", "erofs", "cramfs", "romfs", "udf"})
_MOUNTINFO: Final = "/proc/self/mountinfo"
_DEVICES: Final = "/.auditor/devices.txt"
_MOUNT: Final = "/.auditor/mount.txt"
_BLOCK: Final = re.compile(r"block (\S+) (\d+:\d+) ro=([01])")
_EXT4: Final = re.compile(r"ext4 (\S+) errors=(\d{1,12}) last=(\d{1,11})")
_MON_PORT: Final = re.compile(r":\d+$")
_FLAGS: Final = frozenset({"noauto", "nofail", "bind", "rbind", "_netdev", "user"})
# Options of the mount commands that name further servers (mount.glusterfs(8), mount.ceph(8), nfs(5)).
_SERVER_OPTIONS: Final = frozenset(
    {"backup-volfile-servers", "backup-volfile-server", "backupvolfile-server", "mon_addr", "addr", "mountaddr"}
)


class MountsCollector(Collector):
    """Mounts of a host, which of them can't be written, and which servers they come from.

    `read_only` is true if the mount or the file system under it is; `read_only_by` says which: "mount" (this mount
    alone, as a bind mount may be), "filesystem", "device" (the disk is: a write would fail), or "emergency" (ext4 gave
    up after an error: `emergency_ro`, where statvfs and `[ -w ]` still say writable). `fstab_read_only` is true where
    fstab means it so. The linker joins a MOUNT to its host.

    Reads
    -----
    `/proc/self/mountinfo`, `/proc/mounts` and `/etc/fstab`; what `auditor collect` asks a host about its disks, and,
    where there is no `/proc`, the output of mount (FreeBSD, macOS).

    Yields
    ------
    Mounts, which of them can't be written and why, the server that a network file system comes from, and how many
    errors ext4 remembers (`errors`, `last_error`).

    Can't see
    ---------
    Mounts of other mount namespaces (containers), what autofs would mount, and quotas.
    """

    name: ClassVar[str] = "mounts"
    title: ClassVar[str] = "Mounts and fstab"
    area: ClassVar[Area] = Area.STORAGE
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.MOUNTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By path; in a tree also a file called `fstab` or `mountinfo`."""
        if path in (_DEVICES, _MOUNT):
            return True
        if not path.endswith(("/mountinfo", "/mounts", "fstab", "/mtab")):
            return False
        base = path.rsplit("/", 1)[-1]
        if base == "mountinfo":
            return not path.startswith("/") or path.startswith("/proc/")
        if base in ("mounts", "mtab"):
            return path in ("/proc/mounts", "/proc/self/mounts", "/etc/mtab")
        return base == "fstab" and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """A mount for each line that holds one; a later mount of one place covers the earlier."""
        base = document.path.rsplit("/", 1)[-1]
        if document.path == _DEVICES:
            yield from _devices(decode(document.content).split("\n")[:LINE_LIMIT])
            return
        read = _mountinfo if base == "mountinfo" else _printed if document.path == _MOUNT else _fstab
        lines = decode(document.content).removeprefix("\ufeff").split("\n")
        if len(lines) > LINE_LIMIT:
            yield Malformed(Where(LINE_LIMIT), f"more than {LINE_LIMIT} lines: the rest is not read")
        for number, line in enumerate(lines[:LINE_LIMIT], start=1):
            text = line.strip(" \t\r")
            if not text or (text[0] == "#" and base != "mountinfo"):
                continue
            where = Where(number, excerpt(_without_secrets(line)))
            mount = read(text)
            if isinstance(mount, str):
                effect = "" if base == "mountinfo" else "mount skips the line with a parse error"
                yield Malformed(where, mount, effect)
            elif mount is not None:
                yield from _facts(mount, where, running=base != "fstab")

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        """Mounts of disks that can't be written, or that had errors."""
        found = {one.value[0]: one for one in fragments if isinstance(one.value, tuple)}
        content = read(_MOUNTINFO) if found else None
        for line in decode(content or b"").split("\n")[:LINE_LIMIT]:
            fields, mount = line.split(" ", 3), _mountinfo(line.strip(" \t\r"))
            one = found.get(fields[2]) if len(fields) == 4 else None
            if one is None or not isinstance(one.value, tuple) or isinstance(mount, str):
                continue
            _, only, errors, last = one.value
            known: dict[str, Attribute] = {}
            if only:
                why = _read_only_by(mount, True)
                known = {"read_only": True, "read_only_by": f"{why},device" if why else "device"}
            if errors:
                known |= {"errors": errors, "last_error": datetime.fromtimestamp(last, UTC).isoformat()}
            where = Where(one.where.line, one.where.excerpt, one.path)
            yield Entity(Ref(Kind.MOUNT, mount.point.rstrip("/") or "/"), where, known)


def _devices(lines: Sequence[str]) -> Iterator[Fragment]:
    """A fragment for each disk (by its number, `8:1`) that can't be written, or whose file system had errors."""
    numbers: dict[str, str] = {}
    found: dict[str, tuple[bool, int, int, int]] = {}
    for number, line in enumerate(lines, 1):
        if disk := _BLOCK.fullmatch(line):
            numbers[disk[1]] = disk[2]
            if disk[3] == "1":
                found[disk[1]] = (True, 0, 0, number)
        elif (ext4 := _EXT4.fullmatch(line)) and ext4[2] != "0":
            only, *_ = found.get(ext4[1], (False, 0, 0, 0))
            found[ext4[1]] = (only, int(ext4[2]), int(ext4[3]), number)
    for name, (only, errors, last, number) in found.items():
        if name in numbers:
            where = Where(number, excerpt(lines[number - 1]))
            yield Fragment("device", (numbers[name], only, errors, last), where)


@dataclass(frozen=True, slots=True)
class _Mount:
    """One mount: where, of what, with which options of the mount itself and of the file system under it."""

    point: str
    source: str
    kind: str
    options: tuple[str, ...]
    super_options: tuple[str, ...] = ()
    root: str = "/"


def _mountinfo(line: str) -> _Mount | str:
    """A line of mountinfo: six fields, optional ones, ` - `, then type, source and the file system's options."""
    head, dash, tail = line.partition(" - ")
    fields, rest = head.split(" "), tail.split(" ")
    if not dash or len(fields) < 6 or len(rest) < 2 or not fields[4].startswith("/"):
        return "not a line of mountinfo"
    options, super_options = fields[5].split(","), rest[2].split(",") if len(rest) > 2 else []
    source, root = _plain(rest[1]), _plain(fields[3])
    return _Mount(_plain(fields[4]), source, rest[0], tuple(options), tuple(super_options), root)


def _printed(line: str) -> _Mount | str:
    """A line of mount(8): `/dev/ada0p2 on / (ufs, local, read-only)`, `files:/x on /mnt type nfs (ro)`."""
    head, bracket, tail = line.rpartition(" (")
    source, on, point = head.partition(" on /")
    if not bracket or not on or not tail.endswith(")"):
        return "not a line of mount"
    place, written, kind = point.rpartition(" type ")
    options = ["ro" if word.strip() == "read-only" else word.strip() for word in tail[:-1].split(",")]
    return _Mount(f"/{place if written else point}", source, kind if written else options[0], tuple(options))


def _fstab(line: str) -> _Mount | str | None:
    """A line of fstab or of /proc/mounts. Swap has no place."""
    fields = line.split()
    if len(fields) < 3:
        return "fewer than three fields"
    source, point, kind = _plain(fields[0]), _plain(fields[1]), fields[2]
    if kind in ("swap", "ignore") or point in ("none", "swap"):
        return None
    if not point.startswith("/"):
        return f"{excerpt(point)} is no absolute path"
    options = tuple(fields[3].split(",")) if len(fields) > 3 else ("defaults",)
    return _Mount(point, source, kind, options)


def _plain(text: str) -> str:
    """The kernel's octal escapes decoded: `\\040` is a space; the bytes are UTF-8."""
    if "\\" not in text:
        return text
    raw = _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
    try:
        return raw.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return raw


def _facts(mount: _Mount, where: Where, *, running: bool) -> Iterator[Parsed]:
    point = mount.point.rstrip("/") or "/"
    ref = Ref(Kind.MOUNT, point)
    servers = _servers(mount)
    why = _read_only_by(mount, running)
    if mount.kind == "autofs":
        # It waits for somebody to come; what is mounted then stands in a unit, in fstab or in a map.
        yield Entity(ref, where, {"automount": True})
        return
    attributes: dict[str, Attribute] = {"mounted" if running else "in_fstab": True, "fstype": mount.kind}
    # What is mounted tells that a mount is writable; fstab alone does not.
    if running or why:
        attributes["read_only"] = bool(why)
    if why:
        attributes["read_only_by"] = why
    if why and not running:
        attributes["fstab_read_only"] = True
    if running or servers:
        attributes["source"] = excerpt(_without_secrets(mount.source))
    if mount.root != "/":
        attributes["root"] = mount.root
    flags = tuple(option for option in mount.options if option in _FLAGS)
    if flags:
        attributes["options"] = flags
    yield Entity(ref, where, attributes)
    group = "servers" if len(servers) > 1 else ""
    for server in servers:
        yield Dependency(ref, server, Relation.MOUNTS, where, group=group)


def _read_only_by(mount: _Mount, running: bool) -> str:
    by = []
    if "emergency_ro" in mount.super_options or "emergency_ro" in mount.options:
        by.append("emergency")
    if "ro" in mount.super_options or (running and not mount.super_options and mount.kind in _READ_ONLY_KINDS):
        by.append("filesystem")
    # fstab(5): of `ro` and `rw`, the last one counts.
    access = [option for option in mount.options if option in ("ro", "rw")]
    if access and access[-1] == "ro":
        by.append("mount")
    return ",".join(by)


def _servers(mount: _Mount) -> list[Ref]:
    """The hosts that export a network file system, in the order they are written."""
    source, hosts = mount.source, list[str]()
    options = (*mount.options, *mount.super_options)
    if mount.kind in _CIFS and source.startswith(("//", "\\\\")):
        hosts.append(re.split(r"[/\\]", source[2:], maxsplit=1)[0].rsplit("@", 1)[-1])
    elif mount.kind in _HOST_COLON or source.startswith("sshfs#"):
        export = source.removeprefix("sshfs#")
        cut = export.rfind(":/") if ":/" in export else export.rfind(":")
        # An address of IPv6 stands in brackets (nfs(5)); ceph and gluster take several hosts with a comma.
        authority = export[:cut] if cut > 0 else export if mount.kind == "fuse.glusterfs" else ""
        for host in authority.split(","):
            bare = host.rsplit("@", 1)[-1]
            hosts.append(bare if bare.startswith("[") and bare.endswith("]") else _MON_PORT.sub("", bare))
    if not hosts and mount.kind != "ceph":
        return []
    if not hosts or mount.kind in ("ceph", "glusterfs", "fuse.glusterfs"):
        for option in options:
            key, _, value = option.partition("=")
            if key in _SERVER_OPTIONS:
                hosts.extend(
                    _MON_PORT.sub("", part) for part in re.split(r"[:/]" if key.startswith("b") else "/", value)
                )
    refs = (host_ref(host.split(":", 1)[0] if host.count(":") == 1 else host) for host in hosts if host)
    return list(dict.fromkeys(ref for ref in refs if ref is not None))


def _without_secrets(text: str) -> str:
    """Mount options may hold a share's user and password (mount.cifs(8), mount.ceph(8))."""
    if "pass" not in text and "secret" not in text and "user" not in text:
        return text
    return re.sub(r"\b(pass\w*|secret|username)=([^,\s]+)", r"\1=‹redacted›", text)
