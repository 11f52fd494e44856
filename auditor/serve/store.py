"""A store: a directory of snapshots (or one snapshot), and the files of migration waves."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from time import time_ns
from typing import Final

from auditor.audit.engine import load_from, open_tree
from auditor.capture.tree import CAPTURES, INVENTORY, Tree, moment_of
from auditor.errors import AuditorError, UsageError
from auditor.model import Outcome

SNAPSHOTS_LIMIT: Final = 500
PACKED: Final = ".sqlar"
FILES_LIMIT: Final = 1_000_000
"""Files of a snapshot that are asked whether they have changed."""
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
    left_out: int = 0
    """Snapshots beyond the limit, which are not looked at: those whose names sort first."""

    def snapshot(self, name: str) -> Stored:
        """A snapshot by its name; the newest for an empty one. Raises UsageError."""
        found = next((one for one in self.snapshots if one.name == name or not name), None)
        if found is None:
            raise UsageError(f"there is no snapshot {name!r}", hint="Go back to the list of snapshots.")
        return found

    def before(self, one: Stored) -> Stored | None:
        """The last snapshot before another that can be read; None if there is none."""
        return next((each for each in self.snapshots[self.snapshots.index(one) + 1 :] if not each.wrong), None)

    def wave(self, name: str) -> Path:
        """The file of a wave by its name. Raises UsageError."""
        found = next((path for known, path in self.waves if known == name), None)
        if found is None:
            raise UsageError(f"there is no wave {name!r}", hint="Go back to the list of waves.")
        return found


class Cache:
    """What was read of snapshots, for as long as they stay as they were."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[object, Stored]] = {}

    def stored(self, path: Path) -> Stored:
        """A snapshot, read anew only if its record or its inventory has changed."""
        stamp = tuple(_stamp(one) for one in (path, *(path / mark for mark in _MARKS)))
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            known = self._known[path] = stamp, _stored(path)
        return known[1]

    def keep(self, paths: Sequence[Path]) -> None:
        """Forgets all others."""
        for gone in self._known.keys() - set(paths):
            del self._known[gone]


def state(path: Path) -> str:
    """What differs once anything in a snapshot does: a digest over its names, with sizes and times of changes.

    Of more than a million files nobody knows: it always differs.
    """
    found = blake2b(digest_size=16)
    count = 0
    for folder, folders, names in [("", [], [str(path)])] if path.is_file() else os.walk(path):
        for name in (*folders, *names):
            file = Path(folder, name)
            found.update(f"{file}\0{_stamp(file)}\0".encode("utf-8", "surrogateescape"))
        count += len(folders) + len(names)
        if count > FILES_LIMIT:
            return f"{time_ns()}"
    return found.hexdigest()


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mode, found.st_ino, found.st_size, max(found.st_mtime_ns, found.st_ctime_ns)


def open_store(place: Path, waves: Sequence[Path], cache: Cache | None = None) -> Store:
    """What a store holds, looked up each time: a collection may have added to it. Raises UsageError."""
    if not place.is_dir() and place.suffix != PACKED:
        raise UsageError(f"{place}: no such directory", hint="Give a directory with snapshots in it, or a snapshot.")
    paths = [place]
    if place.is_dir() and not _is_snapshot(place):
        paths = [one for one in sorted(place.iterdir()) if _is_snapshot(one)]
    left_out = max(0, len(paths) - SNAPSHOTS_LIMIT)
    paths = paths[left_out:]
    cache = cache or Cache()
    cache.keep(paths)
    found = [cache.stored(path) for path in paths]
    if not found:
        raise UsageError(f"{place}: no snapshot in it", hint="Make one with `auditor collect -o STORE/<name>`.")
    oldest = datetime.min.replace(tzinfo=UTC)
    ordered = sorted(found, key=lambda one: (one.at or oldest, one.name), reverse=True)
    stems = Counter(path.stem for path in waves)
    named = tuple((path.stem if stems[path.stem] == 1 else str(path), path) for path in waves)
    return Store(tuple(ordered), named, left_out)


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
