"""From files to parsed items: each distinct file once, and nothing that a collector does stops the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import ClassVar

import pytest

from auditor.api import (
    THIS_HOST,
    Area,
    Collector,
    Dependency,
    Document,
    Fragment,
    Kind,
    Malformed,
    Outcome,
    Parsed,
    Read,
    Ref,
    Relation,
    Where,
)
from auditor.capture import reading as readings
from auditor.capture.reading import MAX_MALFORMED, Reading, items, read_estate
from auditor.capture.tree import Tree


class Recorder(Collector):
    """Reads every file whose name ends in its own; what it does is up to each test."""

    name: ClassVar[str] = "recorder"
    title: ClassVar[str] = "test files"
    area: ClassVar[Area] = Area.SCHEDULES
    provides: ClassVar[frozenset[Relation]] = frozenset({Relation.RUNS_ON})

    def __init__(self, ending: str = ".job") -> None:
        self.ending = ending
        self.parsed: list[str] = []
        self.combined: list[tuple[str, ...]] = []

    def recognizes(self, path: str, head: bytes) -> bool:
        return path.endswith(self.ending)

    def parse(self, document: Document) -> Iterator[Parsed]:
        self.parsed.append(document.path)
        yield Dependency(Ref(Kind.JOB, document.path), THIS_HOST, Relation.RUNS_ON, Where(1, "x"))
        yield Fragment("piece", document.content, Where(1))

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        self.combined.append(tuple(sorted(f"{one.source}:{one.path}" for one in fragments)))
        yield from ()


class Raises(Recorder):
    name: ClassVar[str] = "raises"

    def parse(self, document: Document) -> Iterator[Parsed]:
        yield Malformed(Where(1), "first")
        raise KeyError("boom")

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        raise RecursionError("deep")


class Endless(Recorder):
    name: ClassVar[str] = "endless"

    def parse(self, document: Document) -> Iterator[Parsed]:
        while True:
            yield Malformed(Where(1), "again")


class Silent(Recorder):
    """Never ends and never yields, and catches what it can."""

    name: ClassVar[str] = "silent"

    def parse(self, document: Document) -> Iterator[Parsed]:
        yield Malformed(Where(1), "first")
        while True:
            try:
                time.sleep(0.001)
            except Exception:  # noqa: BLE001
                continue

    def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
        while True:
            time.sleep(0.001)


class Callback(Recorder):
    """Time runs out inside a library that turns every exception into one of its own."""

    name: ClassVar[str] = "callback"

    def parse(self, document: Document) -> Iterator[Parsed]:
        yield Malformed(Where(1), "first")
        try:
            time.sleep(60)
        except BaseException as error:
            raise SystemError("returned a result with an exception set") from error


class Repeats(Silent):
    name: ClassVar[str] = "repeats"

    def parse(self, document: Document) -> Iterator[Parsed]:
        return repeat(Malformed(Where(1), "again"))


class Fragments(Silent):
    name: ClassVar[str] = "fragments"

    def parse(self, document: Document) -> Iterator[Parsed]:
        yield Fragment("piece", document.content, Where(1))


def make(root: Path, files: dict[str, str]) -> Tree:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return Tree.open(root, has_inventory=True)


def gaps(reading: Reading) -> list[tuple[str, str]]:
    return [(one.path, one.detail) for one in reading.coverage if one.outcome is not Outcome.OK]


def test_equal_files_are_parsed_once(tmp_path: Path) -> None:
    files = {f"hosts/h{number}/etc/a.job": "same" for number in range(20)}
    files |= {"hosts/h3/etc/b.job": "same", "hosts/h4/etc/a.job": "other", "a.job": "same"}
    recorder = Recorder()
    reading = read_estate(make(tmp_path, files), [recorder])
    # Once for each path and content: a parser may go by the path.
    assert sorted(recorder.parsed) == ["/etc/a.job", "/etc/a.job", "/etc/b.job", "a.job"]
    assert len(reading.bound) == 22
    found = [(source, path) for source, path, _, _, item in items(reading) if isinstance(item, Dependency)]
    assert len(found) == 22
    assert ("h7", "hosts/h7/etc/a.job") in found


def test_equal_hosts_are_combined_once(tmp_path: Path) -> None:
    files = {f"hosts/h{number}/etc/{name}.job": name for number in range(20) for name in "ab"}
    files["hosts/h5/etc/c.job"] = "c"
    recorder = Recorder()
    reading = read_estate(make(tmp_path, files), [recorder])
    assert len(recorder.combined) == 2
    assert {one.source for one in reading.combined} == {f"h{number}" for number in range(20)}


def test_across_sources_all_pieces_come_together(tmp_path: Path) -> None:
    class Across(Recorder):
        across_sources: ClassVar[bool] = True

    recorder = Across()
    read_estate(make(tmp_path, {"hosts/a/etc/x.job": "1", "hosts/b/etc/x.job": "1", "y.job": "2"}), [recorder])
    assert recorder.combined == [(":y.job", "a:hosts/a/etc/x.job", "b:hosts/b/etc/x.job")]


def test_a_crash_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    recorder = Recorder()
    reading = read_estate(make(tmp_path, {"hosts/h/etc/a.job": "x", "b.job": "y"}), [Raises(), recorder])
    assert sorted(recorder.parsed) == ["/etc/a.job", "b.job"]
    assert [(one.what, one.error) for one in reading.failures][:2] == [
        ("collector raises on b.job", "KeyError: 'boom'"),
        ("collector raises on hosts/h/etc/a.job", "KeyError: 'boom'"),
    ]
    assert [item.reason for _, _, item in reading.malformed] == ["first", "first"]


def test_a_crash_while_joining_is_reported(tmp_path: Path) -> None:
    class JoinRaises(Raises):
        def parse(self, document: Document) -> Iterator[Parsed]:
            yield Fragment("piece", 1, Where(1))

    reading = read_estate(make(tmp_path, {"hosts/h/etc/a.job": "x"}), [JoinRaises()])
    (failure,) = reading.failures
    assert "joining 1 pieces of h" in failure.what
    assert failure.error == "RecursionError: deep"


@pytest.mark.parametrize("collector", [Endless(), Silent(), Callback()], ids=lambda one: one.name)
def test_a_collector_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: Collector) -> None:
    monkeypatch.setattr(readings, "MAX_SECONDS", 0.2)
    recorder = Recorder()
    reading = read_estate(make(tmp_path, {"a.job": "x", "b.job": "y"}), [collector, recorder])
    assert recorder.parsed == ["a.job", "b.job"]
    assert [path for path, detail in gaps(reading) if "given up after" in detail] == ["a.job", "b.job"]
    assert not reading.failures
    assert all(one.area is Area.SCHEDULES for one in reading.coverage)


def test_the_end_never_gets_past_the_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # CPython 3.12 and later leave the jump at the end of a loop out of its `try`: a signal there went through.
    monkeypatch.setattr(readings, "MAX_SECONDS", 0.003)
    files = {f"{number}.job": str(number) for number in range(100)}
    assert len(gaps(read_estate(make(tmp_path, files), [Repeats()]))) == 100


def test_joining_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "MAX_COMBINE_SECONDS", 0.2)
    reading = read_estate(make(tmp_path, {"hosts/h/etc/a.job": "x"}), [Fragments()])
    (one,) = reading.coverage
    assert (one.source, one.outcome) == ("h", Outcome.PARTIAL)
    assert "given up after" in one.detail


def test_too_many_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "MAX_ITEMS", 50)
    reading = read_estate(make(tmp_path, {"a.job": "x"}), [Endless()])
    assert [detail for _, detail in gaps(reading)] == [
        "endless: given up after 50 items; the rest was scanned for mentions only"
    ]


def test_a_file_that_is_wrong_throughout_is_told_in_few_lines(tmp_path: Path) -> None:
    class Wrong(Recorder):
        def parse(self, document: Document) -> Iterator[Parsed]:
            for line in range(1, 5001):
                yield Malformed(Where(line), "wrong")

    reading = read_estate(make(tmp_path, {"a.job": "x"}), [Wrong()])
    assert len(reading.malformed) == MAX_MALFORMED + 1
    _, _, last = reading.malformed[-1]
    assert last.reason.startswith(f"and {5000 - MAX_MALFORMED:,} more")
    assert last.where.line == 5000


def test_on_another_thread_the_limit_holds_between_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "MAX_SECONDS", 0.2)
    tree = make(tmp_path, {"a.job": "x"})
    results: list[Reading] = []
    thread = threading.Thread(target=lambda: results.append(read_estate(tree, [Endless()])))
    thread.start()
    thread.join()
    assert "given up" in gaps(results[0])[0][1]


def test_joined_pieces_read_only_their_own_source(tmp_path: Path) -> None:
    seen: dict[str, bytes | None] = {}

    class Includes(Recorder):
        def combine(self, fragments: Sequence[Fragment], read: Read) -> Iterator[Parsed]:
            for path in ("/etc/b.txt", "/etc/../etc/./b.txt", "/../../x", "../../secret", "/etc/none", "secret"):
                seen[path] = read(path)
            yield from ()

    make(tmp_path, {"secret": "s", "hosts/other/etc/none": "n"})
    read_estate(make(tmp_path, {"hosts/h/etc/a.job": "x", "hosts/h/etc/b.txt": "b"}), [Includes()])
    assert seen == {
        "/etc/b.txt": b"b",
        "/etc/../etc/./b.txt": b"b",
        "/../../x": None,
        "../../secret": None,
        "/etc/none": None,
        "secret": None,
    }


def test_text_that_is_not_kept_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "MAX_KEPT", 0)
    reading = read_estate(make(tmp_path, {"a.job": "x"}), [Recorder()])
    (bound,) = reading.bound
    assert bound.template.content is None
    assert reading.content(bound) == b"x"


def test_binary_and_text(tmp_path: Path) -> None:
    make(tmp_path, {"text": "x", "empty": ""})
    for name, content in {
        "binary": b"\x7fELF\x00\x00\x01",
        "utf16": "web01 and more".encode("utf-16"),
        "latin1": b"sch\xf6n",
        "mixed": b"sch\xf6n and sch\xc3\xb6n",
    }.items():
        (tmp_path / name).write_bytes(content)
    reading = read_estate(Tree.open(tmp_path, has_inventory=False), [])
    assert {bound.file.path for bound in reading.bound if not bound.template.text} == {"binary"}
