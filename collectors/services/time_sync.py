"""Time servers of a host: ntp.conf(5) of NTP 4.2.8 and NTPsec, chrony.conf(5) 4.3, timesyncd.conf(5) of systemd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from auditor.api import THIS_HOST, Area, Collector, Dependency, Document, Malformed, Parsed, Ref, Relation, Where
from collectors.services.common import (
    LINE_LIMIT,
    Source,
    base_name,
    is_foreign,
    is_templated,
    limited,
    read_source,
    sections,
    target,
)

_SERVERS: Final = frozenset({"server", "pool", "peer"})
_UNDISCIPLINED: Final = "127.127.1."
"""ntpd's own clock as a server: no time comes from it."""


class TimeSyncCollector(Collector):
    """Where a host has its time from.

    Reads
    -----
    `ntp.conf`, `ntpsec/ntp.conf`, `ntp.d/*.conf`; `chrony.conf`, `chrony/conf.d/*.conf`, `chrony/sources.d/*.sources`;
    `timesyncd.conf` and its drop-ins.

    Yields
    ------
    One service for each program, which connects to its servers, pools and peers, and to a clock of the machine if it
    has one: one of them is enough. Servers marked `noselect` give no time and are left out. Hosts that `allow` lets
    ask are the attribute `allows`.

    Can't see
    ---------
    Servers that DHCP hands out, those added at run time, and whether one alone would be accurate enough.
    """

    name: ClassVar[str] = "time_sync"
    title: ClassVar[str] = "Time servers of NTP, chrony and timesyncd"
    area: ClassVar[Area] = Area.CONFIGURATION
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.CONNECTS})

    def recognizes(self, path: str, head: bytes) -> bool:
        """By the file's name and directory."""
        if not ("ntp" in path or "chrony" in path or "timesyncd" in path):
            return False
        return bool(_program(path)) and b"\x00" not in head[:512]

    def parse(self, document: Document) -> Iterator[Parsed]:
        """The servers of one file; those of several files of one program are alternatives of each other."""
        program = _program(document.path)
        source = read_source(document, program)
        if isinstance(source, Malformed):
            yield source
        elif program == "systemd-timesyncd":
            yield from limited(source, _timesyncd(source))
        else:
            yield from limited(source, _servers(source, program))


def _program(path: str) -> str:
    base = base_name(path)
    if is_foreign(path):
        return ""
    if base == "timesyncd.conf" or "/timesyncd.conf.d/" in path:
        return "systemd-timesyncd"
    if base.startswith("chrony.conf") or ("/chrony" in path and base.endswith((".sources", ".conf"))):
        return "chrony"
    if base.startswith("ntp.conf") or (("/ntp.d/" in path or "/ntpsec/" in path) and base.endswith(".conf")):
        return "ntp"
    return ""


def _servers(source: Source, program: str) -> Iterator[Parsed]:
    targets: list[tuple[Ref | None, Where]] = []
    allowed: list[tuple[str, Where]] = []
    clocks: list[Where] = []
    for number, line in enumerate(source.lines[:LINE_LIMIT], start=1):
        text = line.strip()
        if not text or text[0] in "#!;%" or is_templated(text):
            continue
        words = text.split("#", 1)[0].split()
        keyword, where = words[0].lower(), source.where(number)
        if keyword in _SERVERS:
            values = [word for word in words[1:] if word not in ("-4", "-6")]
            if not values:
                yield Malformed(where, f"{keyword} without a host", f"{program} refuses the line")
            elif "noselect" in values or values[0].startswith(_UNDISCIPLINED):
                continue
            elif values[0].startswith("127.127."):
                clocks.append(where)
            elif (found := target(values[0])) is not None:
                targets.append((found, where))
            elif "$" not in values[0]:
                yield Malformed(where, "not a host name or an address", f"{program} finds no server by it")
        elif keyword == "refclock":
            clocks.append(where)
        elif keyword == "allow" and program == "chrony" and len(words) > 1:
            allowed.append((words[-1], where))
    yield from source.uses(program, targets, group="servers")
    if targets:
        for where in clocks:
            yield Dependency(source.ref(program), THIS_HOST, Relation.CONNECTS, where, group="servers")
    yield from source.allows(f"{program} clients", allowed)


def _timesyncd(source: Source) -> Iterator[Parsed]:
    """`FallbackNTP` is used only where nothing else gives servers: an alternative all the same."""
    targets: dict[str, list[tuple[Ref | None, Where]]] = {}
    for setting in sections(source):
        if isinstance(setting, Malformed) or setting.key not in ("ntp", "servers", "fallbackntp"):
            continue
        key = "fallbackntp" if setting.key == "fallbackntp" else "ntp"
        if not setting.value:
            targets[key] = []
        targets.setdefault(key, []).extend(
            (target(word), source.where(setting.line)) for word in setting.value.split() if not is_templated(word)
        )
    servers = [one for key in ("ntp", "fallbackntp") for one in targets.get(key, ())]
    yield from source.uses("systemd-timesyncd", servers, group="servers")
