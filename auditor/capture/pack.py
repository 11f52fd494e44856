"""A packed estate: one SQLite file in the sqlar layout (https://sqlite.org/sqlar.html), in which equal files are once.

The table `sqlar` is the one that `sqlite3 FILE -A` lists and extracts. A content is in the first row that has it; a
row of an equal file is a symbolic link to that row, by a relative path, so that any reader of the layout extracts a
working estate; its `sz` is the length of that path. Its permission bits are those of the file (never 0777): that
tells it from a link that was one in the estate, of which only links to /dev/null (masked units) are kept. Beside it
stand:

- `content(sha256, name)`: each distinct content, and the row that holds it;
- `cut(name, size)`: files of which only the beginning is kept, with their size in bytes;
- `gap(path, outcome, detail)`: what could not be read when it was packed.

A pack is somebody's file: it is opened read-only, without its schema being trusted, and every name and size is
checked before it is used.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import secrets
import shutil
import sqlite3
import stat
import weakref
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self, TypeAlias

from auditor.capture.tree import (
    CAPTURES,
    CONTROL,
    INVENTORY,
    MAX_DEPTH,
    MAX_FILE,
    MAX_FILES,
    ROOTS,
    SKIPPED,
    SNAPSHOT,
    File,
    Tree,
)
from auditor.errors import EstateError, UsageError
from auditor.model import Area, Capture, Coverage, Outcome
from auditor.text import expand_range

MAGIC: Final = b"SQLite format 3\x00"
APPLICATION: Final = 0x41756474
"""`PRAGMA application_id` of a pack: "Audt"."""
MAX_RECORDS: Final = 512 * 1024 * 1024
"""Bytes of captures.jsonl, uncompressed: about four million records."""
MAX_NAME: Final = 4096
"""Bytes of a path, as PATH_MAX of Linux."""
_PART: Final = 255
"""Bytes of a part of a path, as NAME_MAX of Linux."""
MAX_TOTAL: Final = 64 * 1024 * 1024 * 1024
"""Bytes that `unpack` writes at most."""

_TABLES: Final = """
CREATE TABLE sqlar(name TEXT PRIMARY KEY, mode INT, mtime INT, sz INT, data BLOB);
CREATE TABLE content(sha256 BLOB PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cut(name TEXT PRIMARY KEY, size INT NOT NULL) WITHOUT ROWID;
CREATE TABLE gap(path TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL);
"""
# A path may be any bytes, which Python does not bind as text.
_FIND: Final = "SELECT mode, sz FROM sqlar WHERE name = CAST(? AS TEXT)"
_LIST: Final = """
SELECT name, mode, sz, CASE WHEN (mode & 61440) = 40960 THEN substr(data, 1, 4096) END FROM sqlar ORDER BY rowid
"""
_READ: Final = "SELECT mode, sz, data FROM sqlar WHERE name = CAST(? AS TEXT)"
_BELOW: Final = "SELECT 1 FROM sqlar WHERE name > CAST(? AS TEXT) AND name < CAST(? AS TEXT) LIMIT 1"
_COLUMNS: Final = ["name", "mode", "mtime", "sz", "data"]
_ROW_BYTES: Final = MAX_RECORDS + 1024 * 1024
_MASKED: Final = stat.S_IFLNK | 0o777
_PLAIN: Final = re.compile(r"(?:(?!\.{1,2}(?:/|$))[^/\x00-\x1f\x7f]+/)*(?!\.{1,2}$)[^/\x00-\x1f\x7f]+")
"""A path without empty parts, `.`, `..` and control characters."""
_PRIVATE: Final = 0o600
_KEPT_PERMISSIONS: Final = 0o777
_LEVEL: Final = 6

Value: TypeAlias = str | bytes | int | float | None


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed: files, distinct contents, bytes before and after."""

    files: int
    contents: int
    size: int
    packed: int
    gaps: int


class PackError(EstateError):
    """A file that is no pack, or not one that may be read."""


def is_pack(path: Path) -> bool:
    """Whether a file begins as an SQLite database does."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def collecting(target: Path) -> Path:
    """The directory beside a pack in which its files are collected, until all are there."""
    return target.with_name(f"{target.name}.collecting")


def prepare(target: Path, *, resume: bool) -> Path:
    """The directory in which the files of a pack are to be collected.

    To continue is to go on in the directory that an interrupted run has left, or else in one with the files of the
    pack. Raises UsageError if something is there already, PackError if it is no pack of a collection.
    """
    root = collecting(target)
    if not resume:
        for there in (target, root):
            if os.path.lexists(there):
                raise UsageError(
                    f"{there} is there already: nothing was written",
                    hint="Continue it with --resume, or give another file with -o.",
                )
    elif not root.exists() and os.path.lexists(target):
        if not PackTree.open(target, has_inventory=True).exists(SNAPSHOT):
            raise UsageError(f"{target} was not collected: nothing was written", hint="Give another file with -o.")
        # Whole or not at all: a half of it must not be taken for what was collected.
        half = root.with_name(f"{root.name}.half")
        if half.exists():
            shutil.rmtree(half)
        unpack(target, half)
        os.rename(half, root)
    return root


def finish(root: Path, target: Path) -> Packed:
    """Packs what was collected, and then removes the directory. Raises UsageError; the directory is then left."""
    # Names of their own: what a run that was killed has left of them is in nobody's way.
    half, done = (root.with_name(f"{root.name}.{what}") for what in ("packing", "packed"))
    half.unlink(missing_ok=True)
    packed = pack(root, target, over=True, temporary=half)
    # Nor must a half of what is being removed.
    if done.exists():
        shutil.rmtree(done)
    os.rename(root, done)
    shutil.rmtree(done)
    return packed


def pack(root: Path, target: Path, *, over: bool = False, temporary: Path | None = None) -> Packed:
    """Packs an estate's directory into one file.

    The same files give the same bytes, with the same releases of SQLite and zlib: nothing of the clock, of owners or
    of times of modification is kept, a row's `mtime` is when the file was captured. The target appears whole or not at
    all: it is written as `temporary`, a name beside it that nobody has. Raises EstateError if there is no estate,
    UsageError if the target exists (unless `over`) or can't be written.
    """
    if os.path.lexists(target) and not over:
        raise UsageError(f"{target} exists already: nothing was written", hint="Give another file with -o.")
    if target.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{target} is inside of what it is to hold: nothing was written", hint="Give another place.")
    tree = Tree.open(root, has_inventory=(root / INVENTORY).is_file())
    temporary = temporary or target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        try:
            result = _write(tree, temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except sqlite3.Error as error:
        raise UsageError(f"{target}: can't be written: {error}", hint="Give another file with -o.") from error
    except OSError as error:
        raise UsageError(f"{target}: can't be written: {error.strerror}", hint="Give another file with -o.") from error
    return result


def _write(tree: Tree, target: Path) -> Packed:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(target, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode=OFF")
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA page_size=4096")
        database.execute(f"PRAGMA application_id={APPLICATION}")
        database.execute("PRAGMA user_version=1")
        database.execute("BEGIN")
        for statement in filter(str.strip, _TABLES.split(";")):
            database.execute(statement)
        result = _Writer(tree, database).all()
        database.execute("COMMIT")
    finally:
        database.close()
    # What was packed may be removed next.
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
    return Packed(result.files, result.contents, result.size, os.path.getsize(target), result.gaps)


class _Writer:
    def __init__(self, tree: Tree, database: sqlite3.Connection) -> None:
        self._tree, self._database = tree, database
        self._holders: dict[bytes, str] = {}
        self._files = self._size = 0

    def all(self) -> Packed:
        root = os.fspath(self._tree.root)
        if os.path.isfile(os.path.join(root, CAPTURES)):
            self._file(File(CAPTURES, "", CAPTURES, os.path.getsize(os.path.join(root, CAPTURES))))
        known = len(self._tree.coverage)
        files = self._tree.files()
        for file in files:
            self._file(file)
        self._directories(root)
        # What `open` said of hosts/ and of the records is said again by whoever opens the pack.
        told = {(one.path, one.detail) for one in self._tree.coverage[:known]}
        gaps = [one for one in self._tree.coverage[known:] if (one.path, one.detail) not in told and not self._cut(one)]
        self._database.executemany(
            "INSERT INTO gap VALUES (CAST(? AS TEXT), ?, CAST(? AS TEXT))",
            ((_bytes(one.path), one.outcome.value, _bytes(one.detail)) for one in gaps),
        )
        return Packed(self._files, len(self._holders), self._size, 0, len(gaps))

    def _cut(self, gap: Coverage) -> bool:
        return self._database.execute("SELECT 1 FROM cut WHERE name = ?", (_bytes(gap.path),)).fetchone() is not None

    def _file(self, file: File) -> None:
        name = file.estate_path
        if file.real == os.devnull:
            self._link(name, _MASKED, os.devnull)
            self._files += 1
            return
        place = file.real or os.path.join(self._tree.root, name)
        limit = MAX_RECORDS if name == CAPTURES else MAX_FILE
        try:
            with open(place, "rb", opener=_opener) as stream:
                content = stream.read(limit + 1)
                size = os.fstat(stream.fileno()).st_size
                runnable = os.fstat(stream.fileno()).st_mode & 0o100
        except OSError as error:
            self._tree.coverage.append(
                Coverage(file.source, Area.COVERAGE, name, Outcome.DENIED, detail=str(error.strerror), path=name)
            )
            return
        if len(content) > limit:
            if name == CAPTURES:
                raise UsageError(f"{place}: more than {MAX_RECORDS} bytes", hint="Split the collection.")
            content = content[:limit]
            self._database.execute("INSERT INTO cut VALUES (CAST(? AS TEXT), ?)", (_bytes(name), size))
        mode = _PRIVATE | (0o100 if runnable else 0)
        digest = hashlib.sha256(content).digest()
        holder = self._holders.get(digest)
        self._files += 1
        self._size += len(content)
        if holder is not None and content:
            self._link(name, stat.S_IFLNK | mode, _relative(holder, name))
            return
        if holder is None:
            self._holders[digest] = name
            self._database.execute("INSERT INTO content VALUES (?, CAST(? AS TEXT))", (digest, _bytes(name)))
        small = zlib.compress(content, _LEVEL)
        self._row(name, stat.S_IFREG | mode, len(content), small if len(small) < len(content) else content)

    def _link(self, name: str, mode: int, target: str) -> None:
        # The layout says -1 for the size of a link, which the program of SQLite 3.40 takes for one of 4 GiB. The
        # length of the target is what every release extracts.
        data = _bytes(target)
        self._row(name, mode, len(data), data)

    def _directories(self, root: str) -> None:
        """Those with nothing in them: others are there by what they hold. Of fetched code only that it was there."""
        for directory, below, files in os.walk(root):
            below.sort()
            name = os.path.relpath(directory, root)
            left_out = os.path.basename(name) in SKIPPED
            if left_out:
                below.clear()
            if name != "." and (left_out or not (below or files)) and not CONTROL.search(name):
                self._row(name, stat.S_IFDIR | 0o700, 0, None)

    def _row(self, name: str, mode: int, size: int, data: bytes | None) -> None:
        when = self._tree.time_of(name)
        seconds = int(when.timestamp()) if when is not None else 0
        self._database.execute(
            "INSERT INTO sqlar VALUES (CAST(? AS TEXT), ?, ?, ?, ?)", (_bytes(name), mode, seconds, size, data)
        )


def _relative(target: str, name: str) -> str:
    """The path from where `name` is to `target`, both relative to the estate."""
    to, at = target.split("/"), name.split("/")[:-1]
    same = 0
    while same < min(len(to) - 1, len(at)) and to[same] == at[same]:
        same += 1
    return "/".join([".."] * (len(at) - same) + to[same:])


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Half a character, as JSON may hold it: no path, but it may be asked for.
        return text.encode("utf-8", "surrogatepass")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


@dataclass(slots=True, weakref_slot=True)
class PackTree(Tree):
    """An estate in a pack, read as it is: nothing is extracted."""

    content_addressed: ClassVar[bool] = True
    database: sqlite3.Connection = field(default_factory=lambda: sqlite3.connect(":memory:", check_same_thread=False))
    _cuts: dict[str, int] = field(default_factory=dict)
    _held: dict[str, int] = field(default_factory=dict)
    """Files that a link leads to, with their sizes."""

    @classmethod
    def open(cls, root: Path, *, has_inventory: bool) -> Self:
        """A pack. Raises PackError if it is none, or not one that may be read."""
        tree = cls(root, database=_connect(root))
        try:
            tree._hosts_of_names(has_inventory)
            tree._read_captures()
            tree._read_own_tables()
        except sqlite3.Error as error:
            raise PackError(f"{root}: can't be read: {error}", hint="It is damaged: collect or pack again.") from error
        return tree

    @classmethod
    def again(
        cls,
        root: Path,
        sources: Iterable[str],
        captures: dict[str, Capture],
        coverage: list[Coverage],
        skipped: dict[str, int],
        *,
        recorded: bool,
        collected_at: datetime | None,
    ) -> Self:
        """A pack of which the rest is known already. Raises PackError, and ValueError for a source that is none."""
        hosts = {source: tuple(expand_range(source)) for source in sources}
        tree = cls(
            root, hosts, coverage, captures, skipped, recorded, collected_at=collected_at, database=_connect(root)
        )
        tree._read_cuts()
        return tree

    @classmethod
    def holds_inventory(cls, root: Path) -> bool:
        """Whether a pack has an inventory. Raises PackError if it is none."""
        database = _connect(root)
        try:
            return database.execute("SELECT 1 FROM sqlar WHERE name = ?", (INVENTORY,)).fetchone() is not None
        except sqlite3.Error as error:
            raise PackError(f"{root}: can't be read: {error}") from error
        finally:
            database.close()

    def __post_init__(self) -> None:
        # Not __del__: in a cycle of references the database may be finalized first, and warn that it is open.
        weakref.finalize(self, self.database.close)

    def _hosts_of_names(self, has_inventory: bool) -> None:
        inside: dict[str, set[str]] = {}
        for (name,) in self.database.execute("SELECT name FROM sqlar WHERE name >= 'hosts/' AND name < 'hosts0'"):
            if not _usable(name):
                continue
            parts = name.split("/", 3)
            if len(parts) > 2:
                inside.setdefault(parts[1], set()).add(parts[2])
        directories = self.database.execute(
            "SELECT name FROM sqlar WHERE name >= 'hosts/' AND name < 'hosts0' AND (mode & 61440) = ?", (stat.S_IFDIR,)
        )
        for (name,) in directories:
            if _usable(name) and name.count("/") == 1:
                inside.setdefault(name.split("/")[1], set())
        for name in sorted(inside):
            self._add_host(name, inside[name] & ROOTS or ({"."} if inside[name] else set()), has_inventory)

    def _read_captures(self) -> None:
        content = self._content(CAPTURES, MAX_RECORDS)
        if content is not None:
            self._take_records(content.splitlines())

    def _read_own_tables(self) -> None:
        self._read_cuts()
        if self._has_table("gap"):
            for path, outcome, detail in self.database.execute("SELECT path, outcome, detail FROM gap"):
                known = outcome if outcome in set(Outcome) and outcome not in ("ok", "absent") else Outcome.PARTIAL
                self._gap(str(path), Outcome(known), str(detail))

    def _read_cuts(self) -> None:
        for name, size in self.database.execute("SELECT name, size FROM cut") if self._has_table("cut") else ():
            if isinstance(name, str) and isinstance(size, int):
                self._cuts[name] = size

    def _has_table(self, name: str) -> bool:
        found = self.database.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (name,))
        return found.fetchone() is not None

    def own_file(self, path: str, limit: int) -> bytes | None:
        try:
            return self._content(path, limit)
        except sqlite3.Error as error:
            raise OSError(5, str(error)) from error

    def exists(self, estate_path: str) -> bool:
        return self._found(estate_path) is not None or self._below(estate_path)

    def has_file(self, estate_path: str) -> bool:
        row = self._found(estate_path) if estate_path not in self.own else None
        return row is not None and not stat.S_ISDIR(row[0] if isinstance(row[0], int) else 0)

    def is_empty(self, estate_path: str) -> bool:
        row = self._found(estate_path)
        return row is not None and isinstance(row[0], int) and stat.S_ISDIR(row[0]) and not self._below(estate_path)

    def _found(self, name: str) -> Any:
        return self.database.execute(_FIND, (_bytes(name),)).fetchone()

    def _below(self, directory: str) -> bool:
        return self.database.execute(_BELOW, (_bytes(f"{directory}/"), _bytes(f"{directory}0"))).fetchone() is not None

    def files(self) -> Iterator[File]:
        """All files, in the order in which they were packed: that of the directory."""
        try:
            yield from self._files()
        except sqlite3.Error as error:
            self._gap(".", Outcome.PARTIAL, f"the pack is damaged, the rest was not read: {error}")

    def _files(self) -> Iterator[File]:
        for count, (name, mode, size, link) in enumerate(self.database.execute(_LIST), 1):
            if count > MAX_FILES:
                self._gap(".", Outcome.PARTIAL, f"more than {MAX_FILES} files: the rest was not read")
                return
            if name in self.own:
                continue
            if not _usable(name) or not isinstance(mode, int) or not isinstance(size, int):
                shown = str(name).encode("unicode_escape", "replace").decode()[:200]
                self._gap(shown, Outcome.UNSUPPORTED, "a row that is no path of an estate: not read")
                continue
            if stat.S_ISDIR(mode):
                if (last := name.rpartition("/")[2]) in SKIPPED:
                    self.skipped[last] = self.skipped.get(last, 0) + 1
                continue
            if not SKIPPED.isdisjoint(name.split("/")[:-1]):
                continue
            real = ""
            if stat.S_ISLNK(mode):
                real = self._target(name, link)
                if not real:
                    self._gap(name, Outcome.UNSUPPORTED, "a link that does not lead to a file of the pack")
                    continue
                size = self._held[real] if real != os.devnull else 0
            elif not stat.S_ISREG(mode) and stat.S_IFMT(mode):
                continue
            source, inner = self.place(name)
            yield File(name, source, inner, self._cuts.get(name, max(0, size)), real)

    def _target(self, name: str, link: Value) -> str:
        """The row that a link stands for: a regular file of the pack, in one step; or /dev/null."""
        raw = link if isinstance(link, bytes) else _bytes(link) if isinstance(link, str) else b""
        to = _text(raw)
        if to == os.devnull:
            return os.devnull
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), to))
        if not to or to.startswith("/"):
            return ""
        if target in self._held:
            return target
        if not _usable(target):
            return ""
        row = self._found(target)
        if row is None or not isinstance(row[0], int) or not stat.S_ISREG(row[0]) or not isinstance(row[1], int):
            return ""
        self._held[target] = row[1]
        return target

    def read(self, file: File) -> bytes:
        """The bytes of a file, up to MAX_FILE. Raises OSError if it is not what the pack says."""
        if file.real == os.devnull:
            return b""
        try:
            content = self._content(file.real or file.estate_path, MAX_FILE)
        except sqlite3.Error as error:
            raise OSError(5, f"the pack is damaged: {error}") from error
        if content is None:
            raise OSError(2, "it is not in the pack")
        if file.size > MAX_FILE:
            self._gap(file.estate_path, Outcome.PARTIAL, f"{file.size} bytes: only the first {MAX_FILE} were read")
        return content

    def _content(self, name: str, limit: int) -> bytes | None:
        """The first `limit` bytes of a row's content; None if there is no such file."""
        row = self.database.execute(_READ, (_bytes(name),)).fetchone()
        if row is None:
            return None
        mode, size, data = row
        if isinstance(mode, int) and stat.S_ISLNK(mode):
            target = self._target(name, data)
            return self._content(target, limit) if target and target != os.devnull else None
        if isinstance(mode, int) and stat.S_ISDIR(mode):
            return None
        if isinstance(data, str):
            data = _bytes(data)
        if data is None and size == 0:
            return b""
        if not isinstance(data, bytes) or not isinstance(size, int) or size < 0:
            raise OSError(5, "a row without content")
        if len(data) == size:
            return data[:limit]
        # Never more than was asked for, whatever the stream would give: that is what stops a zip bomb.
        try:
            content = zlib.decompressobj().decompress(data, limit)
        except zlib.error as error:
            raise OSError(5, f"its content is damaged: {error}") from error
        if len(content) < min(size, limit) or (len(content) > size):
            raise OSError(5, "its content is not as long as the pack says")
        return content


def _connect(path: Path) -> sqlite3.Connection:
    """The database, read-only; nothing of its schema is run. Raises PackError."""
    hint = "`auditor snapshot pack DIR -o FILE` makes one."
    if not is_pack(path):
        raise PackError(f"{path}: neither a directory nor a packed estate", hint=hint)
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    # A server's worker opens it, and whichever thread collects garbage closes it. SQLite itself is built thread-safe.
    database = sqlite3.connect(uri, uri=True, check_same_thread=False)
    try:
        database.text_factory = _text
        # Not SQLITE_DBCONFIG_DEFENSIVE, which Python 3.11 can't set: read-only and an untrusted schema are enough.
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON", "mmap_size=0"):
            database.execute(f"PRAGMA {pragma}")
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _ROW_BYTES)
        row = database.execute("SELECT type, sql FROM sqlite_schema WHERE name = 'sqlar'").fetchone()
        columns = [(one[1], one[5], one[6]) for one in database.execute("PRAGMA table_xinfo(sqlar)")]
        others = database.execute("SELECT name FROM sqlite_schema WHERE type IN ('view', 'trigger')").fetchone()
    except sqlite3.Error as error:
        database.close()
        raise PackError(f"{path}: can't be read as a packed estate: {error}", hint=hint) from error
    plain = row is not None and row[0] == "table" and not str(row[1]).upper().startswith("CREATE VIRTUAL")
    # Without the key, each look for a name would go through all rows.
    if not plain or columns != [(name, int(name == "name"), 0) for name in _COLUMNS] or others is not None:
        database.close()
        raise PackError(f"{path}: an SQLite file, and not in the form of a packed estate", hint=hint)
    return database


def _usable(name: object) -> bool:
    """Whether a name is a relative path that stays where it is, and that a directory could hold."""
    if not isinstance(name, str) or not name:
        return False
    if len(name) <= _PART and name.isascii():
        return name.count("/") <= MAX_DEPTH and _PLAIN.fullmatch(name) is not None
    if CONTROL.search(name):
        return False
    parts = name.split("/")
    return (
        all(part not in ("", ".", "..") for part in parts)
        and len(parts) <= MAX_DEPTH + 1
        and len(_bytes(name)) <= MAX_NAME
        and all(len(_bytes(part)) <= _PART for part in parts)
    )


def unpack(source: Path, target: Path, *, max_bytes: int = MAX_TOTAL) -> int:
    """Writes a pack's files into a new directory; returns how many. Files are private to who unpacks.

    What could not be read when it was packed is added to captures.jsonl, so that it stays known. Raises UsageError if
    the directory is not empty or can't be written, PackError for anything that is no file of an estate.
    """
    tree = PackTree.open(source, has_inventory=True)
    try:
        if os.path.lexists(target) and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"{target} is not empty: nothing was written", hint="Give a new directory with -o.")
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _extract(tree, target, max_bytes)
    except OSError as error:
        raise UsageError(f"{target}: {error.strerror or error}", hint="Give another directory with -o.") from error
    except sqlite3.Error as error:
        raise PackError(f"{source}: can't be read: {error}") from error
    finally:
        tree.database.close()


def _extract(tree: PackTree, target: Path, max_bytes: int) -> int:
    count = written = 0
    given = len(tree.coverage)
    modes: dict[str, int] = {}
    for name, mode in tree.database.execute("SELECT name, mode FROM sqlar"):
        if not _usable(name):
            raise PackError(f"{tree.root}: a row that is no path of an estate: {name!r:.200}")
        if isinstance(mode, int) and stat.S_ISDIR(mode):
            (target / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        elif isinstance(mode, int) and mode & 0o100:
            modes[name] = 0o700
    gaps = [one for one in tree.coverage[:given] if one.path != CAPTURES]
    records = tree._content(CAPTURES, MAX_RECORDS)
    if records is not None or gaps:
        import json

        lines = [json.dumps({"path": one.path, "outcome": one.outcome.value, "detail": one.detail}) for one in gaps]
        added = "".join(f"{line}\n" for line in lines).encode()
        _put(target / CAPTURES, (records or b"") + added, 0o600)
        count += records is not None
    for file in tree.files():
        place = target / file.estate_path
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        count += 1
        if file.real == os.devnull:
            os.symlink(os.devnull, place)
            continue
        content = tree.read(file)
        written += len(content)
        if written > max_bytes:
            raise PackError(f"{tree.root}: more than {max_bytes} bytes: not all of it was unpacked")
        _put(place, content, modes.get(file.estate_path, 0o600))
    if problems := [one for one in tree.coverage[given:] if one.outcome is Outcome.UNSUPPORTED]:
        raise PackError(f"{tree.root}: {problems[0].path}: {problems[0].detail}")
    return count


def _put(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)
