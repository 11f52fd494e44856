"""Revisions of a git repository, read from its objects: nothing is checked out, no filter and no hook runs.

Through git's own plumbing (git 2.30 and later): `ls-tree`, `cat-file --batch`, `diff-tree`. None of them runs what a
repository asks for: neither text conversion, nor external diffs, nor smudge filters, nor fetches of missing objects.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from auditor.errors import EstateError, UsageError

TIMEOUT: Final = 120.0
"""Seconds for one command of git; listing a million files takes about two."""
MAX_LISTING: Final = 512 * 1024 * 1024
WORKTREE: Final = "worktree"
"""What --head calls the files that are on disk now, committed or not."""

_HUNK: Final = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_OFF: Final = {".required": "false"}
_REGULAR, _LINK, _SUBMODULE = "100", "120000", "160000"


@dataclass(frozen=True, slots=True)
class Blob:
    """One entry of a tree. `id` is empty for a file of the worktree."""

    path: str
    id: str
    mode: str

    @property
    def is_file(self) -> bool:
        return self.mode.startswith(_REGULAR)

    @property
    def is_link(self) -> bool:
        return self.mode == _LINK

    @property
    def is_submodule(self) -> bool:
        return self.mode == _SUBMODULE


@dataclass(slots=True)
class FileChange:
    """One file of a diff. Either path is empty if the file is not on that side.

    `hunks` are (first line, count) before and (first line, count) after, as in a unified diff without context.
    """

    before: str
    after: str
    hunks: list[tuple[int, int, int, int]] = field(default_factory=list)
    binary: bool = False

    def line_after(self, line: int) -> int:
        """Where a line of the old side stands on the new one; 0 if it was taken away or altered."""
        shift = 0
        for old, old_count, _, new_count in self.hunks:
            if old_count and old <= line < old + old_count:
                return 0
            # A hunk that only adds stands after its line.
            if line < old or (old_count == 0 and line <= old):
                break
            shift += new_count - old_count
        return line + shift

    def place_of(self, line: int) -> int:
        """The line of the new side at which a line of the old one was taken away, from 1 on."""
        for old, old_count, new, new_count in self.hunks:
            if old_count and old <= line < old + old_count:
                return max(1, new + min(line - old, new_count - 1) if new_count else new)
        return max(1, self.line_after(line))

    def is_new(self, line: int) -> bool:
        """Whether a line of the new side was added or altered."""
        return any(new <= line < new + count for _, _, new, count in self.hunks)


class Repository:
    """A repository that is only read."""

    def __init__(self, directory: Path) -> None:
        """Raises UsageError if this is no repository, or git is not there."""
        self._directory = directory
        asked = ["rev-parse", "--is-bare-repository", "--show-object-format"]
        bare, _, form = self._run(asked, why=f"{directory} is in no git repository").partition(b"\n")
        self.bare = bare == b"true"
        """Whether it has no files on disk."""
        self.sha256 = form.strip() == b"sha256"
        """Whether ids of objects are SHA-256, and not SHA-1."""
        where = "--absolute-git-dir" if self.bare else "--show-toplevel"
        top = self._run(["rev-parse", where], why=f"{directory} is in no git repository")
        self.root = Path(top.decode("utf-8", "surrogateescape").removesuffix("\n"))
        self._single: subprocess.Popen[bytes] | None = None

    def commit(self, revision: str) -> str:
        """The full id of a commit. Raises UsageError for one that is not here, with a hint for a shallow clone."""
        if revision.startswith("-"):
            raise UsageError(f"{revision!r} is no revision")
        try:
            found = self._run(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"])
        except UsageError as error:
            hint = "Name a commit, a branch or a tag that `git rev-parse` knows."
            if revision and not revision.strip("0"):
                hint = "Noughts stand for no commit, before a new branch: name the branch that it is to be merged into."
                raise UsageError(f"{self.root}: there is no commit {revision[:12]}…", hint=hint) from error
            if self._run(["rev-parse", "--is-shallow-repository"]).strip() == b"true":
                hint = (
                    "This is a shallow clone. Fetch the commit first: `git fetch --depth=1 origin COMMIT`, "
                    "or clone with the whole history (`fetch-depth: 0` in GitHub Actions, `GIT_DEPTH: 0` in GitLab)."
                )
            raise UsageError(f"{self.root}: there is no commit {revision!r}", hint=hint) from error
        return found.decode("ascii").strip()

    def merge_base(self, one: str, other: str) -> str | None:
        """The commit at which two parted; None where there is none, or the clone does not reach so far back."""
        try:
            return self._run(["merge-base", one, other]).decode("ascii").strip()
        except UsageError:
            return None

    def blobs(self, commit: str) -> list[Blob]:
        """All entries of a commit's tree, submodules and links among them, in order of their paths."""
        # Without -l: for the sizes git would look at each object.
        listing = self._run(["ls-tree", "-r", "-z", "--full-tree", commit])
        found = []
        for record in listing.decode("utf-8", "surrogateescape").split("\0"):
            if record:
                head, _, path = record.partition("\t")
                mode, _, identity = head.split(" ")
                found.append(Blob(path, identity, mode))
        return found

    def worktree(self) -> dict[str, Blob | None]:
        """Paths of the files on disk that are tracked, or neither tracked nor ignored, in order.

        With the blob of those that a sparse checkout leaves out: they are part of the tree all the same. Raises
        UsageError.
        """
        if self.bare:
            raise UsageError(f"{self.root}: a bare repository has no files on disk", hint="Name a commit with --head.")
        found: dict[str, Blob | None] = {}
        tracked = self._run(["ls-files", "-z", "--full-name", "--cached", "--stage", "-t"], at=self.root)
        for record in tracked.split(b"\0"):
            head, _, raw = record.partition(b"\t")
            if raw:
                tag, mode, identity, _ = head.decode("ascii").split()
                path = raw.decode("utf-8", "surrogateescape")
                found[path] = Blob(path, identity, mode) if tag == "S" else None
        others = self._run(["ls-files", "-z", "--full-name", "--others", "--exclude-standard"], at=self.root)
        found.update((one.decode("utf-8", "surrogateescape"), None) for one in others.split(b"\0") if one)
        return dict(sorted(found.items()))

    def contents(self, blobs: Iterable[Blob], limit: int) -> Iterator[tuple[Blob, bytes]]:
        """The bytes of blobs, each up to `limit`, in the order given."""
        wanted = list(blobs)
        with tempfile.TemporaryFile() as names:
            # From a file: with a pipe each side may wait for the other to read.
            names.writelines(f"{one.id}\n".encode("ascii") for one in wanted)
            names.seek(0)
            process = subprocess.Popen(  # noqa: S603 - git, without a shell; options end before revisions
                [*_GIT, "cat-file", "--batch", "--buffer"],
                cwd=self._directory,
                env=_environment(),
                stdin=names,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        stream = process.stdout
        if stream is None:
            raise EstateError(f"{self.root}: git gave no output")
        try:
            for one in wanted:
                yield one, _one_object(stream, limit)
        except ValueError as error:
            raise EstateError(f"{self.root}: git can't read the objects of this commit: {error}") from error
        finally:
            process.kill()
            process.wait()
            stream.close()

    def content(self, blob: Blob, limit: int) -> bytes:
        """The first `limit` bytes of one blob. Raises EstateError."""
        if self._single is None:
            self._single = subprocess.Popen(  # noqa: S603 - git, without a shell
                [*_GIT, "cat-file", "--batch"],
                cwd=self._directory,
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            weakref.finalize(self, _end, self._single)
        process = self._single
        if process.stdin is None or process.stdout is None:
            raise EstateError(f"{self.root}: git gave no output")
        try:
            process.stdin.write(f"{blob.id}\n".encode("ascii"))
            process.stdin.flush()
            return _one_object(process.stdout, limit)
        except (OSError, ValueError) as error:
            raise EstateError(f"{self.root}: git can't read the object {blob.id[:40]}: {error}") from error

    def changes(self, base: str, head: str) -> list[FileChange]:
        """What differs between two commits (or a commit and `worktree`), with renamed files as one, and line ranges."""
        command = [
            "diff" if head == WORKTREE else "diff-tree",
            "-r", "-M", "-U0", "--patch", "--raw", "-z", "--no-color", "--no-ext-diff", "--no-textconv",
            "--ignore-submodules=all", "--full-index", "-l2000",
        ]  # fmt: skip
        revisions = [base] if head == WORKTREE else [base, head]
        unfiltered = self._without_filters() if head == WORKTREE else []
        output = self._run([*unfiltered, *command, *revisions, "--"], at=self.root)
        found = _changes(output)
        if head == WORKTREE:
            known = {one.after for one in found}
            untracked = self._run(["ls-files", "-z", "--others", "--exclude-standard"], at=self.root)
            for raw in untracked.split(b"\0"):
                path = raw.decode("utf-8", "surrogateescape")
                if path and path not in known:
                    found.append(FileChange("", path, [(0, 0, 1, 1 << 30)]))
        return found

    def _without_filters(self) -> list[str]:
        """What switches off the programs that the repository's settings have for files on disk, such as Git LFS."""
        try:
            names = self._run(
                ["config", "-z", "--name-only", "--get-regexp", r"^filter\..*\.(clean|process|smudge|required)$"]
            )
        except UsageError:
            return []
        known = [name.decode("utf-8", "surrogateescape") for name in names.split(b"\0") if name]
        return [word for name in dict.fromkeys(known) for word in ("-c", f"{name}={_OFF.get(name[-9:], '')}")]

    def _run(self, arguments: Sequence[str], *, at: Path | None = None, why: str = "") -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - git, without a shell; options end before revisions
                [*_GIT, *arguments],
                cwd=at or self._directory,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
        except OSError as error:
            if not self._directory.is_dir():
                raise UsageError(f"{self._directory}: no such directory", hint=_CLONE) from error
            if isinstance(error, FileNotFoundError):
                raise UsageError("git is not installed", hint="Install it: repositories are read with it.") from error
            raise UsageError(f"{self._directory}: git can't be run there: {error.strerror}", hint=_CLONE) from error
        except subprocess.TimeoutExpired as error:
            raise EstateError(f"{self._directory}: git {_command(arguments)} took more than {TIMEOUT:.0f} s") from error
        if done.returncode != 0:
            said = next(iter(done.stderr.decode("utf-8", "replace").strip().splitlines()), "")
            hint = _CLONE if "not a git repository" in said else said
            raise UsageError(why or f"git {_command(arguments)} failed in {self._directory}", hint=hint)
        if len(done.stdout) > MAX_LISTING:
            raise EstateError(
                f"{self._directory}: git {_command(arguments)} answered with more than {MAX_LISTING:,} bytes"
            )
        return done.stdout


_CLONE: Final = "Give the directory of a clone."
_GIT: Final = (
    "git", "--no-pager", "--no-replace-objects", "--literal-pathspecs",
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false",
    "-c", "diff.renames=true", "-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false",
)  # fmt: skip


def _command(arguments: Sequence[str]) -> str:
    """The command of git among its arguments."""
    words = iter(arguments)
    for word in words:
        if word != "-c":
            return word
        next(words, "")
    return ""


def object_id(content: bytes, *, sha256: bool = False) -> bytes:
    """What git calls a blob with these bytes."""
    made = hashlib.sha256() if sha256 else hashlib.sha1(usedforsecurity=False)
    made.update(b"blob %d\0" % len(content))
    made.update(content)
    return made.digest()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()


def _environment() -> Mapping[str, str]:
    """No prompts, no locks, no fetching; whose repository it is remains git's own question (safe.directory)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {
        **kept,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        # Git before 2.45 would fetch a missing object of a partial clone, with the program that its settings name.
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_GRAFT_FILE": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _one_object(stream: IO[bytes], limit: int) -> bytes:
    header = stream.readline(4096)
    parts = header.split()
    if len(parts) != 3 or not parts[2].isdigit():
        raise ValueError(header.decode("ascii", "replace").strip() or "the end came too early")
    size = int(parts[2])
    content = stream.read(min(size, limit))
    left = size - len(content)
    while left > 0:
        skipped = stream.read(min(left, 1 << 20))
        if not skipped:
            raise ValueError("the end came too early")
        left -= len(skipped)
    stream.read(1)
    return content


def _changes(output: bytes) -> list[FileChange]:
    """Reads `--raw -z --patch`: a list of files, its fields ended by NUL, then the hunks of each in that order."""
    found: list[FileChange] = []
    # A file that becomes a link is one change with two patches, an unmerged one has none.
    headers: list[FileChange] = []
    at = 0
    while output.startswith(b":", at):
        end = output.index(b"\0", at)
        status = output[at:end].rsplit(b" ", 1)[1][:1]
        at = end + 1
        paths = []
        for _ in range(2 if status in b"RC" else 1):
            end = output.index(b"\0", at)
            paths.append(output[at:end].decode("utf-8", "surrogateescape"))
            at = end + 1
        first, last = paths[0], paths[-1]
        found.append(FileChange("" if status in b"AC" else first, "" if status == b"D" else last))
        headers.extend([found[-1]] * {b"T": 2, b"U": 0}.get(status, 1))
    patches = iter(headers)
    current: FileChange | None = None
    left_old = left_new = 0
    for line in output[at:].lstrip(b"\0").split(b"\n"):
        # Lines of content are counted off: what they look like must not matter.
        if left_old or left_new:
            if line.startswith(b"-"):
                left_old -= 1
            elif line.startswith(b"+"):
                left_new -= 1
            continue
        if line.startswith(b"diff --git "):
            current = next(patches, None)
        elif current is not None and (hunk := _HUNK.match(line)):
            old, old_count, new, new_count = (int(part) if part else 1 for part in hunk.groups())
            current.hunks.append((old, old_count, new, new_count))
            left_old, left_new = old_count, new_count
        elif current is not None and line.startswith(b"Binary files "):
            current.binary = True
    return found
