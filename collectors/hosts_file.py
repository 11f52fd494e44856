"""What a host is called by its own files: `/etc/hosts` (hosts(5)), `/etc/hostname` (hostname(5)), `/etc/machine-id`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import (
    THIS_HOST,
    Area,
    Collector,
    Document,
    Entity,
    Malformed,
    Parsed,
    Relation,
    Where,
    decode,
    excerpt,
    is_hostname,
    normal_address,
    normal_name,
)

LINE_LIMIT: Final = 200_000
"""Lines of one file that are read: lists that block advertisers hold as many."""

_OWN: Final = "127.0.1.1"
# hosts(5) as Debian, Red Hat, glibc's documentation and macOS ship it: names of no machine.
_GENERIC: Final = frozenset(
    {
        "localhost",
        "localhost.localdomain",
        "localhost4",
        "localhost4.localdomain4",
        "localhost6",
        "localhost6.localdomain6",
        "ip6-localhost",
        "ip6-loopback",
        "broadcasthost",
    }
)
_MACHINE_ID: Final = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_PATHS: Final = frozenset({"/etc/hosts", "/etc/hostname", "/etc/HOSTNAME", "/etc/machine-id"})


_WINDOWS: Final = "/windows/system32/drivers/etc/hosts"


class HostsFileCollector(Collector):
    """A host's own table of names.

    Each line becomes an attribute of THIS_HOST: `hosts_entry` is "address name name ...", `own_names` the names on
    127.0.1.1 (Debian's form of "me"), `hostname` and `machine_id` what their files hold. A name means something only
    to the host whose table it is in, so there are no dependencies here: the linker keeps a table for each host.

    Reads
    -----
    `/etc/hosts`, `/etc/hostname` and `/etc/machine-id`, and the hosts file of Windows; in a tree,
    files called `hosts` that have this form.

    Yields
    ------
    What names mean on this very host, before DNS is asked; and what the host calls itself.

    Can't see
    ---------
    What nsswitch.conf puts before the file, and names that come from LDAP or NIS.
    """

    name: ClassVar[str] = "hosts_file"
    title: ClassVar[str] = "Hosts files, host names and machine ids"
    area: ClassVar[Area] = Area.NAMES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.STANDS_FOR})

    def recognizes(self, path: str, head: bytes) -> bool:
        """A host's own files by their paths; in a tree, a file `hosts` whose every line begins with an address."""
        if path.startswith("/"):
            return path in _PATHS or path.lower().endswith(_WINDOWS)
        if not path.endswith(("/hosts", "/etc/hostname", "/etc/machine-id")) and path != "hosts":
            return False
        return not path.endswith("hosts") or _is_table(head)

    def parse(self, document: Document) -> Iterator[Parsed]:
        """One entity a line, in the order of the file: the first line of a name wins (hosts(5))."""
        lines = decode(document.content).removeprefix("\ufeff").split("\n")
        base = document.path.rsplit("/", 1)[-1]
        if base in ("hostname", "HOSTNAME"):
            yield from _hostname(lines)
        elif base == "machine-id":
            yield from _machine_id(lines)
        else:
            yield from _table(lines)


def _is_table(head: bytes) -> bool:
    lines = [line.split(b"#", 1)[0].split() for line in head.rsplit(b"\n", 1)[0].split(b"\n")]
    written = [words for words in lines if words]
    return bool(written) and all(len(words) > 1 and _is_address(words[0]) for words in written)


def _is_address(word: bytes) -> bool:
    return normal_address(word.decode("latin-1")) is not None


def _table(lines: list[str]) -> Iterator[Parsed]:
    if len(lines) > LINE_LIMIT:
        yield Malformed(
            Where(LINE_LIMIT), f"more than {LINE_LIMIT} lines: the rest is not read", "the C library reads it"
        )
    for number, line in enumerate(lines[:LINE_LIMIT], start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        where = Where(number, excerpt(line))
        address = normal_address(words[0])
        if address is None:
            yield Malformed(where, f"{excerpt(words[0])} is no address", "the C library skips the line")
            continue
        if len(words) == 1:
            yield Malformed(where, f"no name for {address}", "the C library skips the line")
            continue
        names = tuple(dict.fromkeys(normal_name(word) for word in words[1:] if is_hostname(word)))
        if bad := [word for word in words[1:] if not is_hostname(word)]:
            yield Malformed(where, f"{excerpt(bad[0])} is no host name", "the other names of the line are used")
        own = tuple(name for name in names if name not in _GENERIC)
        if not own:
            continue
        if address == _OWN:
            yield Entity(THIS_HOST, where, {"own_names": own})
        elif not _is_local(address):
            yield Entity(THIS_HOST, where, {"hosts_entry": " ".join((address, *own))})


def _is_local(address: str) -> bool:
    """Loopback, unspecified (lists that block names use it), and the multicast lines that systems ship."""
    return address.startswith(("127.", "0.0.0.0", "255.", "ff0", "fe00:")) or address in ("::", "::1")


def _hostname(lines: list[str]) -> Iterator[Parsed]:
    for number, line in enumerate(lines, start=1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        where = Where(number, excerpt(line))
        if is_hostname(text):
            yield Entity(THIS_HOST, where, {"hostname": normal_name(text)})
        else:
            yield Malformed(
                where, f"{excerpt(text)} is no host name", "systemd falls back to its default name", whole=True
            )
        return


def _machine_id(lines: list[str]) -> Iterator[Parsed]:
    text = lines[0].strip()
    if _MACHINE_ID.fullmatch(text):
        yield Entity(THIS_HOST, Where(1, excerpt(lines[0])), {"machine_id": text.lower()})
    elif text not in ("", "uninitialized"):
        yield Malformed(
            Where(1, excerpt(lines[0])), "not 32 hexadecimal digits", "systemd takes the id for missing", whole=True
        )
