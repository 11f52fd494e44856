"""Records that are only ever added to: what is found, what can't be, and what a killed write leaves."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.errors import UsageError
from auditor.policy.chain import FIRST, Chain, Record, append, digest, read, read_bytes, sealed


def line(record: Record) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def chain(count: int) -> list[bytes]:
    lines = []
    previous = FIRST
    for number in range(1, count + 1):
        record = sealed({"kind": "note", "text": f"n°{number}", "time": "2026-06-01T00:00:00Z"}, number, previous)
        previous = str(record["hash"])
        lines.append(line(record))
    return lines


LINES = chain(5)
WHOLE = b"".join(LINES)


def flaws(content: bytes) -> list[int]:
    return [flaw.line for flaw in read_bytes(content).flaws]


def test_as_written() -> None:
    found = read_bytes(WHOLE)
    assert found.flaws == ()
    assert [record["number"] for record in found.records] == [1, 2, 3, 4, 5]
    assert found.head == found.records[-1]["hash"]
    assert read_bytes(b"") == Chain((), (), 0)


@settings(max_examples=300)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_any_other_byte_is_found(at: int, change: int) -> None:
    content = bytearray(WHOLE)
    content[at] ^= change
    assert flaws(bytes(content))


@pytest.mark.parametrize("gone", [0, 1, 2, 3])
def test_a_line_that_was_taken_out(gone: int) -> None:
    assert flaws(b"".join(one for at, one in enumerate(LINES) if at != gone)) == [gone + 1, *range(gone + 2, 5)]


def test_another_order_a_line_twice_and_lines_of_another_file() -> None:
    assert flaws(b"".join([LINES[0], LINES[2], LINES[1], *LINES[3:]]))
    assert flaws(b"".join([*LINES[:2], LINES[1], *LINES[2:]]))
    other = chain(6)
    forged = sealed({"kind": "note", "text": "another"}, 3, FIRST)
    assert flaws(b"".join([*LINES[:2], line(forged), *LINES[3:]])) == [3, 4]
    assert flaws(b"".join([*LINES, other[5]])) == []
    assert flaws(b"".join([*LINES[:3], b"\n", *LINES[3:]])) == [4, 5, 6]


def test_a_record_that_was_changed_with_its_hash() -> None:
    record = json.loads(LINES[1])
    record["text"] = "changed"
    record["hash"] = digest(record)
    assert flaws(b"".join([LINES[0], line(record), *LINES[2:]])) == [3]


def test_the_end_that_was_taken_away_can_not_be_seen() -> None:
    """Only a hash that was noted elsewhere shows it: the command line is told so, and so is the documentation."""
    assert flaws(b"".join(LINES[:3])) == []


@pytest.mark.parametrize("text", ["[1]", '{"hash": 1}', "null", "[" * 100_000, '{"hash":"x","a":NaN}', "\x00"])
def test_lines_that_are_no_records(text: str) -> None:
    assert flaws(LINES[0] + text.encode() + b"\n" + LINES[1])[0] == 2


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_records_or_flaws(content: bytes) -> None:
    found = read_bytes(content)
    assert found.flaws or not content


def note(records: Sequence[Record]) -> Record:
    return {"kind": "note", "seen": len(records)}


@pytest.mark.parametrize("left", [1, 20, len(LINES[4]) - 1])
def test_a_write_that_was_killed_leaves_a_file_that_can_be_read_and_written(tmp_path: Path, left: int) -> None:
    file = tmp_path / "run.jsonl"
    file.write_bytes(b"".join(LINES[:4]) + LINES[4][:left])
    found = read(file)
    assert len(found.records) == 4
    assert [flaw.line for flaw in found.flaws] == [5]
    assert "cut off" in found.flaws[0].what
    added = append(file, note)
    assert (added["number"], added["seen"], added["cut_off_bytes"]) == (5, 4, left)
    assert read(file).flaws == ()


def test_nothing_is_added_to_what_was_changed(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    changed = WHOLE.replace(b"2026-06-01", b"2026-06-02", 1)
    file.write_bytes(changed)
    with pytest.raises(UsageError, match=r"run\.jsonl:1: this line was changed"):
        append(file, note)
    assert file.read_bytes() == changed


def _many(file: Path, count: int) -> None:
    for _ in range(count):
        append(file, note)


def test_writers_at_the_same_time(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_many, args=(file, 8)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = read(file)
    assert found.flaws == ()
    # Each was made from all that were there before it.
    assert [record["seen"] for record in found.records] == list(range(24))


def test_files_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be written"):
        append(tmp_path / "no" / "run.jsonl", note)
    with pytest.raises(UsageError):
        append(tmp_path, note)
