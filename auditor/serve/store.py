"""A store: a directory of snapshots (or one snapshot), and the files of migration waves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from auditor.audit.engine import load_from, open_tree
from auditor.capture.tree import CAPTURES, INVENTORY, Tree, moment_of
from auditor.errors import AuditorError, UsageError
from auditor.model import Outcome

SNAPSHOTS_LIMIT: Final = 500
PACKED: Final = ".sqlar"
_MARKS: Final = (INVENTORY, CAPTURES, "hosts", "snapshot.json")
"""What a directory holds, one of them at least, to be a snapshot."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One snapshot of a store. `at` is when it was captured, as far as it says so."""

    name: str
    path: Path
    at: datetime | None
    hosts: tuple[str, ...]
    """Those that its inventory declares as going."""
    captures: int
    failed: int
    """Captures that were denied, unreachable or otherwise not seen."""
    wrong: str = ""
    """Why it can't be read; empty if it can."""


@dataclass(frozen=True, slots=True)
class Store:
    """What there is to show, newest first."""

    snapshots: tuple[Stored, ...]
    waves: tuple[tuple[str, Path], ...]

    def snapshot(self, name: str) -> Stored:
        """A snapshot by its name; the newest for an empty one. Raises UsageError."""
        found = next((one for one in self.snapshots if one.name == name or not name), None)
        if found is None:
            raise UsageError(f"there is no snapshot {name!r}", hint="Go back to the list of snapshots.")
        return found

    def before(self, one: Stored) -> Stored | None:
        """The snapshot before another; None for the oldest."""
        at = self.snapshots.index(one)
        return self.snapshots[at + 1] if at + 1 < len(self.snapshots) else None

    def wave(self, name: str) -> Path:
        """The file of a wave by its name. Raises UsageError."""
        found = next((path for known, path in self.waves if known == name), None)
        if found is None:
            raise UsageError(f"there is no wave {name!r}", hint="Go back to the list of waves.")
        return found


def open_store(place: Path, waves: Sequence[Path]) -> Store:
    """Reads what a store holds, anew each time: a collection may have added to it. Raises UsageError."""
    if not place.is_dir() and place.suffix != PACKED:
        raise UsageError(f"{place}: no such directory", hint="Give a directory with snapshots in it, or a snapshot.")
    paths = [place]
    if place.is_dir() and not _is_snapshot(place):
        paths = [one for one in sorted(place.iterdir()) if _is_snapshot(one)][-SNAPSHOTS_LIMIT:]
    found = [_stored(path) for path in paths]
    if not found:
        raise UsageError(f"{place}: no snapshot in it", hint="Make one with `auditor collect -o STORE/<name>`.")
    oldest = datetime.min.replace(tzinfo=UTC)
    ordered = sorted(found, key=lambda one: (one.at or oldest, one.name), reverse=True)
    return Store(tuple(ordered), tuple((path.stem, path) for path in waves))


def _is_snapshot(path: Path) -> bool:
    if path.is_file():
        return path.suffix == PACKED
    return path.is_dir() and any((path / mark).exists() for mark in _MARKS)


def _stored(path: Path) -> Stored:
    try:
        tree = open_tree([path])
        inventory = load_from(tree)
    except AuditorError as error:
        return Stored(path.name, path, None, (), 0, 0, str(error))
    hosts: list[str] = []
    if inventory is not None:
        hosts = [one.name for one in inventory.hosts if one.lifecycle.value != "active"]
    failed = sum(one.outcome not in (Outcome.OK, Outcome.ABSENT) for one in tree.captures.values())
    return Stored(path.name, path, _time(tree), tuple(hosts), len(tree.captures), failed)


def _time(tree: Tree) -> datetime | None:
    """When the last of it was captured."""
    times = [when for one in tree.captures.values() if (when := moment_of(one.collected_at)) is not None]
    return max(times, default=tree.collected_at)
