"""A snapshot: a directory in the form of an estate, written as captures come.

What is written is always readable as an estate: each file appears whole or not at all, and what was asked of a host is
recorded as cut off until its last capture is there. Secrets are taken out before anything is written.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import secrets
import stat
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from auditor.capture.redacted import redacted
from auditor.capture.tree import CAPTURES, INCOMPLETE
from auditor.capture.tree import SNAPSHOT as MARKER
from auditor.errors import EstateError, UsageError
from auditor.model import Outcome
from auditor.redaction import redact

INVENTORY: Final = "inventory.yaml"
CUT_OFF: Final = "the collection was cut off here"
_KEY: Final = "key"
_KEY_BYTES: Final = 32
_SEEN: Final = frozenset({Outcome.OK, Outcome.ABSENT})
_REMEMBERED: Final = 4096
_REMEMBERED_BYTES: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One line of captures.jsonl. `path` is relative to the estate; `collected_at` ISO 8601 in UTC."""

    path: str
    outcome: Outcome
    collected_at: str
    detail: str = ""


def keepable(path: str, content: bytes) -> str:
    """Why content is not kept; empty if it may be. Of what is no text only certificates are."""
    if b"\0" not in content:
        return ""
    if path.lower().endswith((".der", ".cer", ".crt")) and content[:1] == b"\x30":
        from cryptography.x509 import load_der_x509_certificate

        try:
            load_der_x509_certificate(content)
        except ValueError:
            return "not text, and no certificate: not kept"
        return ""
    return "not text: not kept"


class Snapshot:
    """A snapshot that is being written, by several threads at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._directories: set[str] = set()
        self._clean: dict[bytes, bytes] = {}
        # Of many thousand files a run, the names are made as cheaply as can be.
        self._place = os.fspath(root)
        self._pid = os.getpid()
        self._numbers = itertools.count()
        self._records: dict[str, Outcome] = {}
        self._key = b""
        self._let_go: Callable[[], object] = lambda: None

    @classmethod
    def open(cls, root: Path, *, inventory: bytes, started_at: str, resume: bool) -> Snapshot:
        """A new snapshot, or one that is continued. Raises UsageError if something else is there."""
        snapshot = cls(root)
        try:
            there = sorted(os.listdir(root)) if root.exists() else []
            if there and MARKER not in there:
                raise UsageError(
                    f"{root} is not empty and no snapshot: nothing was written",
                    hint="Give an empty or a new directory with -o.",
                )
            if there and not resume:
                raise UsageError(
                    f"{root} holds a snapshot already: nothing was written",
                    hint="Continue it with --resume, or give another directory with -o.",
                )
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            (root / INCOMPLETE).mkdir(exist_ok=True, mode=0o700)
            snapshot._claim()
            for entry in os.scandir(root / INCOMPLETE):
                if entry.name != _KEY:
                    os.unlink(entry.path)
            snapshot._key = snapshot._secret()
            if not there:
                marker = json.dumps({"format": "auditor snapshot", "version": 1, "started_at": started_at}) + "\n"
                snapshot._write(MARKER, marker.encode())
            snapshot._write(INVENTORY, redacted(inventory, snapshot._key))
            snapshot._load()
        except OSError as error:
            raise EstateError(f"{root}: {error.strerror}", hint="Give another directory with -o.") from error
        return snapshot

    @classmethod
    def join(cls, root: Path) -> Snapshot:
        """A snapshot that another process has opened, to be written by this one too. Raises OSError."""
        snapshot = cls(root)
        snapshot._key = (root / INCOMPLETE / _KEY).read_bytes()
        return snapshot

    def learn(self, outcomes: Mapping[str, Outcome]) -> None:
        """What another process has recorded."""
        with self._lock:
            self._records.update(outcomes)

    def forget(self, path: str) -> dict[str, Outcome]:
        """The outcomes of a path and of all below it, which are not kept any longer here."""
        with self._lock:
            found = {one: self._records.pop(one) for one in list(self._records) if one.startswith(path + "/")}
            if path in self._records:
                found[path] = self._records.pop(path)
        return found

    def leave(self, path: str) -> None:
        """Nothing more will be written to this directory: that it and those below it are there is not kept."""
        with self._lock:
            self._directories.difference_update(
                [one for one in self._directories if one == path or one.startswith(path + "/")]
            )

    def _claim(self) -> None:
        """Lets no other run write here until this one lets go, or ends. Raises UsageError if one does."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._let_go = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._let_go()
            raise UsageError(
                f"{self.root} is being written by another run: nothing was written",
                hint="Wait until it has ended, or give another directory with -o.",
            ) from error

    def _secret(self) -> bytes:
        """The key of this snapshot's marks. It lies there while the snapshot is written, so that a run can go on."""
        place = self.root / INCOMPLETE / _KEY
        try:
            key = place.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) != _KEY_BYTES:
            key = secrets.token_bytes(_KEY_BYTES)
            place.unlink(missing_ok=True)
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(key)
        return key

    def _load(self) -> None:
        """Reads the records, and cuts off a last one that was not written whole."""
        path = self.root / CAPTURES
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
        for line in content[:whole].splitlines():
            try:
                record = json.loads(line)
                self._note(str(record["path"]), Outcome(record["outcome"]))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """The last recorded outcome of each path; below hosts, of those alone that were not seen."""
        return self._records

    def _note(self, path: str, outcome: Outcome) -> None:
        """Thousands of hosts have hundreds of files each: that they are there need not be remembered."""
        if outcome in _SEEN and path.startswith("hosts/") and path.count("/") > 1:
            self._records.pop(path, None)
        else:
            self._records[path] = outcome

    def complete(self, host: str) -> bool:
        """Whether all that was asked of a host was answered, be it with a refusal."""
        return self._records.get(f"hosts/{host}") is Outcome.OK

    def store(self, path: str, content: bytes) -> None:
        """Writes one file of the estate, without its secrets. Raises OSError, ValueError for an unusable path."""
        self._write(path, content if b"\0" in content else self._without_secrets(content))

    def _without_secrets(self, content: bytes) -> bytes:
        """What `redacted` makes of it; of what many hosts have alike it is looked for once."""
        if len(content) > _REMEMBERED_BYTES:
            return redacted(content, self._key)
        digest = blake2b(content, digest_size=16).digest()
        clean = self._clean.get(digest)
        if clean is None:
            clean = redacted(content, self._key)
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            # Most files have none: that they stay as they are is all that is kept of them.
            self._clean[digest] = b"" if clean == content else clean
            return clean
        return clean or content

    def link(self, path: str, target: str) -> None:
        """Makes a symbolic link to another path of the estate, or to /dev/null (a masked unit)."""
        parts = self._parts(path)
        if target == "/dev/null":
            to = target
        else:
            self._parts(target)
            to = os.path.relpath(target, os.path.dirname(path))
        self._make("/".join(parts[:-1]))
        temporary = self._temporary()
        os.symlink(to, temporary)
        os.replace(temporary, self.root / path)

    def directory(self, path: str) -> None:
        """Makes a directory: something was looked into, and may be empty."""
        self._parts(path)
        self._make(path)

    def record(self, records: Iterable[Record]) -> None:
        """Appends records in one write. A later record of a path replaces an earlier one."""
        lines: list[str] = []
        written: list[Record] = []
        for one in records:
            entry = {"path": one.path, "outcome": one.outcome.value, "collected_at": one.collected_at}
            if one.detail:
                entry["detail"] = redact(one.detail, self._key)
            lines.append(json.dumps(entry) + "\n")
            written.append(one)
        data = "".join(lines).encode("ascii")
        with self._lock:
            descriptor = os.open(self.root / CAPTURES, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            # Another process may write the same file; closing it lets go.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.lseek(descriptor, 0, os.SEEK_END)
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
            except OSError:
                # Half a line would spoil the next one; to make a file shorter works on a full disk as well.
                os.ftruncate(descriptor, size)
                self._records.update((one.path, Outcome.PARTIAL) for one in written)
                raise
            finally:
                os.close(descriptor)
            for one in written:
                self._note(one.path, one.outcome)

    def close(self, *, hold: bool = False) -> None:
        """Removes what is only for the time of writing, and the key of the marks before all: then nobody has it.

        With `hold` no other run may write here before `let_go`.
        """
        try:
            (self.root / INCOMPLETE / _KEY).unlink(missing_ok=True)
            os.rmdir(self.root / INCOMPLETE)
        except OSError:
            return
        finally:
            if not hold:
                self.let_go()

    def let_go(self) -> None:
        """Other runs may write here from now on."""
        self._let_go()

    def _parts(self, path: str) -> list[str]:
        parts = path.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise ValueError(f"not a path of an estate: {path!r}")
        return parts

    def _temporary(self) -> str:
        return f"{self._place}/{INCOMPLETE}/{self._pid}-{next(self._numbers)}"

    def _write(self, path: str, content: bytes) -> None:
        parts = self._parts(path)
        self._make("/".join(parts[:-1]))
        temporary = self._temporary()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError:
            os.unlink(temporary)
            raise
        finally:
            os.close(descriptor)
        os.replace(temporary, f"{self._place}/{path}")

    def _make(self, directory: str) -> None:
        """Makes a directory and those above. Never through a link: what a host calls a directory stays one."""
        if not directory or directory in self._directories:
            return
        at = ""
        for part in directory.split("/"):
            at = f"{at}/{part}" if at else part
            if at in self._directories:
                continue
            full = os.path.join(self.root, at)
            try:
                os.mkdir(full, 0o700)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(full).st_mode):
                    raise ValueError(f"a file and a directory at one place: {at!r}") from None
            with self._lock:
                self._directories.add(at)
