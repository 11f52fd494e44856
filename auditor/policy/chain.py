"""Records that are only ever added to: JSON lines, each with the SHA-256 of itself and of the line before it.

A record is written as canonical JSON: ASCII, sorted keys, no spaces. `hash` is the SHA-256 of the canonical form of the
record without `hash`; `previous` is the `hash` of the record before, 64 zeros for the first. So a change of any line, a
line that was taken out and an order that was changed are found. Who may write the file may also write all of it anew,
or leave out its end: that shows only against a hash that was noted elsewhere.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from auditor.errors import UsageError
from auditor.phrases import plural, timestamp

FIRST: Final = "0" * 64
FORMAT: Final = "auditor run 1"
SIZE_LIMIT: Final = 1024 * 1024 * 1024
WAIT: Final = 30.0
"""Seconds that a writer waits for another."""

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Flaw:
    """A line that is not as it was written. Lines count from 1."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Chain:
    """What a file holds: its records up to the first line that can't be read, and all that is wrong with it."""

    records: tuple[Record, ...]
    flaws: tuple[Flaw, ...]
    whole: int
    """Bytes up to the end of the last whole line."""

    @property
    def head(self) -> str:
        """The hash of the last record; zeros if there is none."""
        return str(self.records[-1]["hash"]) if self.records else FIRST


def read(path: Path) -> Chain:
    """The records of a file, none of an empty or missing one. Raises UsageError if it can't be read."""
    try:
        if not path.exists():
            return Chain((), (), 0)
        if path.stat().st_size > SIZE_LIMIT:
            raise UsageError(f"{path}: larger than {SIZE_LIMIT // 1024**3} GiB", hint="Begin a new file.")
        return read_bytes(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}", hint="Give another file.") from error


def read_bytes(content: bytes) -> Chain:
    """The records in bytes. Every line is looked at, also those after a flaw."""
    whole = content.rfind(b"\n") + 1
    records: list[Record] = []
    flaws: list[Flaw] = []
    before: str | None = FIRST
    for number, line in enumerate(content[:whole].split(b"\n")[:-1], 1):
        record = _parsed(line)
        if record is None:
            flaws.append(Flaw(number, "is no record: it was changed, or something else wrote it"))
            # What follows can't be held against it.
            before = None
            continue
        if (wrong := _wrong(record, line, number, before)) is not None:
            flaws.append(Flaw(number, wrong))
        before = str(record["hash"])
        records.append(record)
    if whole < len(content):
        count = len(content) - whole
        what = f"is cut off ({plural(count, 'byte')}): a write did not end, or its end was taken away"
        flaws.append(Flaw(len(records) + 1, what))
    return Chain(tuple(records), tuple(flaws), whole)


def append(path: Path, make: Callable[[Sequence[Record]], Record]) -> Record:
    """Adds a record, which `make` makes from those that are there; one writer at a time.

    The line is written at once and forced to disk. What a write that was killed has left at the end is taken away, and
    the new record says so. Raises UsageError if the file can't be written, or its records are not as they were written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UsageError(f"{path}: can't be written: {error.strerror}", hint="Give another file.") from error
    try:
        _lock(descriptor, path)
        content = _all(descriptor)
        chain = read_bytes(content)
        torn = len(content) - chain.whole
        broken = [flaw for flaw in chain.flaws if not (torn and flaw is chain.flaws[-1])]
        if broken:
            raise UsageError(
                f"{path}:{broken[0].line}: this line {broken[0].what}",
                hint="Nothing is added to such a file. `auditor checklist verify` says all that is wrong.",
            )
        made = dict(make(chain.records))
        if torn:
            made["cut_off_bytes"] = torn
        record = sealed(made, len(chain.records) + 1, chain.head)
        if torn:
            os.ftruncate(descriptor, chain.whole)
        _write(descriptor, _canonical(record) + b"\n")
    except OSError as error:
        raise UsageError(f"{path}: can't be written: {error.strerror}", hint="Give another file.") from error
    finally:
        os.close(descriptor)
    return record


def sealed(made: Record, number: int, previous: str) -> Record:
    """A record with its number, its time, the hash of the one before it and its own."""
    stamp = timestamp(datetime.now(UTC))
    record = {"time": stamp, **made, "format": FORMAT, "number": number, "previous": previous}
    return {**record, "hash": digest(record)}


def digest(record: Record) -> str:
    """The SHA-256 of a record's canonical form without its own hash, in hex."""
    return sha256(_canonical({key: value for key, value in record.items() if key != "hash"})).hexdigest()


def _canonical(record: Record) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def _parsed(line: bytes) -> Record | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict) and isinstance(found.get("hash"), str):
        return found
    return None


def _wrong(record: Record, line: bytes, number: int, before: str | None) -> str | None:
    """What is wrong with a line; None if it is as it was written."""
    try:
        kept = _canonical(record) == line and digest(record) == record["hash"]
    except (ValueError, RecursionError):
        kept = False
    if not kept:
        return "was changed: its hash is not that of what it says"
    if record.get("format") != FORMAT:
        return f"is of a format that is not known here: {str(record.get('format'))[:40]!r}"
    if before is not None and record.get("previous") != before:
        return "does not follow the line before it: that was changed, or lines were taken out or put in another order"
    if record.get("number") != number:
        return f"calls itself record {str(record.get('number'))[:20]}: lines were taken out, or put in"
    return None


def _lock(descriptor: int, path: Path) -> None:
    until = time.monotonic() + WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise UsageError(
                    f"{path}: another process has been writing it for {WAIT:.0f} seconds", hint="Try again."
                ) from None
            time.sleep(0.05)
        else:
            return


def _all(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    if size > SIZE_LIMIT:
        raise OSError(27, "File too large")
    return b"".join(_blocks(descriptor, size))


def _blocks(descriptor: int, size: int) -> Iterator[bytes]:
    at = 0
    while at < size and (block := os.pread(descriptor, min(size - at, 1 << 24), at)):
        at += len(block)
        yield block


def _write(descriptor: int, line: bytes) -> None:
    left = memoryview(line)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)
