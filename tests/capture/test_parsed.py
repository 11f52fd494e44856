"""What was parsed is kept for other runs: all of it comes back, and a file that somebody else wrote can't do harm."""

from __future__ import annotations

import importlib
import json
import os
import stat
import zipfile
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from auditor.api import Collector
from auditor.capture import parsed as parsed_files
from auditor.capture.parsed import FORMAT, ParsedFiles
from auditor.capture.reading import Template, Templates, read_estate
from auditor.capture.tree import Tree
from auditor.model import Dependency, Document, Entity, Kind, Malformed, Ref, Relation, Where
from auditor.registry import load_collectors

CASES = Path(__file__).resolve().parent.parent / "collectors"
COLLECTORS, _ = load_collectors()


def cases() -> list[tuple[str, bytes]]:
    """The documents of all collectors' cases."""
    found = []
    for case in sorted(CASES.glob("*/*.json")):
        known = json.loads(case.read_text())
        if "path" in known and (raw := case.with_suffix(".raw")).is_file():
            found.append((str(known["path"]), raw.read_bytes()))
        found += [(path, (case.parent / name).read_bytes()) for path, name in known.get("documents", {}).items()]
    return found


def parsed(path: str, content: bytes) -> Template:
    template = Template(path, blake2b(content, digest_size=16).digest(), len(content), text=True, claimed=True)
    for index, collector in enumerate(COLLECTORS):
        if collector.recognizes(path, content[:4096]):
            template.items += [(index, item) for item in collector.parse(Document(path, content))]
    template.sort()
    return template


def test_all_that_collectors_yield_comes_back(tmp_path: Path) -> None:
    made = {(one.path, one.digest): one for one in (parsed(*case) for case in cases())}
    assert len(made) > 300
    first = ParsedFiles(tmp_path, COLLECTORS)
    for template in made.values():
        first.add(template)
    # Nothing that a collector has now is of a kind that can't be kept.
    assert first.added == len(made)
    first.save()
    again = ParsedFiles(tmp_path, COLLECTORS)
    for template in made.values():
        assert again.has(template.path, template.digest)
        assert again.find(template.path, template.digest) == template
    assert again.hits == len(made)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


ONE = Template(
    "etc/x",
    b"\1" * 16,
    3,
    text=True,
    sealed="",
    items=[
        (
            0,
            Entity(
                Ref(Kind.JOB, "a\udce9", "h"), Where(1, "x", "p", "$.a"), {"n": 1, "f": 0.5, "b": True, "t": ("a",)}
            ),
        ),
        (1, Dependency(Ref(Kind.JOB, "a"), Ref(Kind.HOST, ""), Relation.RUNS_ON, Where(2), None, "g")),
        (2, Malformed(Where(), "why", "effect", whole=True)),
    ],
    claimed=True,
)
ONE.sort()


def written(tmp_path: Path, **options: str) -> Path:
    kept = ParsedFiles(tmp_path, COLLECTORS, **options)
    kept.add(ONE)
    kept.save()
    (file,) = tmp_path.iterdir()
    return file


def forged(file: Path, entry: Any, line: bytes | None = None) -> None:
    """Another entry in place of the one, with a sum that is right: without a key anybody can do that."""
    head, body = file.read_bytes().split(b"\n", 1)
    body = body[:33] + (line if line is not None else json.dumps(entry).encode())
    said = json.loads(head)
    said["sum"] = blake2b(body, digest_size=32).hexdigest()
    file.write_bytes(json.dumps(said).encode() + b"\n" + body)


def entry_of(file: Path) -> list[Any]:
    entry: list[Any] = json.loads(file.read_bytes().split(b"\n")[1][33:])
    return entry


def test_an_entry(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert ParsedFiles(tmp_path, COLLECTORS).find(ONE.path, ONE.digest) == ONE
    assert ParsedFiles(tmp_path, COLLECTORS).find("etc/y", ONE.digest) is None
    assert json.loads(file.read_bytes().split(b"\n")[0])["format"] == FORMAT


def test_another_auditor_has_files_of_its_own(tmp_path: Path) -> None:
    written(tmp_path)
    assert ParsedFiles(tmp_path, COLLECTORS[1:]).find(ONE.path, ONE.digest) is None


@pytest.mark.parametrize("damage", [b"", b"\n", b"{}\n", b"[]\n", b"\xff" * 100, b"{" * 100_000, b"cut", b"turned"])
def test_what_is_damaged_counts_as_nothing(tmp_path: Path, damage: bytes) -> None:
    file = written(tmp_path)
    content = file.read_bytes()
    whole = {b"cut": content[:-5], b"turned": content[:-9] + b"\0" + content[-8:]}
    file.write_bytes(whole.get(damage, damage))
    assert ParsedFiles(tmp_path, COLLECTORS).find(ONE.path, ONE.digest) is None


def test_what_is_no_file_counts_as_nothing(tmp_path: Path) -> None:
    file = written(tmp_path / "a")
    content = file.read_bytes()
    file.unlink()
    (tmp_path / "elsewhere").write_bytes(content)
    for make in (
        lambda: file.symlink_to(tmp_path / "elsewhere"),
        lambda: os.mkfifo(file),
        lambda: file.mkdir(),
    ):
        make()
        assert not ParsedFiles(tmp_path / "a", COLLECTORS).has(ONE.path, ONE.digest)
        if file.is_dir():
            file.rmdir()
        else:
            file.unlink()


def changed(entry: list[Any], at: tuple[int, ...], value: Any) -> list[Any]:
    where = entry
    for step in at[:-1]:
        where = where[step]
    where[at[-1]] = value
    return entry


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ((0,), "etc/other"),
        ((1,), "00"),
        ((2,), "3"),
        ((3,), 1),
        ((4,), None),
        ((6, 0, 0), 999),
        ((6, 0, 1), 7),
        ((6, 0), ["x"]),
        ((7, 0, 0), "1"),
        ((7, 0, 1), None),
        ((8, 0, 0), 999),
        ((8, 0, 0), -1),
        ((8, 0, 0), True),
        ((8, 0, 2), 99),
        ((8, 0, 4), {"n": None}),
        ((8, 0, 4), {"n": {"a": 1}}),
        ((8, 0, 4), {"n": [1]}),
        ((8, 1, 5), 999),
        ((8, 1, 8), 7),
        ((8, 2, 3), 7),
        ((8, 0), []),
        ((8, 0), {"a": 1}),
        ((8,), None),
        ((8, 0), [0, 3, 0, "k", {"made": ["subprocess:Popen", ["touch", "owned"]]}, "", ""]),
        ((8, 0), [0, 3, 0, "k", {"made": ["os:system", "touch owned"]}, "", ""]),
        ((8, 0), [0, 3, 0, "k", {"made": ["collectors.systemd:re.compile", "x"]}, "", ""]),
        ((8, 0), [0, 3, 0, "k", {"made": ["collectors.systemd:SystemdCollector"]}, "", ""]),
        ((8, 0), [0, 3, 0, "k", {"made": ["collectors.systemd:_File", "too few"]}, "", ""]),
        ((8, 0), [0, 3, 0, "k", {"made": ["collectors.nosuch:X"]}, "", ""]),
        ((8, 0), [0, 3, 0, "k", {"made": [7]}, "", ""]),
        ((8, 0), [0, 3, 0, "k", {"member": ["auditor.model:Kind", "nosuch"]}, "", ""]),
        ((8, 0), [0, 3, 0, "k", {"member": ["auditor.model:Ref", "x"]}, "", ""]),
        ((8, 0), [0, 3, 0, "k", {"a": 1, "b": 2}, "", ""]),
        ((8, 0), [0, 3, 0, "k", {}, "", ""]),
        ((8, 0), [0, 3, 0, 7, "v", "", ""]),
    ],
)
def test_entries_that_somebody_made_up(tmp_path: Path, at: tuple[int, ...], value: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path / "cache")
    forged(file, changed(entry_of(file), at, value))
    kept = ParsedFiles(tmp_path / "cache", COLLECTORS)
    assert kept.has(ONE.path, ONE.digest)
    assert kept.find(ONE.path, ONE.digest) is None
    assert not kept.has(ONE.path, ONE.digest)
    assert not (tmp_path / "owned").exists()


def test_entries_that_are_too_deep(tmp_path: Path) -> None:
    file = written(tmp_path)
    for deep in (b"[" * 200_000, b"[" * 400 + b"]" * 400):
        forged(file, None, deep)
        assert ParsedFiles(tmp_path, COLLECTORS).find(ONE.path, ONE.digest) is None
    entry = entry_of(written(tmp_path))
    value: Any = "x"
    for _ in range(900):
        value = [value]
    forged(file, changed(entry, (8, 0), [0, 3, 0, "k", value, "", ""]))
    ParsedFiles(tmp_path, COLLECTORS).find(ONE.path, ONE.digest)


def test_a_key(tmp_path: Path) -> None:
    file = written(tmp_path, secret="of the base")
    assert ParsedFiles(tmp_path, COLLECTORS, secret="of the base").find(ONE.path, ONE.digest) == ONE
    for other in ("", "of another"):
        assert not ParsedFiles(tmp_path, COLLECTORS, secret=other).has(ONE.path, ONE.digest)
    forged(file, entry_of(file))
    assert not ParsedFiles(tmp_path, COLLECTORS, secret="of the base").has(ONE.path, ONE.digest)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_may_write_counts_as_nothing_unless_it_is_signed(tmp_path: Path, mode: int) -> None:
    written(tmp_path / "a").chmod(mode)
    kept = ParsedFiles(tmp_path / "a", COLLECTORS)
    assert not kept.has(ONE.path, ONE.digest)
    assert kept.refused is not None
    written(tmp_path / "b", secret="of the base").chmod(mode)
    assert ParsedFiles(tmp_path / "b", COLLECTORS, secret="of the base").has(ONE.path, ONE.digest)


def test_what_is_another_users_counts_as_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    kept = ParsedFiles(tmp_path, COLLECTORS)
    # What root wrote may be read.
    assert kept.has(ONE.path, ONE.digest) is (file.stat().st_uid == 0)
    assert (kept.refused is None) is (file.stat().st_uid == 0)


def test_files_of_other_auditors_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [tmp_path / f"parsed-{number:016x}.jsonl" for number in range(6)]
    left, new, notes = (tmp_path / name for name in (".parsed-old", ".parsed-new", "parsed-notes.txt"))
    for number, file in enumerate([*others, left, new, notes]):
        file.write_text("something")
        os.utime(file, (number, number))
    os.utime(new)
    kept = ParsedFiles(tmp_path, COLLECTORS)
    kept.add(ONE)
    kept.save()
    assert [file.exists() for file in (left, new, notes)] == [False, True, True]
    assert [file.exists() for file in others] == [False, False, False, True, True, True]
    assert ParsedFiles(tmp_path, COLLECTORS).has(ONE.path, ONE.digest)


def test_of_too_much_a_part_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ParsedFiles(tmp_path, COLLECTORS)
    for number in range(10):
        kept.add(Template("etc/z", bytes([number]) * 16, 1, text=True))
    monkeypatch.setattr(parsed_files, "MAX_SIZE", 1_000)
    kept.save()
    again = ParsedFiles(tmp_path, COLLECTORS)
    found = [again.has("etc/z", bytes([number]) * 16) for number in range(10)]
    assert found[0]
    assert not found[-1]


PLUGIN = """
from auditor.api import Area, Collector

class Own(Collector):
    name = "own"
    title = "own"
    area = Area.COVERAGE
    provides = frozenset()

    def recognizes(self, path, head):
        return False

    def parse(self, document):
        yield from ()
"""


@pytest.mark.parametrize("shape", ["module", "package", "shared", "archive"])
def test_another_plugin_is_another_auditor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    """Also where its package is one that several distributions share, which has no file of its own."""
    name = f"plugin_of_{shape}"
    file = tmp_path / (f"{name}.py" if shape == "module" else f"{name}/own.py")
    file.parent.mkdir(exist_ok=True)
    file.write_text(PLUGIN)
    place = changing = file
    if shape == "package":
        (file.parent / "__init__.py").touch()
        changing = file.parent / "table.json"
    where = tmp_path
    if shape == "archive":
        where = place = changing = tmp_path / "plugin.zip"
        (file.parent / "__init__.py").touch()
        with zipfile.ZipFile(where, "w") as archive:
            archive.write(file, f"{name}/own.py")
            archive.write(file.parent / "__init__.py", f"{name}/__init__.py")
    monkeypatch.syspath_prepend(where)
    collectors = [importlib.import_module(name if shape == "module" else f"{name}.own").Own()]
    before = parsed_files.fingerprint(collectors)
    assert parsed_files.fingerprint(collectors) == before
    with changing.open("ab") as stream:
        stream.write(b"# changed\n")
    assert parsed_files.fingerprint(collectors) != before
    assert place.exists()


def test_what_is_not_whole_is_not_kept(tmp_path: Path) -> None:
    class Crashes(Collector):
        """A collector that fails."""

        name = "crashes"
        title = "crashes"
        area = COLLECTORS[0].area
        provides = frozenset()

        def recognizes(self, path: str, head: bytes) -> bool:
            return path.endswith(".crash")

        def parse(self, document: Document) -> Any:
            raise KeyError

    estate = tmp_path / "estate"
    estate.mkdir()
    (estate / "a.crash").write_text("x")
    (estate / "b.txt").write_text("x")
    kept = ParsedFiles(tmp_path / "cache", [Crashes()])
    read_estate(Tree.open(estate, has_inventory=False), [Crashes()], known=Templates(kept))
    assert kept.added == 1


def test_old_entries_stay_for_others(tmp_path: Path) -> None:
    file = written(tmp_path)
    kept = ParsedFiles(tmp_path, COLLECTORS)
    kept.add(Template("etc/z", b"\2" * 16, 1, text=True))
    kept.save()
    assert file.read_bytes().count(b"\n") == 2
    assert ParsedFiles(tmp_path, COLLECTORS).find(ONE.path, ONE.digest) == ONE
    before = file.stat().st_mtime_ns
    again = ParsedFiles(tmp_path, COLLECTORS)
    again.find(ONE.path, ONE.digest)
    again.save()
    assert file.stat().st_mtime_ns == before
