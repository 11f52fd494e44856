"""A packed estate reads as the directory does, is the same for the same files, and is never trusted."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import zlib
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.capture.estates import open_estate
from auditor.capture.pack import MAX_RECORDS, PackError, PackTree, pack, unpack
from auditor.capture.tree import MAX_FILE, Tree
from auditor.cli.main import main
from auditor.errors import UsageError
from auditor.model import Outcome

DAILY = b"0 3 * * * root /opt/daily\n"


def write(root: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def estate(root: Path) -> Path:
    write(
        root,
        {
            "inventory.yaml": b"version: 1\n",
            "captures.jsonl": b'{"path": "hosts/a/etc/cron.d/x", "outcome": "ok", '
            b'"collected_at": "2026-11-20T10:00:00Z"}\n{"path": "hosts/a/etc/anacrontab", "outcome": "absent"}\n',
            "hosts/a/etc/cron.d/x": DAILY,
            "hosts/b/etc/cron.d/x": DAILY,
            "hosts/b/etc/cron.d/empty": b"",
            "hosts/b/etc/cron.d/none": b"",
            "hosts/b/opt/blob": bytes(range(256)),
            "dns/z.zone": b"@ SOA a b 1 1 1 1 1\n" * 50,
            "node_modules/left/pad.js": b"never packed",
        },
    )
    (root / "hosts/c/etc").mkdir(parents=True)
    (root / "hosts/b/etc/masked.service").symlink_to("/dev/null")
    (root / "hosts/b/etc/cron.d/link").symlink_to("x")
    (root / "hosts/b/etc/lost").symlink_to("/nowhere")
    return root


def content(tree: Tree) -> list[tuple[str, str, str, bytes]]:
    return [(one.estate_path, one.source, one.path, tree.read(one)) for one in tree.files()]


def packed(tmp_path: Path) -> tuple[Tree, PackTree]:
    root = estate(tmp_path / "estate")
    pack(root, tmp_path / "e.sqlar")
    tree = open_estate(tmp_path / "e.sqlar")
    assert isinstance(tree, PackTree)
    return open_estate(root), tree


def test_a_pack_reads_as_the_directory(tmp_path: Path) -> None:
    directory, tree = packed(tmp_path)
    assert content(tree) == content(directory)
    assert tree.sources == directory.sources == {"a": ("a",), "b": ("b",), "c": ("c",)}
    assert tree.captures == directory.captures
    assert tree.skipped == directory.skipped == {"node_modules": 1}
    assert tree.inventory(100) == b"version: 1\n"
    for path in ("hosts/a", "hosts/c/etc", "hosts/b/etc/cron.d/x", "hosts/b/etc/nothing", "dns"):
        assert tree.exists(path) == directory.exists(path), path
        assert tree.is_empty(path) == directory.is_empty(path), path
        assert tree.has_file(path) == directory.has_file(path), path


def test_what_could_not_be_read_stays_known(tmp_path: Path) -> None:
    directory, tree = packed(tmp_path)
    content(directory)
    gaps = [(one.path, one.outcome, one.detail) for one in directory.coverage]
    assert [path for path, _, _ in gaps] == ["hosts/b/etc/lost"]
    assert [(one.path, one.outcome, one.detail) for one in tree.coverage] == gaps
    unpack(tmp_path / "e.sqlar", tmp_path / "out")
    assert open_estate(tmp_path / "out").captures["hosts/b/etc/lost"].outcome is Outcome.UNSUPPORTED


def test_equal_files_are_stored_once(tmp_path: Path) -> None:
    packed(tmp_path)
    database = sqlite3.connect(tmp_path / "e.sqlar")
    rows = dict(database.execute("SELECT name, CAST(data AS TEXT) FROM sqlar WHERE name LIKE 'hosts/_/etc/cron.d/%'"))
    assert rows["hosts/b/etc/cron.d/x"] == "../../../a/etc/cron.d/x"
    assert rows["hosts/b/etc/cron.d/link"] == "../../../a/etc/cron.d/x"
    assert database.execute("SELECT count(*) FROM content").fetchone() == (6,)
    database.close()


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        root = estate(tmp_path / name)
        for path in root.rglob("*"):
            if not path.is_symlink():
                os.utime(path, (1, 1) if name == "one" else (2, 2))
        pack(root, tmp_path / f"{name}.sqlar")
    assert (tmp_path / "one.sqlar").read_bytes() == (tmp_path / "two.sqlar").read_bytes()


def test_a_file_too_long_is_cut_and_told_of(tmp_path: Path) -> None:
    root = write(tmp_path / "e", {"hosts/a/etc/log": b"x" * (MAX_FILE + 10)})
    pack(root, tmp_path / "e.sqlar")
    tree = open_estate(tmp_path / "e.sqlar")
    (file,) = tree.files()
    assert file.size == MAX_FILE + 10
    assert len(tree.read(file)) == MAX_FILE
    assert [one.outcome for one in tree.coverage] == [Outcome.PARTIAL]


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1)
paths = st.lists(names.filter(lambda one: one not in (".", "..") and len(one.encode()) < 60), min_size=1, max_size=4)


@given(st.dictionaries(paths.map("/".join), st.binary(max_size=300) | st.just(DAILY), max_size=8))
@settings(max_examples=40)
def test_round_trip(files: dict[str, bytes]) -> None:
    with TemporaryDirectory() as place:
        root = Path(place)
        (root / "in").mkdir()
        for path, data in files.items():
            target = root / "in" / path
            # A path of one name may be a directory of another.
            if target.is_dir() or any(one.is_file() for one in target.parents):
                continue
            write(root / "in", {path: data})
        pack(root / "in", root / "e.sqlar")
        direct = content(open_estate(root / "in"))
        assert content(open_estate(root / "e.sqlar")) == direct
        unpack(root / "e.sqlar", root / "out")
        assert content(open_estate(root / "out")) == direct
        pack(root / "out", root / "again.sqlar")
        assert (root / "again.sqlar").read_bytes() == (root / "e.sqlar").read_bytes()


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    root = write(tmp_path / "e", {"hosts/a/etc/x": b"1"})
    (root / os.fsdecode(b"hosts/a/etc/\xff")).write_bytes(b"2")
    pack(root, tmp_path / "e.sqlar")
    assert content(open_estate(tmp_path / "e.sqlar")) == content(open_estate(root))


def test_a_record_of_what_is_no_path(tmp_path: Path) -> None:
    line = '{"path": "hosts/a/etc/\\ud800", "outcome": "denied", "collected_at": "2026-06-01T00:00:00Z"}\n'
    write(tmp_path / "e", {"hosts/a/etc/x": b"x", "captures.jsonl": line.encode()})
    pack(tmp_path / "e", tmp_path / "e.sqlar")
    for place in ("e", "e.sqlar"):
        told = tmp_path / f"{place}.json"
        words = ["--estate", str(tmp_path / place), "--format", "json", "-o", str(told)]
        assert main(["checklist", "a", "--quiet", *words]) == 4
        assert "hosts/a/etc/\ud800" in [one["path"] for one in json.loads(told.read_text())["coverage"]]


def hostile(path: Path, rows: list[tuple[object, ...]], extra: str = "") -> Path:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE sqlar(name TEXT PRIMARY KEY, mode INT, mtime INT, sz INT, data BLOB)")
    database.executemany("INSERT INTO sqlar VALUES (?, ?, 0, ?, ?)", rows)
    database.executescript(extra)
    database.commit()
    database.close()
    return path


FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o644


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "a//b", "", "a\nb", "a\0b", "x/" * 80 + "x"])
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = hostile(tmp_path / "bad.sqlar", [(name, FILE, 1, b"x"), ("good", FILE, 1, b"y")])
    tree = open_estate(path)
    assert [one.estate_path for one in tree.files()] == ["good"]
    assert [one.outcome for one in tree.coverage] == [Outcome.UNSUPPORTED]
    with pytest.raises(PackError, match="no path of an estate"):
        unpack(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("target", [b"../../etc/passwd", b"/etc/passwd", b"loop", b"missing", b"directory", b""])
def test_a_link_that_leads_elsewhere_is_not_followed(tmp_path: Path, target: bytes) -> None:
    rows: list[tuple[object, ...]] = [("loop", LINK, -1, target), ("directory", stat.S_IFDIR | 0o755, 0, None)]
    path = hostile(tmp_path / "bad.sqlar", rows)
    tree = open_estate(path)
    assert list(tree.files()) == []
    assert [one.path for one in tree.coverage] == ["loop"]
    with pytest.raises(PackError, match="loop"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out" / "loop").exists()


def test_a_bomb_does_not_go_off(tmp_path: Path) -> None:
    bomb = zlib.compress(b"\0" * (3 * MAX_FILE), 9)
    rows: list[tuple[object, ...]] = [("honest", FILE, 3 * MAX_FILE, bomb), ("liar", FILE, 100, bomb)]
    tree = open_estate(hostile(tmp_path / "bad.sqlar", rows))
    honest, liar = tree.files()
    assert len(tree.read(honest)) == MAX_FILE
    with pytest.raises(OSError, match="not as long"):
        tree.read(liar)


def test_unpacking_ends_at_its_limit(tmp_path: Path) -> None:
    root = write(tmp_path / "e", {f"hosts/h{number}/etc/x": b"x" * 1000 for number in range(50)})
    pack(root, tmp_path / "e.sqlar")
    with pytest.raises(PackError, match="more than 20000 bytes"):
        unpack(tmp_path / "e.sqlar", tmp_path / "out", max_bytes=20_000)
    assert sum(one.stat().st_size for one in (tmp_path / "out").rglob("x")) <= 20_000


@pytest.mark.parametrize(
    "row", [("x", FILE, 10, b"nothing of zlib"), ("x", FILE, 4, None), ("x", FILE, 99, zlib.compress(b"short"))]
)
def test_damaged_content_is_a_gap(tmp_path: Path, row: tuple[object, ...]) -> None:
    tree = open_estate(hostile(tmp_path / "bad.sqlar", [row]))
    (file,) = tree.files()
    with pytest.raises(OSError, match=r"content|not in"):
        tree.read(file)


def test_other_databases_are_no_estate(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database")
    with pytest.raises(PackError, match="neither a directory nor a packed estate"):
        open_estate(tmp_path / "text")
    view = sqlite3.connect(tmp_path / "view")
    view.execute("CREATE VIEW sqlar(name, mode, mtime, sz, data) AS SELECT 'x', 33188, 0, 1, 'y'")
    view.commit()
    view.close()
    with pytest.raises(PackError, match="not in the form"):
        open_estate(tmp_path / "view")
    trigger = "CREATE TABLE t(a); CREATE VIEW v AS SELECT 1;"
    with pytest.raises(PackError, match="not in the form"):
        open_estate(hostile(tmp_path / "more", [], trigger))
    # Without a key each link costs a look through all rows.
    with closing(sqlite3.connect(tmp_path / "slow")) as slow:
        slow.execute("CREATE TABLE sqlar(name TEXT, mode INT, mtime INT, sz INT, data BLOB)")
    with pytest.raises(PackError, match="not in the form"):
        open_estate(tmp_path / "slow")
    (tmp_path / "cut").write_bytes((hostile(tmp_path / "ok", [("x", FILE, 1, b"x")])).read_bytes()[:600])
    with pytest.raises(PackError):
        list(open_estate(tmp_path / "cut").files())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    root = estate(tmp_path / "estate")
    (tmp_path / "there").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        pack(root, tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"mine"
    pack(root, tmp_path / "e.sqlar")
    with pytest.raises(UsageError, match="not empty"):
        unpack(tmp_path / "e.sqlar", root)
    with pytest.raises(UsageError, match="can't be written"):
        pack(root, tmp_path / "no" / "such" / "place")
    with pytest.raises(UsageError, match="inside"):
        pack(root, root / "hosts" / "itself.sqlar")
    assert not (root / "hosts" / "itself.sqlar").exists()


def test_files_are_private(tmp_path: Path) -> None:
    root = estate(tmp_path / "estate")
    (root / "hosts/a/etc/cron.d/x").chmod(0o755)
    pack(root, tmp_path / "e.sqlar")
    assert stat.S_IMODE((tmp_path / "e.sqlar").stat().st_mode) == 0o600
    unpack(tmp_path / "e.sqlar", tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out/hosts/a/etc/cron.d/x").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "out/dns/z.zone").stat().st_mode) == 0o600


def test_records_have_a_limit_of_their_own() -> None:
    assert MAX_RECORDS > 10_000 * 60 * 120


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the sqlite3 program is missing")
def test_the_tool_of_sqlite_lists_and_extracts_it(tmp_path: Path) -> None:
    directory, _ = packed(tmp_path)
    listed = subprocess.run(
        ["sqlite3", tmp_path / "e.sqlar", "-At"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "hosts/b/etc/cron.d/x" in listed
    if os.geteuid():
        pytest.skip("sqlite3 -Ax sets the time of what a link leads to, which for a masked unit, /dev/null, is root's")
    (tmp_path / "out").mkdir()
    subprocess.run(["sqlite3", tmp_path / "e.sqlar", "-Ax"], cwd=tmp_path / "out", check=True)
    assert content(open_estate(tmp_path / "out")) == content(directory)
