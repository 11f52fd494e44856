"""An estate on disk: a directory whose files are captures.

`hosts/<host>/etc/cron.d/certbot` is the file `/etc/cron.d/certbot` of that host; a range (`hosts/api[001:340]/…`)
stands for each of its hosts. Every other file belongs to the tree itself and keeps its relative path.
Nothing outside the estate is ever read: a symbolic link is followed only to a regular file inside it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

from auditor.capture.areas import area_of
from auditor.errors import EstateError
from auditor.model import Area, Capture, Coverage, Outcome
from auditor.text import expand_range

MAX_FILE: Final = 16 * 1024 * 1024
"""Bytes of one file that are read; the rest of a larger one is not looked at, and coverage says so."""
_FIRST_READ: Final = 65536
"""Bytes that are asked for at first: few files have more."""
MAX_DEPTH: Final = 60
_MAX_LINKS: Final = 40
"""As the kernel follows (`man 7 path_resolution`)."""
MAX_FILES: Final = 5_000_000

CAPTURES: Final = "captures.jsonl"
"""The record of what was asked of the sources, one JSON object a line: path, outcome, collected_at, detail."""

INVENTORY: Final = "inventory.yaml"

SNAPSHOT: Final = "snapshot.json"
"""What tells a collected snapshot from other directories."""

OF_THE_ESTATE: Final = frozenset({INVENTORY, CAPTURES, SNAPSHOT})
"""Files of the estate itself, which no source was asked for."""

INCOMPLETE: Final = ".incomplete"
"""Files of a snapshot that is being written stand here until they are whole."""

SKIPPED: Final = frozenset({INCOMPLETE, ".git", ".hg", ".svn", ".terraform", "__pycache__", "node_modules"})
ROOTS: Final = frozenset(
    ".auditor etc var proc usr lib run opt srv home root sys private boot mnt data "
    "C: C Windows ProgramData Users".split()
)
"""What a host's directory holds at its top, one of them at least. Windows: with the drive, or from its root."""


CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_RECORD: Final = f'Each line is {{"path": …, "outcome": {"|".join(Outcome)}, "collected_at": …}}.'


def moment_of(text: str | None) -> datetime | None:
    """A time of captures.jsonl as aware UTC; None if it is none."""
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class File(NamedTuple):
    """One file of the estate. `source` is the host it was captured from, or empty for the tree."""

    estate_path: str
    source: str
    path: str
    size: int = 0
    """Bytes, where the estate says so before the file is read; else 0."""
    real: str = ""
    """Where the bytes are, if not at `estate_path`: a link inside the estate. `/dev/null` for a masked unit."""
    digest: bytes = b""
    """What tells the bytes from others, as `Tree.digest` does, where the estate says so before the file is read."""


@dataclass(slots=True)
class Tree:
    """The files of an estate, with what could not be read of it."""

    root: Path
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Host directory -> the hosts it stands for (one, or all of a range)."""
    coverage: list[Coverage] = field(default_factory=list)
    captures: dict[str, Capture] = field(default_factory=dict)
    """By estate path: what the collection recorded, also of things that are not there or were denied."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Directories of what a tool has made or fetched, by their name: how many were not entered."""
    recorded: bool = False
    """Whether there is a record of what was asked of the sources."""
    content_addressed: ClassVar[bool] = False
    """Whether files with the same `real` are the same bytes for sure."""
    collected_at: datetime | None = None
    """When the files of a hand-made estate were collected, as its inventory says."""
    known: Callable[[str, bytes], bool] = field(default=lambda _path, _digest: False)
    """Whether the reader has what is in a file, by its path and digest: then it need not be read ahead."""
    own: set[str] = field(default_factory=lambda: {CAPTURES})
    """Files that are about the estate and not of it: `files` leaves them out."""

    @classmethod
    def open(cls, root: Path, *, has_inventory: bool) -> Tree:
        """An estate at a directory. Raises EstateError if it is none."""
        if not root.is_dir():
            raise EstateError(
                f"{root}: no such directory", hint="Give the directory of an estate, or begin one with `auditor init`."
            )
        tree = cls(root)
        tree._find_hosts(has_inventory)
        tree._read_captures()
        return tree

    @property
    def label(self) -> str:
        """What people call this estate: the path that was given."""
        return str(self.root)

    def called(self, path: str) -> str:
        """What people call a file of this estate, so that they find it; a line number may follow after a colon."""
        return str(Path(self.label) / path)

    def own_file(self, path: str, limit: int) -> bytes | None:
        """The first `limit` bytes of a file that is about the estate and not of it, such as inventory.yaml.

        None if there is none. Raises OSError.
        """
        file = self.root / path
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            return stream.read(limit)

    def inventory(self, limit: int) -> bytes | None:
        """The first `limit` bytes of inventory.yaml; None if there is none. Raises OSError."""
        return self.own_file(INVENTORY, limit)

    def holder(self) -> Tree:
        """Of several estates the one whose inventory and policy count. Raises OSError."""
        return self

    def has_inventory(self) -> bool:
        """Whether there is an inventory. Raises OSError."""
        return self.inventory(1) is not None

    def leave_out(self, paths: Iterable[str]) -> None:
        """Takes files, by their estate paths, for ones that are about the estate."""
        self.own.update(paths)

    def exists(self, estate_path: str) -> bool:
        """Whether a file, a link or a directory is there."""
        return os.path.lexists(self.root / estate_path)

    def has_file(self, estate_path: str) -> bool:
        """Whether `files` would give it."""
        if estate_path in self.own:
            return False
        path = os.path.join(self.root, estate_path)
        if os.path.islink(path):
            return bool(self._follow(str(self.root), os.path.realpath(self.root), estate_path, tell=False))
        return os.path.isfile(path)

    def is_empty(self, estate_path: str) -> bool:
        """Whether this is a directory without anything in it, as version control and archives may leave one."""
        path = self.root / estate_path
        try:
            return path.is_dir() and not any(path.iterdir())
        except OSError:
            return False

    def nearest(self, estate_path: str) -> Capture | None:
        """What the collection recorded of a path, or of the closest directory above it."""
        at = estate_path
        while at:
            if (record := self.captures.get(at)) is not None:
                return record
            at = at.rpartition("/")[0]
        return None

    def time_of(self, estate_path: str) -> datetime | None:
        """When a path was captured; None if nothing says so. A hand-made estate may say it in its inventory."""
        record = self.nearest(estate_path)
        return (moment_of(record.collected_at) if record is not None else None) or self.collected_at

    def gone(self, estate_path: str) -> Capture | None:
        """The record that says that a path is not there: it, or the directory that it would be in, was looked at.

        None also where the collection of the host was cut off, or ended with the host's own record alone: what a
        script calls is asked for only as long as something calls it.
        """
        record = self.nearest(estate_path)
        if record is None or record.outcome not in (Outcome.OK, Outcome.ABSENT):
            return None
        parts = estate_path.split("/", 2)
        if parts[0] == "hosts" and len(parts) > 2:
            base = self.captures.get("/".join(parts[:2]))
            if base is record or (base is not None and base.outcome is not Outcome.OK):
                return None
        return None if record.outcome is Outcome.OK and record.estate_path == estate_path else record

    def collected(self, estate_path: str) -> str | None:
        """What the record of a path says of its time, as it was written."""
        record = self.captures.get(estate_path)
        return record.collected_at if record is not None else None

    def origin(self, estate_path: str) -> str:
        """Which of several merged estates a path comes from; empty where there is only one."""
        return ""

    def _find_hosts(self, has_inventory: bool) -> None:
        top = self.root / "hosts"
        try:
            entries = sorted(entry.name for entry in os.scandir(top) if entry.is_dir(follow_symlinks=False))
        except OSError:
            return
        for name in entries:
            try:
                inside = set(os.listdir(top / name))
            except OSError as error:
                self._gap(f"hosts/{name}", Outcome.DENIED, str(error.strerror))
                continue
            self._add_host(name, inside, has_inventory)

    def _add_host(self, name: str, inside: set[str], has_inventory: bool) -> None:
        # A repository may keep something else under hosts/ (NixOS configurations, say).
        if inside & ROOTS or (has_inventory and not inside):
            try:
                self.sources[name] = tuple(expand_range(name))
            except ValueError as error:
                self._gap(f"hosts/{name}", Outcome.UNSUPPORTED, str(error))

    def _read_captures(self) -> None:
        path = self.root / CAPTURES
        try:
            with path.open("rb") as stream:
                self._take_records(stream)
        except FileNotFoundError:
            return
        except OSError as error:
            self._gap(CAPTURES, Outcome.DENIED, str(error.strerror))

    def _take_records(self, lines: Iterable[bytes]) -> None:
        self.recorded = True
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            try:
                record = json.loads(raw)
                at = str(record["path"]).strip("/")
                outcome = Outcome(record["outcome"])
            except (ValueError, KeyError, TypeError, RecursionError):
                self.coverage.append(
                    Coverage(
                        "",
                        Area.COVERAGE,
                        f"{CAPTURES}: a record that can't be read",
                        Outcome.PARTIAL,
                        detail=_RECORD,
                        path=CAPTURES,
                        line=number,
                    )
                )
                continue
            self._host_of_record(at)
            source, inner = self.place(at)
            when = record.get("collected_at")
            self.captures[at] = Capture(
                at, source, inner, outcome, str(when) if when else None, str(record.get("detail") or "")
            )

    def _host_of_record(self, estate_path: str) -> None:
        """A host may have records alone: it was not reached, or has none of what was asked for."""
        parts = estate_path.split("/", 3)
        if (
            len(parts) > 1
            and parts[0] == "hosts"
            and parts[1] not in self.sources
            and (parts[2:3] or ["etc"])[0] in ROOTS
        ):
            self._add_host(parts[1], {"etc"}, True)

    def place(self, estate_path: str) -> tuple[str, str]:
        """Which source a path of the estate belongs to, and the path it has there."""
        parts = estate_path.split("/", 2)
        if len(parts) >= 2 and parts[0] == "hosts" and parts[1] in self.sources:
            return parts[1], "/" + (parts[2] if len(parts) > 2 else "")
        return "", estate_path

    def _gap(self, path: str, outcome: Outcome, detail: str) -> None:
        source, _ = self.place(path)
        self.coverage.append(Coverage(source, Area.COVERAGE, path, outcome, detail=detail, path=path))

    def files(self) -> Iterator[File]:
        """All regular files, in order of their paths within each directory."""
        root = str(self.root)
        inside = os.path.realpath(root)
        pending: list[tuple[str, int]] = [("", 0)]
        count = 0
        while pending:
            directory, depth = pending.pop()
            try:
                with os.scandir(os.path.join(root, directory)) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except OSError as error:
                self._gap(directory or ".", Outcome.DENIED, f"the directory can't be read: {error.strerror}")
                continue
            below = []
            source, above = self.place(f"{directory}/" if directory else "")
            for entry in entries:
                name = entry.name
                path = f"{directory}/{name}" if directory else name
                if not name.isprintable() and CONTROL.search(name):
                    self._gap(
                        path.encode("unicode_escape", "replace").decode(),
                        Outcome.UNSUPPORTED,
                        "a file name with control characters",
                    )
                    continue
                real = ""
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if name in SKIPPED:
                            self.skipped[name] = self.skipped.get(name, 0) + 1
                        elif depth >= MAX_DEPTH:
                            self._gap(path, Outcome.PARTIAL, f"more than {MAX_DEPTH} directories deep")
                        else:
                            below.append((path, depth + 1))
                        continue
                    if entry.is_symlink():
                        real = self._follow(root, inside, path)
                        if not real:
                            continue
                    elif not entry.is_file(follow_symlinks=False):
                        continue
                except OSError as error:
                    self._gap(path, Outcome.DENIED, str(error.strerror))
                    continue
                if path in self.own:
                    continue
                count += 1
                if count > MAX_FILES:
                    self._gap(".", Outcome.PARTIAL, f"more than {MAX_FILES} files: the rest was not read")
                    return
                yield File(path, source, above + name, 0, real)
            pending.extend(reversed(below))

    def _follow(self, root: str, inside: str, path: str, *, tell: bool = True) -> str:
        """The real path of a symbolic link to a regular file within the estate; empty if it is not followed.

        An absolute target in a host's files is a path on that host. A link to /dev/null masks a unit, and reads as
        an empty file; so does a unit that a `.wants` or `.requires` link enables and that was not captured.
        """
        source, inner = self.place(path)
        at = os.path.join(root, path)
        for _ in range(_MAX_LINKS):
            link = os.readlink(at)
            if link == os.devnull:
                return os.devnull
            if source and link.startswith("/"):
                link = os.path.join(inside, "hosts", source, link.lstrip("/"))
            at = os.path.join(os.path.dirname(at), link)
            if not os.path.islink(at):
                break
        target = os.path.realpath(at)
        within = target.startswith(inside + os.sep)
        if within and os.path.isfile(target):
            return target
        parent = os.path.dirname(path)
        if parent.endswith((".wants", ".requires")):
            return os.devnull
        if within and os.path.isdir(target):
            _, real = self.place(os.path.relpath(target, inside))
            if tell and source and area_of(inner) is not area_of(real):
                self._gap(path, Outcome.UNSUPPORTED, f"a link to a directory, whose files were read as those of {real}")
            return ""
        why = "leads out of the estate" if os.path.exists(target) and not within else "leads to what was not captured"
        if tell:
            self._gap(path, Outcome.UNSUPPORTED, f"a symbolic link that {why} is not followed")
        return ""

    def read(self, file: File) -> bytes:
        """The bytes of a file, up to MAX_FILE. Raises OSError."""
        if file.real == os.devnull:
            return b""
        descriptor = os.open(file.real or f"{self.root}/{file.estate_path}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            content = b""
            while (left := MAX_FILE - len(content)) and (
                more := os.read(descriptor, min(max(len(content), _FIRST_READ), left))
            ):
                content += more
            if not left and os.read(descriptor, 1):
                size = os.fstat(descriptor).st_size
                self._gap(file.estate_path, Outcome.PARTIAL, f"{size} bytes: only the first {MAX_FILE} were read")
        finally:
            os.close(descriptor)
        return content

    def digest(self, file: File, content: bytes) -> bytes:
        """What tells the bytes of a file from others."""
        return blake2b(content, digest_size=16).digest()

    def read_all(self, files: Iterable[File]) -> Iterator[bytes | OSError]:
        """The bytes of several files, in their order; for one that can't be read, why."""
        for file in files:
            try:
                yield self.read(file)
            except OSError as error:
                yield error
