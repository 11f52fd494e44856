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
    reading: Reading, canonical: Mapping[str, tuple[str, ...]], inventory: Inventory | None, hosts: HostTable
) -> frozenset[str]:
    """Hosts of which Windows' own files were captured or asked for, and those that the inventory collects from so.

    None of which there are files of another system.
    """
    found: set[str] = set()
    other: set[str] = set()
    paths = [(bound.file.source, bound.file.path) for bound in reading.bound if bound.file.source]
    asked = [(one.source, one.path) for one in reading.tree.captures.values() if one.source]
    for source, path in (*paths, *asked):
        if path == _TASKS_LISTED or without_drive(path) != path or is_windows(path):
            found.update(canonical.get(source, (source,)))
    for source, path in paths:
        if path.startswith(_POSIX):
            other.update(canonical.get(source, (source,)))
    for entry in inventory.sources if inventory is not None else ():
        if entry.kind == "ssh" and entry.system == "windows" and inventory is not None:
            found.update(hosts.find(name) or name for pattern in entry.hosts for name in inventory.matching(pattern))
    return frozenset(found - other)


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
