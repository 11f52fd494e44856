"""From files to parsed items: every distinct file is parsed once, by each collector that recognises it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import PurePosixPath
from types import FrameType, TracebackType
from typing import Final, NamedTuple, Protocol, Self

from auditor.api import Collector
from auditor.capture.sealed import sealed
from auditor.capture.tree import MAX_FILE, File, Tree
from auditor.model import (
    Area,
    Coverage,
    Dependency,
    Document,
    Entity,
    Fact,
    Failure,
    Fragment,
    Kind,
    Malformed,
    Outcome,
    Parsed,
)
from auditor.text import is_binary

HEAD: Final = 4096
MAX_KEPT: Final = 512 * 1024 * 1024
"""Bytes of distinct text that are kept for the mention scan and for `combine`; beyond that files are read again."""
MAX_SECONDS: Final = 10.0
"""Processor time for one file after which coverage says that it was given up."""
MAX_COMBINE_SECONDS: Final = 120.0
"""The same for joining the pieces of one source, or of the estate."""
PATIENCE: Final = 6
"""How many times that may pass on the clock: a machine may be busy or asleep, and a collector may wait for ever."""
MAX_ITEMS: Final = 2_000_000
MAX_MALFORMED: Final = 100
"""Places of one file that are named one by one; of a file that is wrong throughout, the rest is counted."""


class _TimeIsUp(BaseException):
    """Raised in the middle of a collector. No Exception: what a collector catches must not keep it running."""


class _Watchdog:
    """Ends a collector that takes too long, also one that yields nothing or is inside a library.

    What counts is the processor time of the thread, so that a busy machine finds what an idle one does; of one that
    only waits, the clock. It rings by the real-time timer of the process, so on the main thread of a POSIX system only;
    elsewhere, and inside extension code that never returns to the interpreter, `expired` is all there is.
    """

    def __init__(self) -> None:
        self._used = self._until = 0.0
        self._watching = False
        self.rang = False
        """Whether it has since the last start. Extension code may turn what it raised into an error of its own."""
        self._usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
        self._before: Callable[[int, FrameType | None], object] | int | None = None

    def __enter__(self) -> Self:
        if self._usable:
            self._before = signal.signal(signal.SIGALRM, self._ring)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if self._usable:
            signal.signal(signal.SIGALRM, self._before if self._before is not None else signal.SIG_DFL)

    def start(self, seconds: float) -> None:
        self._used = time.thread_time() + seconds
        self._until = time.monotonic() + PATIENCE * seconds
        self._watching, self.rang = True, False
        if self._usable:
            # Again and again, in case it is too early, or lost in a destructor or a callback of a library.
            signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)

    def stop(self) -> None:
        self._watching = False
        if self._usable:
            signal.setitimer(signal.ITIMER_REAL, 0)

    @property
    def expired(self) -> bool:
        return time.thread_time() > self._used or time.monotonic() > self._until

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if self._watching and self.expired:
            self.rang = True
            raise _TimeIsUp


def facts_of(items: Iterable[Parsed]) -> tuple[Fact, ...]:
    """The facts among parsed items."""
    return tuple(item for item in items if type(item) is Dependency or type(item) is Entity)


def machines_of(facts: Iterable[Fact]) -> tuple[Entity, ...]:
    """Those of some facts that describe a machine."""
    return tuple(item for item in facts if type(item) is Entity and item.ref.kind is Kind.HOST)


@dataclass(slots=True)
class Template:
    """What one distinct document yields, whichever host has it. `items` are (collector index, item) in file order."""

    path: str
    digest: bytes
    size: int
    text: bool
    sealed: str = ""
    """Why its text can't be read, as `auditor.capture.sealed` says; empty if it can."""
    items: list[tuple[int, Parsed]] = field(default_factory=list)
    """None in a reading that was kept from another run: there `Reading.items_of` gives them."""
    facts: tuple[Fact, ...] = ()
    machines: tuple[Entity, ...] = ()
    """Those of the facts that describe a machine."""
    fragments: tuple[tuple[int, Fragment], ...] = ()
    malformed: tuple[tuple[int, Malformed], ...] = ()
    readers: tuple[int, ...] = ()
    """The collectors that the items are of."""
    claimed: bool = False
    content: bytes | None = None
    gaps: tuple[tuple[Area, str], ...] = ()
    """What a collector gave up or crashed on: the area of the collector, and why."""

    def sort(self) -> None:
        """Sorts the items by what becomes of them: once for all hosts that have the file."""
        self.facts = facts_of(item for _, item in self.items)
        self.machines = machines_of(self.facts)
        self.fragments = tuple((index, item) for index, item in self.items if type(item) is Fragment)
        self.malformed = tuple((index, item) for index, item in self.items if type(item) is Malformed)
        self.readers = tuple(dict.fromkeys(index for index, _ in self.items))


class Kept(Protocol):
    """A place where what was parsed is kept for other runs."""

    def has(self, path: str, digest: bytes) -> bool: ...
    def find(self, path: str, digest: bytes) -> Template | None: ...
    def add(self, template: Template) -> None: ...


class Placed(NamedTuple):
    """Items of one document that stand beside each other, the facts among them, and the machines among these."""

    path: str
    items: tuple[Parsed, ...]
    facts: tuple[Fact, ...]
    machines: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """What a collector made of several documents, and which others it read for that, with the digest each had."""

    items: Sequence[Parsed]
    placed: tuple[Placed, ...]
    """The same items in the same order."""
    gap: str
    """Why this is not all; empty if it is."""
    reads: tuple[tuple[str, bytes | None], ...]


class Templates:
    """What the same collectors have made of documents before: of each, and of several together."""

    def __init__(self, kept: Kept | None = None) -> None:
        self._kept = kept
        self._templates: dict[tuple[str, bytes], Template] = {}
        self.joined: dict[tuple[object, ...], Joined] = {}
        """By the collector's index and the documents whose pieces were joined."""

    def has(self, path: str, digest: bytes) -> bool:
        """Whether a document need not be read to be parsed. One that was cut off is: its reader must tell of that."""
        template = self._templates.get((path, digest))
        if template is not None:
            return template.size < MAX_FILE
        return self._kept is not None and self._kept.has(path, digest)

    def find(self, path: str, digest: bytes) -> Template | None:
        """What a document yielded; None if it was not parsed yet."""
        template = self._templates.get((path, digest))
        if template is None and self._kept is not None:
            template = self._kept.find(path, digest)
            if template is not None:
                self._templates[path, digest] = template
        return template

    def add(self, template: Template) -> None:
        """Keeps what a document has yielded; for other runs only if it is all."""
        self._templates[template.path, template.digest] = template
        if not template.gaps and template.size < MAX_FILE and self._kept is not None:
            self._kept.add(template)


class Bound(NamedTuple):
    """A document at a place: the template and where it was found."""

    file: File
    template: Template
    collected_at: str | None


@dataclass(frozen=True, slots=True)
class Combined:
    """Items that a collector made from several documents of one source (or of all)."""

    collector: int
    source: str
    joined: Joined

    @property
    def items(self) -> Sequence[Parsed]:
        """The items, in the collector's order."""
        return self.joined.items

    @property
    def gap(self) -> str:
        """Why it is not all that there is; empty if it is."""
        return self.joined.gap


@dataclass(slots=True)
class Reading:
    """An estate, read and parsed, before anything is linked."""

    tree: Tree
    collectors: Sequence[Collector]
    bound: list[Bound] = field(default_factory=list)
    combined: list[Combined] = field(default_factory=list)
    coverage: list[Coverage] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    by_path: dict[tuple[str, str], Bound] = field(default_factory=dict)
    """By source and path there."""
    malformed: list[tuple[str, int, Malformed]] = field(default_factory=list)
    """(estate path, collector index, item), for coverage and for rules about files that a program ignores."""
    malformed_together: list[tuple[str, int, Malformed]] = field(default_factory=list)
    """The same of what was joined from several documents."""
    again: Callable[[Bound], Template] | None = None
    """Of a reading that was kept from another run, whose templates have no items: what gives them with theirs."""

    def items_of(self, bound: Bound) -> list[tuple[int, Parsed]]:
        """The items of a document, also where the reading was kept from another run."""
        return (self.again(bound) if self.again is not None else bound.template).items

    def content(self, bound: Bound) -> bytes:
        """The bytes of a document, from memory or read again. Raises OSError."""
        return bound.template.content if bound.template.content is not None else self.tree.read(bound.file)

    def contents(self, bounds: Sequence[Bound]) -> Iterator[bytes | OSError]:
        """The bytes of several documents, in their order; for one that can't be read again, why."""
        again = self.tree.read_all([bound.file for bound in bounds if bound.template.content is None])
        for bound in bounds:
            yield bound.template.content if bound.template.content is not None else next(again)


def read_estate(
    tree: Tree,
    collectors: Sequence[Collector],
    *,
    progress: Callable[[int], None] = lambda _: None,
    changed: Iterable[File] | None = None,
    known: Templates | None = None,
) -> Reading:
    """Reads and parses all files of an estate. One bad file, or one crashing collector, never stops the rest.

    `known` holds what the same collectors parsed before, and gets what is parsed now.
    """
    reading = Reading(tree, collectors)
    templates = known if known is not None else Templates()
    tree.known = templates.has
    with _Watchdog() as watchdog:
        _read(reading, changed if changed is not None else tree.files(), progress, watchdog, templates)
        _combine(reading, watchdog, templates)
    reading.coverage.extend(tree.coverage)
    return reading


def _read(
    reading: Reading,
    files: Iterable[File],
    progress: Callable[[int], None],
    watchdog: _Watchdog,
    templates: Templates,
) -> None:
    tree = reading.tree
    contents: dict[bytes, bytes] = {}
    linked: dict[tuple[str, str], Template] = {}
    kept = 0
    for count, file in enumerate(files, 1):
        if count % 256 == 0:
            progress(count)
        # In a pack equal files are links to one: it is read and compared once.
        if tree.content_addressed and (same := linked.get((file.path, file.real or file.estate_path))) is not None:
            _bind(reading, file, same)
            continue
        template = templates.find(file.path, file.digest) if file.digest else None
        if template is None:
            try:
                content = tree.read(file)
            except OSError as error:
                _gap(reading, file, Area.COVERAGE, Outcome.DENIED, f"the file can't be read: {error.strerror}")
                continue
            digest = file.digest or tree.digest(file, content)
            template = templates.find(file.path, digest)
            if template is None:
                head = content[:HEAD]
                template = Template(file.path, digest, len(content), not is_binary(head), sealed(head))
                _parse(reading, template, content, file, watchdog)
                templates.add(template)
            if template.content is None:
                if digest in contents:
                    template.content = contents[digest]
                elif kept + len(content) <= MAX_KEPT:
                    template.content = contents[digest] = content
                    kept += len(content)
        if tree.content_addressed:
            linked[file.path, file.real or file.estate_path] = template
        _bind(reading, file, template)


def _bind(reading: Reading, file: File, template: Template) -> None:
    bound = Bound(file, template, reading.tree.collected(file.estate_path))
    reading.bound.append(bound)
    reading.by_path[file.source, file.path] = bound
    for area, detail in template.gaps:
        _gap(reading, file, area, Outcome.PARTIAL, detail)
    for index, item in template.malformed:
        reading.malformed.append((file.estate_path, index, item))


def read_again(reading: Reading, bound: Bound, templates: Templates) -> Template:
    """What a document yields that an earlier run has read: looked up, or else parsed. Raises OSError."""
    template = bound.template
    found = templates.find(template.path, template.digest)
    if found is None:
        found = Template(template.path, template.digest, template.size, template.text, template.sealed)
        with _Watchdog() as watchdog:
            _parse(reading, found, reading.content(bound), bound.file, watchdog)
        templates.add(found)
        for area, detail in found.gaps:
            _gap(reading, bound.file, area, Outcome.PARTIAL, detail)
    return found


def _gap(reading: Reading, file: File, area: Area, outcome: Outcome, detail: str) -> None:
    where = file.estate_path
    reading.coverage.append(Coverage(file.source, area, where, outcome, detail=detail, path=where))


def _parse(reading: Reading, template: Template, content: bytes, file: File, watchdog: _Watchdog) -> None:
    head = content[:HEAD]
    document = Document(file.path, content)
    found: list[Parsed] = []
    for index, collector in enumerate(reading.collectors):
        try:
            if not collector.recognizes(file.path, head):
                continue
            template.claimed = True
            gave_up = _collect(partial(collector.parse, document), found, watchdog, MAX_SECONDS)
            if gave_up:
                detail = f"{collector.name}: given up {gave_up}; the rest was scanned for mentions only"
                template.gaps += ((collector.area, detail),)
        # A collector may be somebody's plugin: whatever it raises must end in the report.
        except Exception as error:  # noqa: BLE001
            what = f"collector {collector.name} on {file.estate_path}"
            hint = "The file was scanned for mentions only. Please report this, with the file if you can."
            reading.failures.append(Failure(what, f"{type(error).__name__}: {error}", hint))
            template.gaps += ((collector.area, f"{collector.name} crashed; the rest was scanned for mentions only"),)
        template.items.extend((index, item) for item in found)
        found.clear()
    template.sort()


def _collect(make: Callable[[], Iterable[Parsed]], found: list[Parsed], watchdog: _Watchdog, seconds: float) -> str:
    """Takes items until there are no more or it is enough; returns why it gave up, or nothing.

    What was yielded before is in `found`, also if the collector raises. Of many malformed places the rest is counted.
    """
    gave_up = ""
    try:
        watchdog.start(seconds)
        try:
            # In a call, not in place: the jump at the end of a loop is outside its `try` for CPython 3.12 and later,
            # and a signal that arrives on it would go past the handler.
            gave_up = _take(make, found, watchdog)
        finally:
            watchdog.stop()
    except (_TimeIsUp, Exception) as error:
        watchdog.stop()
        if not (watchdog.rang or isinstance(error, _TimeIsUp)):
            raise
        gave_up = f"after {seconds:.0f} s"
    return gave_up


def _take(make: Callable[[], Iterable[Parsed]], found: list[Parsed], watchdog: _Watchdog) -> str:
    malformed = 0
    last: Malformed | None = None
    try:
        for number, item in enumerate(make()):
            if type(item) is Malformed and (malformed := malformed + 1) > MAX_MALFORMED:
                last = item
            else:
                found.append(item)
            if number >= MAX_ITEMS:
                return f"after {MAX_ITEMS:,} items"
            if number % 64 == 0 and watchdog.expired:
                raise _TimeIsUp
    finally:
        if last is not None:
            reason = f"and {malformed - MAX_MALFORMED:,} more places that could not be read; this is the last"
            found.append(Malformed(last.where, reason, whole=last.whole))
    return ""


def _combine(reading: Reading, watchdog: _Watchdog, templates: Templates) -> None:
    """Gives each collector the fragments of one source together; equal sources are combined once."""
    per: dict[tuple[int, str], list[tuple[Bound, Fragment]]] = {}
    for bound in reading.bound:
        for index, item in bound.template.fragments:
            source = "" if reading.collectors[index].across_sources else bound.file.source
            per.setdefault((index, source), []).append((bound, item))
    failed: dict[tuple[object, ...], Joined] = {}
    for (index, source), pieces in sorted(per.items(), key=lambda entry: entry[0]):
        key = _pieces(reading, index, pieces)
        known = templates.joined.get(key)
        if known is None or not _same(reading, source, known.reads):
            known = failed.get(key)
        if known is None:
            known = _join(reading, index, source, pieces, watchdog)
            if not known.gap:
                templates.joined[key] = known
            elif not known.reads:
                failed[key] = known
        reading.combined.append(Combined(index, source, known))
        for path, beside, _, _ in known.placed:
            reading.malformed_together += [
                (estate_path_of(reading, source, path), index, item) for item in beside if type(item) is Malformed
            ]


def _pieces(reading: Reading, index: int, pieces: Iterable[tuple[Bound, Fragment]]) -> tuple[object, ...]:
    """What the joining of pieces depends on: the documents that they are from, and for some where these are."""
    if reading.collectors[index].across_sources:
        return index, *dict.fromkeys((b.file.estate_path, b.file.source, b.template.digest) for b, _ in pieces)
    return index, *dict.fromkeys((b.file.path, b.template.digest) for b, _ in pieces)


def _same(reading: Reading, source: str, reads: Iterable[tuple[str, bytes | None]]) -> bool:
    """Whether all that was read for something is in this source as it was."""
    for path, digest in reads:
        bound = reading.by_path.get((source, path))
        if (bound.template.digest if bound is not None else None) != digest:
            return False
    return True


def _join(
    reading: Reading, index: int, source: str, pieces: Sequence[tuple[Bound, Fragment]], watchdog: _Watchdog
) -> Joined:
    """What a collector makes of pieces."""
    collector = reading.collectors[index]
    fragments = [
        Fragment(
            piece.kind,
            piece.value,
            piece.where,
            bound.file.source,
            bound.file.estate_path if collector.across_sources else bound.file.path,
        )
        for bound, piece in pieces
    ]
    joined: list[Parsed] = []
    reads: dict[str, bytes | None] = {}
    gap = ""
    pieces_of = f"{len(fragments)} pieces of {source or 'the tree'}"
    try:
        make = partial(collector.combine, fragments, _reader(reading, source, reads))
        if gave_up := _collect(make, joined, watchdog, MAX_COMBINE_SECONDS):
            gap = f"{collector.name}: given up {gave_up}, joining {pieces_of}"
            reading.coverage.append(Coverage(source, collector.area, collector.title, Outcome.PARTIAL, detail=gap))
    except Exception as error:  # noqa: BLE001
        what = f"collector {collector.name}, joining {pieces_of}"
        hint = "Please report this, with the files if you can."
        reading.failures.append(Failure(what, f"{type(error).__name__}: {error}", hint))
        gap = f"{collector.name} crashed, joining {pieces_of}"
    return Joined(joined, tuple(_placed(joined)), gap, tuple(reads.items()))


def _placed(items: Iterable[Parsed]) -> Iterator[Placed]:
    for path, together in groupby(items, _path_of):
        beside = tuple(together)
        facts = facts_of(beside)
        yield Placed(path, beside, facts, machines_of(facts))


def _path_of(item: Parsed) -> str:
    return item.path if type(item) is Fragment else item.where.path


def _reader(reading: Reading, source: str, reads: dict[str, bytes | None]) -> Callable[[str], bytes | None]:
    def read(path: str) -> bytes | None:
        normal = _normal(path)
        if not normal:
            return None
        bound = reading.by_path.get((source, normal))
        reads[normal] = bound.template.digest if bound is not None else None
        if bound is None:
            return None
        try:
            return reading.content(bound)
        except OSError:
            return None

    return read


def _normal(path: str) -> str | None:
    """A path without `.` and `..`; None if it leaves its source."""
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        if part == "..":
            if not parts or parts[-1] == "/":
                return None
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/" + "/".join(parts[1:]) if parts and parts[0] == "/" else "/".join(parts)


def estate_path_of(reading: Reading, source: str, path: str) -> str:
    """Where a path of a source lies in the estate."""
    return f"hosts/{source}{path}" if source else path


def items(reading: Reading) -> Iterator[tuple[str, str, str | None, int, Parsed]]:
    """All parsed items with their source, estate path and time: first those of documents, then the combined ones."""
    for bound in reading.bound:
        for index, item in bound.template.items:
            yield bound.file.source, bound.file.estate_path, bound.collected_at, index, item
    for combined in reading.combined:
        for path, beside, _, _ in combined.joined.placed:
            place = estate_path_of(reading, combined.source, path)
            for item in beside:
                yield combined.source, place, None, combined.collector, item


def machines(reading: Reading) -> Iterator[tuple[str, str, str | None, Entity]]:
    """All that describes a machine, as `items` gives it."""
    for bound in reading.bound:
        for item in bound.template.machines:
            yield bound.file.source, bound.file.estate_path, bound.collected_at, item
    for combined in reading.combined:
        for path, _, _, found in combined.joined.placed:
            for item in found:
                yield combined.source, estate_path_of(reading, combined.source, path), None, item


def documents(reading: Reading) -> Iterator[tuple[str, str, str | None, Sequence[Fact]]]:
    """All facts, those of a document together: its source, estate path and time."""
    for bound in reading.bound:
        if bound.template.facts:
            yield bound.file.source, bound.file.estate_path, bound.collected_at, bound.template.facts
    for combined in reading.combined:
        for path, _, facts, _ in combined.joined.placed:
            if facts:
                yield combined.source, estate_path_of(reading, combined.source, path), None, facts
