"""A revision of a git repository, or its files on disk, read as an estate."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from auditor.capture.git import Blob, Repository, object_id
from auditor.capture.tree import CAPTURES, CONTROL, INVENTORY, MAX_FILE, MAX_FILES, ROOTS, SKIPPED, File, Tree
from auditor.model import Area, Coverage, Outcome

_MAX_LINKS = 40


@dataclass(slots=True)
class GitTree(Tree):
    """The files of a commit, from git's objects: nothing is checked out."""

    repository: Repository | None = None
    name: str = ""
    commit: str = ""
    """Its full id; empty for files on disk."""
    entries: dict[str, Blob] = field(default_factory=dict)
    _added: dict[str, bytes] = field(default_factory=dict)
    _at: tuple[str, bytes | None] = ("", None)
    _directories: set[str] = field(default_factory=set)
    _links: dict[str, str] | None = None

    @classmethod
    def of(cls, repository: Repository, commit: str, name: str) -> GitTree:
        """A commit's tree; `name` is what people call it. Raises EstateError."""
        tree = cls._made(repository, name, repository.blobs(commit))
        tree.commit = commit
        return tree

    @classmethod
    def _made(cls, repository: Repository, name: str, blobs: Sequence[Blob]) -> GitTree:
        tree = cls(repository.root, repository=repository, name=name, entries={one.path: one for one in blobs})
        inside: dict[str, set[str]] = {}
        for path in tree.entries:
            parts = path.split("/", 3)
            if parts[0] == "hosts" and len(parts) > 2:
                inside.setdefault(parts[1], set()).add(parts[2])
            above = path.rpartition("/")[0]
            while above not in tree._directories:
                tree._directories.add(above)
                above = above.rpartition("/")[0]
        for host in sorted(inside):
            if inside[host] & ROOTS:
                tree._add_host(host, inside[host], INVENTORY in tree.entries)
        if (records := tree.content(CAPTURES, MAX_FILE)) is not None:
            tree._take_records(records.splitlines())
        return tree

    def add(self, path: str, content: bytes) -> None:
        """Lays a file over the tree that is in no commit, in place of one that is called so."""
        self.entries[path] = Blob(path, "", "100644")
        self._added[path] = content

    @property
    def label(self) -> str:
        return self.name

    def called(self, path: str) -> str:
        """As git itself calls a file of a commit, for `git show`."""
        return f"{self.commit[:12]}:{path}"

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
        return self.repository.content(entry, limit)

    def own_file(self, path: str, limit: int) -> bytes | None:
        return self.content(path, limit)

    def exists(self, estate_path: str) -> bool:
        return estate_path in self.entries or estate_path in self._directories

    def has_file(self, estate_path: str) -> bool:
        entry = self.entries.get(estate_path) if estate_path not in self.own else None
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
            if content is not None and len(content) > MAX_FILE:
                content = content[:MAX_FILE]
                self._told(entry.path, Outcome.PARTIAL, f"a large file: the first {MAX_FILE:,} bytes were read")
            self._at = (entry.path, content)
            yield File(entry.path, source, inner, digest=bytes.fromhex(target.id))

    def _stream(self, wanted: Sequence[tuple[Blob, Blob]]) -> Iterator[tuple[Blob, Blob, bytes | None]]:
        """Files with their bytes, and without them where the reader knows what is in them."""
        seen: set[tuple[str, str]] = set()
        ahead = []
        for entry, target in wanted:
            _, inner = self.place(entry.path)
            if (inner, target.id) not in seen and not (target.id and self.known(inner, bytes.fromhex(target.id))):
                ahead.append((entry, target))
            seen.add((inner, target.id))
        contents = self._contents([target for _, target in ahead])
        unread = {entry.path for entry, _ in ahead}
        for entry, target in wanted:
            yield entry, target, next(contents) if entry.path in unread else None

    def _contents(self, blobs: Sequence[Blob]) -> Iterator[bytes]:
        """The bytes of files in their order, and one more than MAX_FILE of a larger one."""
        stored: Iterator[tuple[Blob, bytes]] = iter(())
        if self.repository is not None:
            stored = self.repository.contents((one for one in blobs if one.path not in self._added), MAX_FILE + 1)
        for one in blobs:
            yield self._added[one.path] if one.path in self._added else next(stored)[1]

    def read(self, file: File) -> bytes:
        """The bytes of a file, up to MAX_FILE: at once for the one that `files` has just given."""
        path, content = self._at
        if path == file.estate_path and content is not None:
            return content
        return self._bytes(self._leads_to(file), MAX_FILE)

    def read_all(self, files: Iterable[File]) -> Iterator[bytes | OSError]:
        for content in self._contents([self._leads_to(file) for file in files]):
            yield content[:MAX_FILE]

    def digest(self, file: File, content: bytes) -> bytes:
        """The id that git gives to these bytes."""
        return file.digest or object_id(content, sha256=self.repository is not None and self.repository.sha256)

    def _leads_to(self, file: File) -> Blob:
        entry = self.entries[file.estate_path]
        return self._target(entry) or entry

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
    """The files of a clone as they are on disk: what is tracked, and what is neither tracked nor ignored.

    What a sparse checkout leaves out is as it is in the index.
    """

    @classmethod
    def at(cls, repository: Repository) -> GitTree:
        """The files on disk. Raises EstateError."""
        blobs = []
        for path, left_out in repository.worktree().items():
            try:
                status = os.lstat(repository.root / path)
            except OSError:
                if left_out is not None:
                    blobs.append(left_out)
                continue
            if stat.S_ISREG(status.st_mode):
                blobs.append(Blob(path, "", "100644"))
            elif stat.S_ISLNK(status.st_mode):
                blobs.append(Blob(path, "", "120000"))
            elif stat.S_ISDIR(status.st_mode):
                blobs.append(Blob(path, "", "160000"))
        return cls._made(repository, "the files on disk", blobs)

    def called(self, path: str) -> str:
        """By its path, as short as it can be from here."""
        file = self.root / path
        here = Path.cwd()
        return str(file.relative_to(here) if file.is_relative_to(here) else file)

    def _bytes(self, entry: Blob, limit: int) -> bytes:
        if entry.path in self._added:
            return self._added[entry.path][:limit]
        if entry.id and self.repository is not None:
            return self.repository.content(entry, limit)
        if entry.is_link:
            return os.fsencode(os.readlink(self.root / entry.path))[:limit]
        descriptor = os.open(self.root / entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            return stream.read(limit)

    def _read(self, blobs: Sequence[Blob]) -> Iterator[tuple[Blob, bytes]]:
        for one in blobs:
            yield one, self._bytes(one, 4096)

    def _stream(self, wanted: Sequence[tuple[Blob, Blob]]) -> Iterator[tuple[Blob, Blob, bytes | None]]:
        for entry, target in wanted:
            try:
                yield entry, target, self._bytes(target, MAX_FILE + 1)
            except OSError as error:
                self._told(entry.path, Outcome.DENIED, f"the file can't be read: {error.strerror}")

    def read_all(self, files: Iterable[File]) -> Iterator[bytes | OSError]:
        for file in files:
            try:
                yield self._bytes(self._leads_to(file), MAX_FILE)
            except OSError as error:
                yield error
