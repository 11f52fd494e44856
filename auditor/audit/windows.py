"""Which hosts run Windows, and what can be captured there in place of what only other systems have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from auditor.capture.areas import RELATIONS_OF, is_windows, without_drive
from auditor.capture.reading import Reading
from auditor.graph.hosts import HostTable
from auditor.model import Area, Coverage, Going, Lifecycle, Outcome

if TYPE_CHECKING:
    from auditor.inventory.schema import Inventory

TASKS: Final = "scheduled tasks"
HOW: Final = {
    Area.SCHEDULES: "collect from it with `system: windows`, or put its C:\\Windows\\System32\\Tasks under "
    "hosts/{host}/Windows/System32/",
    Area.RENEWAL: "put what renews its certificates, such as C:\\ProgramData\\win-acme, under "
    "hosts/{host}/ProgramData/",
    Area.STORAGE: "look there whether its volumes can still be written, and say so in the inventory: `absent: [{{area: "
    "storage, host: {host}, reason: …, by: …, on: …}}]`",
}
"""Windows has no crontabs, units and table of mounts."""
_TASKS_LISTED: Final = "/.auditor/windows-tasks.json"
_POSIX: Final = ("/etc/", "/proc/", "/var/", "/usr/")


def windows_hosts(
    reading: Reading,
    canonical: Mapping[str, tuple[str, ...]],
    inventory: Inventory | None,
    hosts: HostTable,
    wanted: Collection[str],
) -> frozenset[str]:
    """Which of some hosts are of Windows: its own files were captured or asked for, or the inventory collects so.

    None of which there are files of another system.
    """
    sources = {source for source, names in canonical.items() if any(name in wanted for name in names)}
    found: set[str] = set()
    other: set[str] = set()
    for bound in reading.bound:
        source, path = bound.file.source, bound.file.path
        if source in sources:
            if path.startswith(_POSIX):
                other.add(source)
            elif _tells(path):
                found.add(source)
    found.update(one.source for one in reading.tree.captures.values() if one.source in sources and _tells(one.path))
    names = {name for source in found - other for name in canonical[source]}
    elsewhere = {name for source in other for name in canonical[source]}
    for entry in inventory.sources if inventory is not None else ():
        if entry.kind == "ssh" and entry.system == "windows" and inventory is not None:
            names.update(hosts.find(name) or name for pattern in entry.hosts for name in inventory.matching(pattern))
    return frozenset(name for name in names - elsewhere if name in wanted)


def _tells(path: str) -> bool:
    return path == _TASKS_LISTED or without_drive(path) != path or is_windows(path)


def without_mounts(going: Iterable[Going], windows: Collection[str]) -> list[Coverage]:
    """That there is no table of mounts on these hosts.

    Not of those that become read-only: of these it would tell what can still be written.
    """
    provides = tuple(relation.value for relation in RELATIONS_OF[Area.STORAGE])
    return [
        Coverage(
            one.host,
            Area.STORAGE,
            "a table of mounts, which Windows does not have",
            Outcome.ABSENT,
            detail="drives are mapped by people, tasks and group policies",
            provides=provides,
        )
        for one in going
        if one.host in windows and one.lifecycle is not Lifecycle.READ_ONLY
    ]
