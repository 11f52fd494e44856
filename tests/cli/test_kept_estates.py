"""`--cache-dir` with a packed estate: it is linked once, and every question has the answer that it has without."""

from __future__ import annotations

import json
import os
import resource
import stat
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.audit import engine, kept
from auditor.audit.kept import FORMAT, KeptEstates
from auditor.capture import parsed, reading
from auditor.capture.estates import open_estate
from auditor.capture.kept_file import key_of, read_parts, write_parts
from auditor.capture.pack import pack
from auditor.capture.reading import Template, Templates
from auditor.cli.main import main
from auditor.graph.hosts import HostRecord
from auditor.model import Area, Coverage, Lifecycle, Outcome, Provenance
from auditor.registry import load_collectors

SAMPLES = Path(__file__).resolve().parents[2] / "sample_inventories"
ESTATES = ("aws-migration", "eventide", "eventide-after", "nagios-data-centre", "windows-file-server")
NOW = "2026-06-20T00:00:00Z"


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """An entry for each time that an estate is linked."""
    found: list[None] = []
    link = engine.link

    def noted(*given: object) -> object:
        found.append(None)
        return link(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "link", noted)
    return found


@pytest.fixture(params=ESTATES)
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A sample estate, packed."""
    pack(SAMPLES / request.param, tmp_path / "estate.auditor")
    return tmp_path / "estate.auditor"


@pytest.fixture(scope="module")
def eventide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """That sample, packed, and a directory for what is kept of it."""
    place = tmp_path_factory.mktemp("eventide")
    pack(SAMPLES / "eventide", place / "estate.auditor")
    return place / "estate.auditor", place / "cache"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Six hosts that know their short names, two that share one, and files of the kinds that are read once more."""
    root = tmp_path / "fleet"
    files = {
        "inventory.yaml": "version: 1\ndomains: [fleet.example]\nhosts:\n  - name: old.fleet.example\n"
        "    names: [archive.fleet.example]\n    lifecycle: retired\n  - name: ghost.fleet.example\n",
        "dns/fleet.example.zone": "$ORIGIN fleet.example.\n$TTL 60\n@ IN SOA ns root 1 2 3 4 5\nweb-1 IN A 10.0.0.1\n"
        "web-2 IN A 10.0.0.2\narchive IN A 10.0.0.2\nwww IN CNAME web-1\n",
        "ansible/hosts": "[old]\nold.fleet.example\n[web]\nweb-[1:4].fleet.example\n",
        "ansible/site.yml": "- hosts: old\n  tasks:\n    - command: rsync old:/srv /srv\n",
        "ansible/host_vars/web-1.fleet.example.yml": "ansible_host: 10.0.0.1\npeer: 10.0.0.2\n",
        "prometheus/prometheus.yml": "scrape_configs:\n  - job_name: n\n    static_configs:\n      - targets:\n"
        "          - web-4:9100\n          - web-1.fleet.example:9100\n          - 10.0.0.2:9100\n",
        "hosts/web-1.fleet.example/etc/cron.d/broken": "this is no line of a crontab\n",
        "hosts/web-3.fleet.example/etc/hosts": "127.0.1.1 db-7.elsewhere.example web-2\n",
        "hosts/twin.fleet.example/etc/hostname": "twin.fleet.example\n",
        "hosts/ghost.fleet.example/etc/hosts": "127.0.1.1 twin.other.example\n",
        "hosts/web-1.fleet.example/etc/\udcff.conf": "old.fleet.example\n",
        "notes/old.fleet.example/readme": "\u00fcber web-3\n",
    }
    for number in range(1, 5):
        name = f"web-{number}.fleet.example"
        files[f"hosts/{name}/etc/hostname"] = name
        files.setdefault(f"hosts/{name}/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {name} web-{number}\n")
        files[f"hosts/{name}/etc/cron.d/sync"] = (
            "1 1 * * * root rsync -a old.fleet.example::x /x && curl http://web-1/\n"
        )
        files[f"hosts/{name}/proc/self/mountinfo"] = "22 1 8:1 / / ro,relatime shared:1 - ext4 /dev/sda1 ro\n"
    records = [
        {"path": "hosts/web-1.fleet.example", "outcome": "ok", "collected_at": "2026-06-01T00:00:00Z"},
        {"path": "hosts/web-1.fleet.example/etc/hosts", "outcome": "ok", "collected_at": "2026-05-01T00:00:00Z"},
        {"path": "hosts/web-2.fleet.example/etc/fstab", "outcome": "absent", "collected_at": "2026-06-01T00:00:00Z"},
        {"path": "hosts/web-2.fleet.example/root", "outcome": "denied", "detail": "permission"},
        {"path": "hosts/old.fleet.example", "outcome": "unreachable", "detail": "no route"},
        {"path": "services/prometheus/rules", "outcome": "ok"},
        "no record",
    ]
    files["captures.jsonl"] = "".join(f"{json.dumps(record)}\n" for record in records)
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    pack(root, tmp_path / "fleet.auditor")
    return tmp_path / "fleet.auditor"


def names_of(estate: Path) -> list[str]:
    """All names of machines, as they are known before anything is linked."""
    collectors, _ = load_collectors()
    found = engine.survey(open_estate(estate), collectors, datetime(2026, 6, 20, tzinfo=UTC))
    return list(found.hosts.indexes()[0])


def entries(cache: Path) -> list[Path]:
    return sorted(cache.glob("linked-*.bin"))


def output(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, what is written to a file or to standard output, and to standard error."""
    code = main(words)
    told = capsys.readouterr()
    if "-o" in words:
        file = Path(words[words.index("-o") + 1])
        written = file.read_text()
        file.unlink()
        return code, written, told.err
    return code, told.out, told.err


def the_same(capsys: pytest.CaptureFixture[str], links: list[None], cache: Path, *words: str) -> int:
    """How often it is linked for an answer from the cache. Without one, filling it and from it the answer is one."""
    plain = output(capsys, *words)
    assert plain[0] in (0, 1, 4), plain[2]
    if not entries(cache):
        assert output(capsys, *words, "--cache-dir", str(cache)) == plain
    links.clear()
    assert output(capsys, *words, "--cache-dir", str(cache)) == plain
    return len(links)


def test_samples_have_the_same_answers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, sample: Path, links: list[None]
) -> None:
    words = ("--estate", str(sample), "--now", NOW, "--format", "json")
    assert the_same(capsys, links, tmp_path / "cache", "audit", *words, "--max-age", "200d") == 0
    names = names_of(sample)
    for name in (names[0], names[-1]):
        assert the_same(capsys, links, tmp_path / "cache", "checklist", name, *words) == 0


@pytest.mark.parametrize(
    "words",
    [
        ("checklist", "legacy-cert-01", "--format", "markdown", "--as", "read-only"),
        ("report", "legacy-cert-01", "-o", "FILE"),
        ("graph", "--format", "json"),
        ("graph", "--focus", "legacy-cert-01.eventide.net", "--format", "dot", "--only", "findings"),
        ("graph", "--format", "graphml", "--mentions"),
        ("why", "legacy-cert-01", "legacy-cert-01"),
        ("wave", "HOSTS"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_every_command_says_the_same(
    capsys: pytest.CaptureFixture[str], eventide: tuple[Path, Path], tmp_path: Path, links: list[None], words: list[str]
) -> None:
    (tmp_path / "hosts.txt").write_text("legacy-cert-01.eventide.net\n")
    places = {"HOSTS": str(tmp_path / "hosts.txt"), "FILE": str(tmp_path / "page.html")}
    asked = [places.get(word, word) for word in words]
    assert the_same(capsys, links, eventide[1], *asked, "--estate", str(eventide[0]), "--now", NOW) == 0


def test_a_guard_says_the_same(eventide: tuple[Path, Path], tmp_path: Path, links: list[None]) -> None:
    estate, kept_in = eventide
    found = []
    for number in range(3):
        cache = ["--cache-dir", str(kept_in)] if number else []
        files = [tmp_path / f"{number}.prom", tmp_path / f"{number}.json"]
        links.clear()
        told = ["--textfile", str(files[0]), "--report", f"json={files[1]}", "--now", NOW]
        main(["guard", "--snapshot", str(estate), *told, *cache])
        lines = files[0].read_text().splitlines()
        found.append(([line for line in lines if "duration" not in line], files[1].read_text()))
    assert found[0] == found[1] == found[2]
    assert not links


def test_names_that_linking_must_not_know_of(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, fleet: Path, links: list[None]
) -> None:
    """A short name that only files have is one of the machine; those that may mean two are linked with the question."""
    again = {}
    for name in [*names_of(fleet), "web-1", "web-3", "web-4", "old", "twin", "ghost"]:
        words = ("checklist", name, "--estate", str(fleet), "--now", NOW, "--format", "json")
        again[name] = the_same(capsys, links, tmp_path / "cache", *words)
    assert again["web-3"] == again["web-1.fleet.example"] == again["old.fleet.example"] == 0
    assert again["twin"] == 1, "two machines have this short name once files were read"
    assert again["web-4"] == 1, "something is linked by this name alone"


@pytest.mark.parametrize(
    "asked",
    [
        ("10.0.0.2",),
        ("10.9.9.9",),
        ("nobody.fleet.example",),
        ("web-2",),
        ("db-7.elsewhere.example",),
        ("web-1.fleet.example=www2.fleet.example,shop",),
        ("web-1.fleet.example", "nobody"),
        ("WEB-3.fleet.example.",),
    ],
    ids=" ".join,
)
def test_what_linking_must_know_of(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, fleet: Path, links: list[None], asked: tuple[str, ...]
) -> None:
    words = ("checklist", *asked, "--estate", str(fleet), "--now", NOW, "--format", "json")
    the_same(capsys, links, tmp_path / "cache", *words)
    # Nor does it change what others are told.
    assert the_same(capsys, links, tmp_path / "cache", "audit", *words[-6:]) == 0


@pytest.fixture
def filled(capsys: pytest.CaptureFixture[str], tmp_path: Path, fleet: Path) -> Path:
    """A cache with the fleet, linked."""
    output(capsys, "audit", "--estate", str(fleet), "--now", NOW, "--cache-dir", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_another_pack_is_linked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, fleet: Path, filled: Path, links: list[None]
) -> None:
    words = ("checklist", "old.fleet.example", "--now", NOW, "--format", "json", "--estate")
    before = output(capsys, *words, str(fleet))
    (tmp_path / "fleet/hosts/web-1.fleet.example/etc/cron.d/new").write_text("1 1 * * * root ssh old.fleet.example x\n")
    fleet.unlink()
    pack(tmp_path / "fleet", fleet)
    assert the_same(capsys, links, filled, *words, str(fleet)) == 1
    assert the_same(capsys, links, filled, *words, str(fleet)) == 0
    assert output(capsys, *words, str(fleet), "--cache-dir", str(filled)) != before
    assert len(entries(filled)) == 2


def test_another_release_links_anew(
    capsys: pytest.CaptureFixture[str], fleet: Path, filled: Path, links: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsed, "__version__", "another")
    output(capsys, "audit", "--estate", str(fleet), "--now", NOW, "--cache-dir", str(filled))
    assert len(links) == 1
    assert len(entries(filled)) == 2


@pytest.mark.parametrize(("limit", "value"), [("MAX_KEPT", 1), ("MAX_TOTAL", 1)])
def test_the_oldest_entries_go(
    capsys: pytest.CaptureFixture[str],
    fleet: Path,
    filled: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
) -> None:
    (first,) = entries(filled)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    others = {name: filled / name for name in ("linked-notes.bin", ".linked-old", ".linked-new")}
    for file in others.values():
        file.write_text("something")
    os.utime(others[".linked-old"], (0, 0))
    os.utime(first, (1, 1))
    monkeypatch.setattr(kept, limit, value)
    monkeypatch.setattr(parsed, "__version__", "another")
    output(capsys, "audit", "--estate", str(fleet), "--now", NOW, "--cache-dir", str(filled))
    assert not first.exists()
    assert len(entries(filled)) == 2
    # What a killed run has left is gone; what may be in the making, and what is somebody else's, is not.
    assert [name for name, file in others.items() if file.exists()] == ["linked-notes.bin", ".linked-new"]


def test_a_pack_may_be_a_link(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, fleet: Path, filled: Path, links: list[None]
) -> None:
    (tmp_path / "newest.auditor").symlink_to(fleet)
    words = ("audit", "--estate", str(tmp_path / "newest.auditor"), "--now", NOW)
    assert the_same(capsys, links, filled, *words) == 0


def test_a_damaged_entry_is_none(
    capsys: pytest.CaptureFixture[str], fleet: Path, filled: Path, links: list[None]
) -> None:
    (entry,) = entries(filled)
    good = entry.read_bytes()
    words = ("audit", "--estate", str(fleet), "--now", NOW, "--format", "json")
    for bad in (
        b"",
        good[:-1],
        good + b"x",
        good[: len(good) // 2],
        b"{}\n" + good,
        good.replace(b"web-1", b"web-9", 1),
    ):
        entry.write_bytes(bad)
        plain = output(capsys, *words)
        links.clear()
        assert output(capsys, *words, "--cache-dir", str(filled)) == plain
        assert len(links) == 1
        assert entry.read_bytes() == good, "it is written anew"
    entry.rename(filled / "elsewhere")
    entry.symlink_to(filled / "elsewhere")
    links.clear()
    assert output(capsys, *words, "--cache-dir", str(filled)) == plain
    assert len(links) == 1


def test_an_entry_of_somebody_without_the_key_is_none(
    capsys: pytest.CaptureFixture[str], fleet: Path, filled: Path, links: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDITOR_CACHE_KEY", "secret")
    output(capsys, "audit", "--estate", str(fleet), "--now", NOW, "--cache-dir", str(filled))
    assert len(links) == 1
    links.clear()
    output(capsys, "audit", "--estate", str(fleet), "--now", NOW, "--cache-dir", str(filled))
    assert links == []


def test_what_others_may_write_is_told_of_once(
    capsys: pytest.CaptureFixture[str], fleet: Path, filled: Path, links: list[None]
) -> None:
    words = ("audit", "--estate", str(fleet), "--now", NOW, "--cache-dir", str(filled))
    before = output(capsys, *words)
    (entry,), (parsed_file,) = entries(filled), filled.glob("parsed-*")
    for files in ([entry], [parsed_file, entry]):
        for file in files:
            file.chmod(0o666)
        links.clear()
        code, out, told = output(capsys, *words)
        assert (code, out) == before[:2]
        assert told.replace(before[2], "").count("others may have written it: it was not read") == 1
        assert len(links) == 1
        # It is in our own hands again.
        assert output(capsys, *words) == before


def test_what_can_not_be_written_is_told_of_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, fleet: Path
) -> None:
    words = ("audit", "--estate", str(fleet), "--now", NOW)
    before = output(capsys, *words)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        code, out, told = output(capsys, *words, "--cache-dir", str(tmp_path / "cache"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, out) == before[:2]
    assert told.count("the cache can't be written: File too large") == 1
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_entry_of_another_shape_is_none(fleet: Path, filled: Path) -> None:
    """Whoever can sign may write anything: it is refused, or it is an estate, and never a fault."""
    (entry,) = entries(filled)
    collectors, _ = load_collectors()
    found = KeptEstates(filled, collectors, Templates())
    assert found.find(fleet, ()) is not None
    of = json.loads(entry.read_bytes().partition(b"\n")[0])["of"]
    parts = read_parts(entry, FORMAT, of, key_of(""), kept.MAX_SIZE)
    assert parts is not None
    assert len(parts) > 30
    refused = 0
    for name, part in parts.items():
        swapped = part.replace(b'"', b"1") if part[:1] in (b"[", b"{") else part[4:]
        for other in (b"", b"null", b"[[]]", b'{"a":[1]}', b"\xff" * len(part), part + part, swapped):
            write_parts(entry, FORMAT, of, key_of(""), {**parts, name: other})
            refused += found.find(fleet, ()) is None
        write_parts(entry, FORMAT, of, key_of(""), {one: value for one, value in parts.items() if one != name})
        assert found.find(fleet, ()) is None
    assert refused > 4 * len(parts)


def test_all_that_is_known_of_an_estate_comes_back(tmp_path: Path, fleet: Path) -> None:
    collectors, _ = load_collectors()
    made = engine._linked(
        engine.survey(engine.open_tree([fleet]), collectors, datetime(2026, 6, 20, tzinfo=UTC)),
        lambda _what, _count: None,
    )
    where = Provenance("inventory.yaml", 3, "excerpt", "2026-06-01T00:00:00Z", "$.api", "estate")
    values: dict[str, Any] = {
        "str": "text",
        "bool": True,
        "set[str]": {"b", "a"},
        "tuple[str, ...]": ("b", "a"),
        "dict[str, Provenance | None]": {"name": where, "other": None},
        "Provenance | None": where,
        "Lifecycle": Lifecycle.READ_ONLY,
        "Lifecycle | None": Lifecycle.RETIRED,
    }
    record = HostRecord(**{one.name: values[str(one.type)] for one in fields(HostRecord)})
    blank = HostRecord("")
    assert all(getattr(record, one.name) != getattr(blank, one.name) for one in fields(HostRecord)), "a new field"
    made.hosts.records["text"] = record
    odd = Coverage("s", Area.LOGS, "w", Outcome.PARTIAL, 3, "d", "p", 4, ("x",), False, True, "e", ("h",))
    usual = Coverage("", Area.COVERAGE, "", Outcome.OK)
    assert all(getattr(odd, one.name) != getattr(usual, one.name) for one in fields(Coverage)), "a new field"
    made.reading.coverage.insert(0, odd)
    keeping = KeptEstates(tmp_path / "cache", collectors, Templates())
    assert keeping.find(fleet, ()) is None
    keeping.keep(made)
    found = KeptEstates(tmp_path / "cache", collectors, Templates()).find(fleet, ())
    assert found is not None
    engine._survey_of(found, datetime(2026, 6, 20, tzinfo=UTC))
    assert (found.before, found.hosts) == (made.before, made.hosts)
    for one in fields(type(made.tree)):
        if one.name not in ("database", "known", "_held"):
            assert getattr(found.tree, one.name) == getattr(made.tree, one.name), one.name
    for one in fields(type(made.reading)):
        if one.name not in ("tree", "combined", "by_path", "again", "bound"):
            assert getattr(found.reading, one.name) == getattr(made.reading, one.name), one.name
    assert len(found.reading.bound) == len(made.reading.bound) > 20
    for ours, theirs in zip(found.reading.bound, made.reading.bound, strict=True):
        assert (ours.file, ours.collected_at) == (theirs.file, theirs.collected_at)
        for one in fields(Template):
            if one.name not in ("items", "facts", "machines", "fragments", "content"):
                assert getattr(ours.template, one.name) == getattr(theirs.template, one.name), one.name
        assert found.reading.items_of(ours) == theirs.template.items
    for name, value in vars(made.linked).items():
        ours = getattr(found.linked, name)
        if name == "edges":
            assert all(np.array_equal(*pair) for pair in zip(ours, value, strict=True))
        elif isinstance(value, np.ndarray):
            assert (ours.dtype, ours.tolist()) == (value.dtype, value.tolist()), name
        elif name == "evidence":
            assert list(ours) == list(value)
        elif name not in ("hosts", "_named"):
            assert ours == value, name
            assert list(ours) == list(value), "in this order"


def test_what_is_not_all_is_not_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_ITEMS", 1)
    output(capsys, "audit", "--estate", str(fleet), "--now", NOW, "--cache-dir", str(tmp_path / "cache"))
    assert entries(tmp_path / "cache") == []


def test_a_pack_that_changes_meanwhile_is_not_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = engine.link

    def changed(*given: object) -> object:
        fleet.touch()
        return link(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "link", changed)
    output(capsys, "audit", "--estate", str(fleet), "--now", NOW, "--cache-dir", str(tmp_path / "cache"))
    assert entries(tmp_path / "cache") == []


def test_what_was_parsed_may_be_gone(
    capsys: pytest.CaptureFixture[str], fleet: Path, filled: Path, links: list[None]
) -> None:
    """The linked estate has no items: those that are wanted once more are parsed."""
    for file in filled.glob("parsed-*"):
        file.unlink()
    words = ("checklist", "web-2.fleet.example", "--estate", str(fleet), "--now", NOW, "--format", "json")
    plain = output(capsys, *words)
    links.clear()
    assert output(capsys, *words, "--cache-dir", str(filled)) == plain
    assert links == []


def test_a_time_without_a_zone_is_none(fleet: Path, filled: Path) -> None:
    """It could not be compared with others."""
    (entry,) = entries(filled)
    collectors, _ = load_collectors()
    of = json.loads(entry.read_bytes().partition(b"\n")[0])["of"]
    parts = read_parts(entry, FORMAT, of, key_of(""), kept.MAX_SIZE)
    assert parts is not None
    for when, known in (("2026-06-01T00:00:00+00:00", True), ("2026-06-01T00:00:00", False)):
        tree = {**json.loads(parts["tree"]), "collected_at": when}
        write_parts(entry, FORMAT, of, key_of(""), {**parts, "tree": json.dumps(tree).encode()})
        assert (KeptEstates(filled, collectors, Templates()).find(fleet, ()) is not None) is known
