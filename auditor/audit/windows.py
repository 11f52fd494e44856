"""Which hosts run Windows, and what can be captured there in place of what only other systems have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
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
    windows, others = _by_files(reading, sources)
    names = {name for source in windows - others for name in canonical[source]}
    if inventory is not None:
        names.update(hosts.find(name) or name for name in _collected_so(inventory))
    return frozenset(names & set(wanted) - {name for source in others for name in canonical[source]})


def _by_files(reading: Reading, sources: Collection[str]) -> tuple[set[str], set[str]]:
    """The sources that have files of Windows, or were asked for such, and those that have files of other systems."""
    found = {one.source for one in reading.tree.captures.values() if one.source in sources and _tells(one.path)}
    others: set[str] = set()
    for bound in reading.bound:
        source, path = bound.file.source, bound.file.path
        if source not in sources:
            continue
        if path.startswith(_POSIX):
            others.add(source)
        elif _tells(path):
            found.add(source)
    return found, others


def _collected_so(inventory: Inventory) -> Iterator[str]:
    """The hosts that the inventory collects from as machines of Windows."""
    for entry in inventory.sources:
        if entry.kind == "ssh" and entry.system == "windows":
            for pattern in entry.hosts:
                yield from inventory.matching(pattern)


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
