"""Packed estates as they were linked, kept for the next question: of a fleet that is asked about one host after another
nothing is parsed, bound and linked again.

Kept is what no question changes: the documents, the machines, the graph before anything is added for the hosts that are
going. An entry is for one pack, byte by byte, one release of the code and one set of collectors. It holds numbers in
columns and JSON: nothing in it is run, and one that is damaged, or not of the shape it should have, counts as none.
Text that is searched for names is not in it, and is read from the pack each time.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final

from auditor.api import Collector
from auditor.audit.kept_parts import read, written
from auditor.audit.kept_rows import NotKeptError
from auditor.audit.ready import Ready
from auditor.audit.scenario import Asked
from auditor.capture.kept_file import WRONG, NotOursError, key_of, read_parts, tidy, write_parts
from auditor.capture.pack import PackError, is_pack
from auditor.capture.parsed import fingerprint
from auditor.capture.reading import Templates
from auditor.text import is_address

FORMAT: Final = "auditor linked estate 1"
MAX_SIZE: Final = 1024 * 1024 * 1024
"""Bytes of an entry that is written or read."""
MAX_KEPT: Final = 4
"""Entries that a directory has; beyond them the one that was of no use for the longest time goes."""
MAX_TOTAL: Final = 2 * MAX_SIZE
"""Bytes of all of them."""
_CHUNK: Final = 1024 * 1024


class KeptEstates:
    """A directory with packed estates as they were linked, for one auditor with one set of collectors."""

    def __init__(
        self, directory: Path, collectors: Sequence[Collector], templates: Templates, *, secret: str = ""
    ) -> None:
        """`templates` hold what was parsed of single files. Entries are signed with `secret`, if there is one."""
        self.directory = directory
        self._collectors, self._templates = collectors, templates
        self._key = key_of(secret)
        self._of = fingerprint(collectors)
        self._state: tuple[Path, tuple[int, ...]] | None = None
        self._entry = ""
        self.failed: OSError | None = None
        """Why an estate could not be written down."""
        self.refused: NotOursError | None = None
        """Why what is there was not read."""

    @staticmethod
    def may_have(paths: Sequence[Path], asked: Iterable[Asked]) -> bool:
        """Whether a question may be one for what is kept.

        That is one pack, and hosts that have no other names than it knows, and are asked for by name: an address may
        make two machines one.
        """
        return len(paths) == 1 and is_pack(paths[0]) and not any(one.also or is_address(one.name) for one in asked)

    def find(self, path: Path, own: Collection[str]) -> Ready | None:
        """An estate as it was linked before, without the files `own`; None if that is not known."""
        self._state = None
        try:
            state = _state_of(path)
            self._entry = self._entry_of(path, own)
        except OSError:
            return None
        self._state = path, state
        file = self._file()
        try:
            parts = read_parts(file, FORMAT, self._entry, self._key, MAX_SIZE)
        except NotOursError as error:
            self.refused = error
            return None
        if parts is None:
            return None
        try:
            ready = read(parts, path, self._collectors, self._templates)
            same = _state_of(path) == state
        except (PackError, OSError, sqlite3.Error, *WRONG):
            return None
        if not same:
            return None
        with suppress(OSError):
            os.utime(file, follow_symlinks=False)
        return ready

    def keep(self, ready: Ready) -> None:
        """Writes down the estate that was not found, if it is all there and did not change."""
        if self._state is None:
            return
        path, state = self._state
        try:
            parts = written(ready)
        except (NotKeptError, *WRONG):
            return
        try:
            if sum(map(len, parts.values())) <= MAX_SIZE - _CHUNK and _state_of(path) == state:
                write_parts(self._file(), FORMAT, self._entry, self._key, parts)
                tidy(self.directory, "linked", MAX_KEPT, MAX_TOTAL)
        except OSError as error:
            self.failed = error

    def _file(self) -> Path:
        return self.directory / f"linked-{self._entry[:32]}.bin"

    def _entry_of(self, path: Path, own: Collection[str]) -> str:
        found = blake2b(json.dumps([FORMAT, self._of, sorted(own)]).encode(), digest_size=32)
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                found.update(chunk)
        return found.hexdigest()


def _state_of(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
