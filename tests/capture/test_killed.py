"""A collection that is killed at any moment leaves a snapshot that can be read and continued, packed or not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from auditor.capture import pack as packs
from auditor.capture.estates import open_estate
from auditor.capture.snapshot import Record, Snapshot
from auditor.cli.main import main
from auditor.errors import EstateError, UsageError
from auditor.model import Outcome

HOST = "old.example.net"
INVENTORY = (
    f"version: 1\nhosts: [{{name: {HOST}, lifecycle: retired}}]\nsources: [{{kind: tls, endpoints: ['127.0.0.1:1']}}]\n"
)
WRITER = """
import hashlib, sys
from pathlib import Path
from auditor.capture.snapshot import Record, Snapshot
from auditor.model import Outcome

root = Path(sys.argv[1])
into = Snapshot.open(root, inventory=b"version: 1\\n", started_at="2026-11-23T00:00:00Z", resume=root.exists())
for number in range(1_000_000):
    print(number, flush=True)
    text = f"{number}\\n" * 200
    path = f"hosts/h{number % 7}/etc/cron.d/job{number}"
    into.store(path, (hashlib.sha256(text.encode()).hexdigest() + "\\n" + text).encode())
    if number % 3 == 0:
        into.link(f"hosts/h{number % 7}/etc/link{number}", path)
    into.record([Record(path, Outcome.OK, "2026-11-23T00:00:00Z"), Record("hosts/h1", Outcome.PARTIAL, "", "x" * 300)])
"""


def kill(words: list[str], lines: int, after: float = 0.0) -> None:
    """Starts a program, waits until it has printed so many lines and a little longer, and kills it."""
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(lines):
            assert process.stdout.readline()
        time.sleep(after)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def test_every_file_is_whole_and_the_next_run_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "snapshot"
    before = 0
    for number in range(6):
        kill(["-c", WRITER, str(root)], 1 + 20 * number)
        tree = open_estate(root)
        files = [one for one in tree.files() if one.path.startswith("/etc/cron.d/")]
        for one in files:
            digest, _, text = tree.read(one).decode().partition("\n")
            assert hashlib.sha256(text.encode()).hexdigest() == digest, one.estate_path
        assert len(files) >= before
        before = len(files)
        # A record speaks of what is there, and at most the last line of the records is cut off.
        recorded = [path for path in tree.captures if "/cron.d/" in path]
        assert set(recorded) <= {one.estate_path for one in files}
        bad = [one for one in tree.coverage if "a record that can't be read" in one.what]
        assert len(bad) <= 1
    into = Snapshot.open(root, inventory=b"version: 1\n", started_at="", resume=True)
    into.record([Record("hosts/h1", Outcome.OK, "2026-11-23T01:00:00Z")])
    into.close()
    assert before >= 100
    tree = open_estate(root)
    assert not [one for one in tree.coverage if "a record that can't be read" in one.what]
    assert tree.captures["hosts/h1"].outcome is Outcome.OK
    assert not (root / ".incomplete").exists()


def collect(estate: Path, *words: str) -> int:
    return main(["collect", "--quiet", "--estate", str(estate), *words])


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    (tmp_path / "estate").mkdir()
    (tmp_path / "estate/inventory.yaml").write_text(INVENTORY)
    return tmp_path / "estate"


def test_one_file_that_the_audit_reads(estate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "monday.sqlar"
    assert collect(estate, "--pack", "-o", str(target)) == 4
    out = capsys.readouterr().out
    assert f"auditor checklist HOST --estate {target}" in out
    assert not packs.collecting(target).exists()
    assert target.stat().st_mode & 0o077 == 0
    assert main(["audit", "-q", "--estate", str(target), "--format", "json"]) == 4
    report = json.loads(capsys.readouterr().out)
    assert "tls/tls-1.jsonl" in [one["path"] for one in report["coverage"]]
    with closing(sqlite3.connect(target)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlar")]
    assert {"inventory.yaml", "captures.jsonl", "snapshot.json"} <= set(names)


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the sqlite3 program is missing")
def test_the_program_of_sqlite_reads_it(estate: Path, tmp_path: Path) -> None:
    target = tmp_path / "monday.sqlar"
    collect(estate, "--pack", "-o", str(target))
    (tmp_path / "out").mkdir()
    subprocess.run(["sqlite3", target, "-Ax"], cwd=tmp_path / "out", check=True)
    assert (tmp_path / "out/inventory.yaml").read_text() == INVENTORY
    assert main(["audit", "-q", "--estate", str(tmp_path / "out"), "-o", str(tmp_path / "report")]) == 4


def test_a_packed_one_goes_on(estate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "monday.sqlar"
    collect(estate, "--pack", "-o", str(target))
    first = open_estate(target)
    assert collect(estate, "--pack", "-o", str(target)) == 2
    assert "Continue it with --resume" in capsys.readouterr().err
    assert collect(estate, "--pack", "-o", str(target), "--resume") == 4
    again = open_estate(target)
    assert set(first.captures) == set(again.captures)
    assert again.exists("tls/tls-1.jsonl")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["estate", "monday.sqlar"]


def test_killed_before_it_was_packed(estate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "monday.sqlar"
    left = packs.collecting(target)
    kill(["-c", WRITER, str(left)], 50)
    assert main(["audit", "-q", "--estate", str(target)]) == 2
    assert "its collection was interrupted" in capsys.readouterr().err
    count = len(list(open_estate(left).files()))
    assert collect(estate, "--pack", "-o", str(target)) == 2
    assert collect(estate, "--pack", "-o", str(target), "--resume") == 4
    assert len(list(open_estate(target).files())) >= count
    assert not left.exists()


def test_two_runs_at_once(tmp_path: Path) -> None:
    """The second would take away what the first has begun to write."""
    root = tmp_path / "snapshot"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline()
        with pytest.raises(UsageError, match="being written by another run"):
            Snapshot.open(root, inventory=b"version: 1\n", started_at="", resume=True)
        assert first.stdout.readline()
        first.kill()
    into = Snapshot.open(root, inventory=b"version: 1\n", started_at="", resume=True)
    into.close()


def test_a_second_run_while_the_first_packs(estate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take out of the directory, or put into it, what is being packed."""
    target = tmp_path / "monday.sqlar"
    finish = packs.finish

    def meanwhile(root: Path, place: Path) -> packs.Packed:
        with pytest.raises(UsageError, match="being written by another run"):
            Snapshot.open(packs.prepare(place, resume=True), inventory=b"version: 1\n", started_at="", resume=True)
        return finish(root, place)

    monkeypatch.setattr(packs, "finish", meanwhile)
    collect(estate, "--pack", "-o", str(target))
    assert target.exists()
    monkeypatch.undo()
    assert collect(estate, "--pack", "-o", str(target), "--resume") == 4
    assert not packs.collecting(target).exists()


PACKER = """
import sys
from pathlib import Path
from auditor.capture.pack import finish

print("begun", flush=True)
finish(Path(sys.argv[1]), Path(sys.argv[2]))
print("packed", flush=True)
import time
time.sleep(3600)
"""


def test_killed_while_it_is_packed(tmp_path: Path) -> None:
    target = tmp_path / "monday.sqlar"
    left = packs.collecting(target)
    kill(["-c", WRITER, str(left)], 300)
    count = len(list(open_estate(left).files()))
    for after in (0.0, 0.05, 0.1, 0.2):
        kill(["-c", PACKER, str(left), str(target)], 1, after)
        whole = target if target.exists() else left
        assert len(list(open_estate(whole).files())) == count
        if target.exists():
            break


def test_killed_while_what_was_packed_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the directory must not be taken for all that was collected."""
    target = tmp_path / "monday.sqlar"
    left = packs.collecting(target)
    kill(["-c", WRITER, str(left)], 50)
    count = len(list(open_estate(left).files()))
    remove = shutil.rmtree

    def killed(path: Path) -> None:
        remove(path / "hosts")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(packs.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            packs.finish(left, target)
    assert len(list(open_estate(target).files())) == count
    again = packs.prepare(target, resume=True)
    assert len(list(open_estate(again).files())) == count
    packs.finish(again, target)
    assert len(list(open_estate(target).files())) == count
    assert sorted(one.name for one in tmp_path.iterdir()) == ["monday.sqlar"]


def test_what_a_killed_run_has_left_is_in_no_way(tmp_path: Path) -> None:
    """In a container each run may have the same number."""
    target = tmp_path / "monday.sqlar"
    left = packs.collecting(target)
    kill(["-c", WRITER, str(left)], 50)
    count = len(list(open_estate(left).files()))
    for name in (f".{target.name}.{os.getpid()}", f"{left.name}.packing"):
        (tmp_path / name).write_text("half of it")
    packs.finish(left, target)
    assert len(list(open_estate(target).files())) == count


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.sqlar").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        packs.prepare(tmp_path / "mine.sqlar", resume=False)
    with pytest.raises(EstateError):
        packs.prepare(tmp_path / "mine.sqlar", resume=True)
    (tmp_path / "hand").mkdir()
    (tmp_path / "hand/inventory.yaml").write_text("version: 1\n")
    packs.pack(tmp_path / "hand", tmp_path / "hand.sqlar")
    with pytest.raises(UsageError, match="was not collected"):
        packs.prepare(tmp_path / "hand.sqlar", resume=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["hand", "hand.sqlar", "mine.sqlar"]
