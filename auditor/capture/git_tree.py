"""A revision of a git repository, or its files on disk, read as an estate."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from auditor.capture.git import Blob, Repository
from auditor.capture.tree import CAPTURES, CONTROL, INVENTORY, MAX_FILE, MAX_FILES, ROOTS, SKIPPED, File, Tree
from auditor.model import Area, Coverage, Outcome

_MAX_LINKS = 40


@dataclass(slots=True)
class GitTree(Tree):
    """The files of a commit, from git's objects: nothing is checked out."""

    repository: Repository | None = None
    name: str = ""
    entries: dict[str, Blob] = field(default_factory=dict)
    _added: dict[str, bytes] = field(default_factory=dict)
    _at: tuple[str, bytes] = ("", b"")
    _directories: set[str] = field(default_factory=set)
    _links: dict[str, str] | None = None

    @classmethod
    def of(cls, repository: Repository, commit: str, name: str) -> GitTree:
        """A commit's tree; `name` is what people call it. Raises EstateError."""
        return cls._made(repository, name, repository.blobs(commit))

    @classmethod
    def _made(cls, repository: Repository, name: str, blobs: Sequence[Blob]) -> GitTree:
        tree = cls(repository.root, repository=repository, name=name, entries={one.path: one for one in blobs})
        inside: dict[str, set[str]] = {}
        for path in tree.entries:
            parts = path.split("/", 3)
            if parts[0] == "hosts" and len(parts) > 2:
                inside.setdefault(parts[1], set()).add(parts[2])
            above = posixpath.dirname(path)
            while above not in tree._directories:
                tree._directories.add(above)
                above = posixpath.dirname(above)
        for host in sorted(inside):
            if inside[host] & ROOTS:
                tree._add_host(host, inside[host], INVENTORY in tree.entries)
        if (records := tree.content(CAPTURES, MAX_FILE)) is not None:
            tree._take_records(records.splitlines())
        return tree

    def add(self, path: str, content: bytes) -> None:
        """Lays a file over the tree that is in no commit, in place of one that is called so."""
        self.entries[path] = Blob(path, "", len(content), "100644")
        self._added[path] = content

    @property
    def label(self) -> str:
        return self.name

    def content(self, path: str, limit: int) -> bytes | None:
        """The first `limit` bytes of a file; None if there is none."""
        entry = self.entries.get(path)
        if entry is None or not entry.is_file:
            return None
        return self._bytes(entry, limit)

    def _bytes(self, entry: Blob, limit: int) -> bytes:
        if entry.path in self._added:
            return self._added[entry.path][:limit]
        if self.repository is None:
            raise OSError(0, "no repository")
        return next(content for _, content in self.repository.contents([entry], limit))

    def own_file(self, path: str, limit: int) -> bytes | None:
        return self.content(path, limit)

    def exists(self, estate_path: str) -> bool:
        return estate_path in self.entries or estate_path in self._directories

    def has_file(self, estate_path: str) -> bool:
        entry = self.entries.get(estate_path)
        return entry is not None and (entry.is_file or bool(self._target(entry)))

    def is_empty(self, estate_path: str) -> bool:
        return False

    def files(self) -> Iterator[File]:
        """All files, in order of their paths, those that links lead to among them."""
        count = 0
        wanted: list[tuple[Blob, Blob]] = []
        for entry in self.entries.values():
            path = entry.path
            if path in self.own:
                continue
            if CONTROL.search(path):
                shown = path.encode("unicode_escape", "replace").decode()
                self._told(shown, Outcome.UNSUPPORTED, "a file name with control characters")
                continue
            skipped = [part for part in path.split("/")[:-1] if part in SKIPPED]
            if skipped:
                self.skipped[skipped[0]] = self.skipped.get(skipped[0], 0) + 1
                continue
            target: Blob | None = entry
            if entry.is_submodule:
                self._told(path, Outcome.UNSUPPORTED, "a submodule, whose files are in another repository")
                continue
            if entry.is_link:
                target = self._target(entry)
                if target is None:
                    why = "a symbolic link that leads to no file of the repository is not followed"
                    self._told(path, Outcome.UNSUPPORTED, why)
                    continue
            count += 1
            if count > MAX_FILES:
                self._told(".", Outcome.PARTIAL, f"more than {MAX_FILES} files: the rest was not read")
                break
            if target is not None:
                wanted.append((entry, target))
        for entry, target, content in self._stream(wanted):
            source, inner = self.place(entry.path)
            self._at = (entry.path, content)
            yield File(entry.path, source, inner, target.size)

    def _stream(self, wanted: Sequence[tuple[Blob, Blob]]) -> Iterator[tuple[Blob, Blob, bytes]]:
        stored = [pair for pair in wanted if pair[1].path not in self._added]
        if self.repository is not None:
            contents = self.repository.contents((target for _, target in stored), MAX_FILE)
            for (entry, target), (_, content) in zip(stored, contents, strict=True):
                yield entry, target, content
        for entry, target in wanted:
            if target.path in self._added:
                yield entry, target, self._bytes(target, MAX_FILE)

    def read(self, file: File) -> bytes:
        """The bytes of a file, up to MAX_FILE: at once for the one that `files` has just given."""
        if file.size > MAX_FILE:
            detail = f"{file.size:,} bytes: the first {MAX_FILE:,} were read"
            self._told(file.estate_path, Outcome.PARTIAL, detail)
        if self._at[0] == file.estate_path:
            return self._at[1]
        entry = self.entries[file.estate_path]
        return self._bytes(self._target(entry) or entry, MAX_FILE)

    def _target(self, entry: Blob) -> Blob | None:
        """Where a link leads within the repository; a file leads to itself."""
        at = entry
        for _ in range(_MAX_LINKS):
            if at.is_file:
                return at
            if not at.is_link:
                return None
            link = self._link(at)
            if link.startswith("/") or not link:
                return None
            path = posixpath.normpath(posixpath.join(posixpath.dirname(at.path), link))
            found = self.entries.get(path)
            if found is None:
                return None
            at = found
        return None

    def _link(self, entry: Blob) -> str:
        if self._links is None:
            links = [one for one in self.entries.values() if one.is_link]
            # All at once: a process for each would be slow where there are many.
            self._links = {one.path: content.decode("utf-8", "surrogateescape") for one, content in self._read(links)}
        return self._links.get(entry.path, "")

    def _read(self, blobs: Sequence[Blob]) -> Iterator[tuple[Blob, bytes]]:
        if self.repository is not None:
            yield from self.repository.contents(blobs, 4096)

    def _told(self, path: str, outcome: Outcome, detail: str) -> None:
        source, _ = self.place(path)
        gap = Coverage(source, Area.COVERAGE, path, outcome, detail=detail, path=path)
        if gap not in self.coverage:
            self.coverage.append(gap)


@dataclass(slots=True)
class WorktreeTree(GitTree):
    """The files of a clone as they are on disk: what is tracked, and what is neither tracked nor ignored."""

    @classmethod
    def at(cls, repository: Repository) -> GitTree:
        """The files on disk. Raises EstateError."""
        blobs = []
        for path in repository.worktree():
            try:
                status = os.lstat(repository.root / path)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                blobs.append(Blob(path, "", status.st_size, "100644"))
            elif stat.S_ISLNK(status.st_mode):
                blobs.append(Blob(path, "", status.st_size, "120000"))
            elif stat.S_ISDIR(status.st_mode):
                blobs.append(Blob(path, "", 0, "160000"))
        return cls._made(repository, "the files on disk", blobs)

    def _bytes(self, entry: Blob, limit: int) -> bytes:
        if entry.path in self._added:
            return self._added[entry.path][:limit]
        if entry.is_link:
            return os.fsencode(os.readlink(self.root / entry.path))[:limit]
        descriptor = os.open(self.root / entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            return stream.read(limit)

    def _read(self, blobs: Sequence[Blob]) -> Iterator[tuple[Blob, bytes]]:
        for one in blobs:
            yield one, self._bytes(one, 4096)

    def _stream(self, wanted: Sequence[tuple[Blob, Blob]]) -> Iterator[tuple[Blob, Blob, bytes]]:
        for entry, target in wanted:
            try:
                yield entry, target, self._bytes(target, MAX_FILE)
            except OSError as error:
                self._told(entry.path, Outcome.DENIED, f"the file can't be read: {error.strerror}")
