"""Hostile and broken input, through the command line: a line in coverage that says where, and all else audited."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.capture import reading as readings
from auditor.cli.main import main

# The limit on a collector's time rings wherever Python is, also in a callback of the garbage collector, which can't
# raise; it rings again half a second later.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

GOING = "old.example.org"
OTHER = "hosts/web01.example.org"
GOOD = "17 3 * * * root curl -fsS https://old.example.org/push\n"


@pytest.fixture
def estate(tmp_path: Path) -> Path:
    root = tmp_path / "estate"
    write(root, f"{OTHER}/etc/cron.d/good", GOOD)
    write(root, "notes/good.txt", f"first\nssh {GOING}\n")
    return root


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a parser is given for one file; the tests need not wait as long as people would."""
    monkeypatch.setattr(readings, "MAX_SECONDS", 1.5)


def write(root: Path, path: str, content: str | bytes) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content.encode() if isinstance(content, str) else content)


class Run:
    """One checklist in this process, as JSON."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], *words: str, seconds: float = 10) -> None:
        started = time.process_time()
        self.code = main(
            [
                "checklist",
                *(words or (GOING,)),
                "--estate",
                str(root),
                "--now",
                "2025-11-20T00:00:00Z",
                "--format",
                "json",
            ]
        )
        taken = time.process_time() - started
        output = capsys.readouterr()
        assert self.code in (1, 4), (self.code, output.err)
        self.report: dict[str, Any] = json.loads(output.out)
        assert taken < seconds, f"{taken:.1f} s"
        assert not self.report["failures"], self.report["failures"]
        places = {(one["path"], one["line"]) for found in self.report["findings"] for one in found["evidence"]}
        # Whatever else is in the estate: these two were read.
        assert (f"{OTHER}/etc/cron.d/good", 1) in places
        assert ("notes/good.txt", 2) in places
        self.places = places

    def gaps(self, path: str) -> list[tuple[int, str]]:
        """The lines of coverage about a file that was not wholly understood."""
        return [
            (one.get("line") or 0, one.get("detail") or "")
            for one in self.report["coverage"]
            if one.get("path") == path and one["outcome"] not in ("ok", "absent")
        ]


def bomb() -> str:
    lines = ["a0: &a0 [old.example.org, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    return "\n".join(lines) + "\n"


MERGES = "a: &a {x: 1}\n" + "".join(f"b{n}: &b{n} {{<<: [{', '.join(['*a'] * 1000)}]}}\n" for n in range(200))
DEEP = "[" * 200_000
YAML_PLACES = (
    "prometheus/prometheus.yml",
    "prometheus/rules/x.rules.yml",
    "alertmanager/alertmanager.yml",
    "inventory/hosts.yml",
)
YAML_HEADS = {
    "prometheus/prometheus.yml": "scrape_configs:\n- job_name: a\n  static_configs: [{targets: ['a:1']}]\n",
    "prometheus/rules/x.rules.yml": "groups:\n- name: a\n  rules:\n  - {alert: A, expr: up == 0}\n",
    "alertmanager/alertmanager.yml": "route: {receiver: a}\nreceivers:\n- name: a\n",
    "inventory/hosts.yml": "all:\n  hosts:\n    a.example.org:\n",
}


@pytest.mark.parametrize("path", YAML_HEADS)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (bomb(), "nodes with aliases expanded"),
        ("loop: &a [*a]\n", "alias"),
        ("loop: &a {b: *a}\n", "alias"),
        ("a: [unclosed\n", ""),
        ("deep: " + DEEP, "deeper than"),
        ("".join(" " * n + "a:\n" for n in range(1500)), ""),
        ("\x00", ""),
        ("a: \x01\n", ""),
    ],
    ids=["bomb", "loop", "map loop", "unclosed", "deep", "deep blocks", "nul", "control character"],
)
def test_yaml(estate: Path, capsys: pytest.CaptureFixture[str], path: str, content: str, says: str) -> None:
    write(estate, path, YAML_HEADS[path] + content)
    run = Run(estate, capsys)
    gaps = run.gaps(path)
    assert gaps, f"nothing says that {path} could not be read"
    assert any(says in detail for _, detail in gaps)
    assert any(line for line, _ in gaps)


def test_merge_keys_by_the_thousand(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(estate, "alertmanager/alertmanager.yml", YAML_HEADS["alertmanager/alertmanager.yml"] + MERGES)
    Run(estate, capsys)


@pytest.mark.parametrize("content", [bomb(), "a: &a [*a]\n", "hosts: " + DEEP, "\xff\xfe", "hosts: [{name: a"])
def test_an_inventory_that_is_no_inventory(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    write(tmp_path, "inventory.yaml", content.encode("latin-1"))
    started = time.process_time()
    assert main(["checklist", GOING, "--estate", str(tmp_path)]) == 2
    assert time.process_time() - started < 10
    assert "inventory.yaml:" in capsys.readouterr().err


def test_include_loops_and_escapes(estate: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "outside.zone").write_text("secret IN A 10.9.9.9\n")
    soa = "@ IN SOA ns.example.org. root.example.org. 1 2 3 4 5\n"
    write(
        estate,
        "dns/example.org.zone",
        "$ORIGIN example.org.\n" + soa + "$INCLUDE other.zone\n$INCLUDE ../../outside.zone\n"
        f"$INCLUDE {tmp_path}/outside.zone\n$INCLUDE /etc/passwd\n$INCLUDE example.org.zone\nwww IN CNAME old\n",
    )
    write(estate, "dns/other.zone", "$ORIGIN example.org.\n$INCLUDE example.org.zone\nmail IN CNAME old\n")
    run = Run(estate, capsys)
    gaps = [*run.gaps("dns/example.org.zone"), *run.gaps("dns/other.zone")]
    assert {line for line, _ in run.gaps("dns/example.org.zone")} >= {4, 5, 6}
    assert any("loop" in detail or "itself" in detail or "already" in detail for _, detail in gaps), gaps
    assert ("dns/example.org.zone", 8) in run.places
    assert ("dns/other.zone", 3) in run.places
    assert "10.9.9.9" not in json.dumps(run.report)


def test_symbolic_links(estate: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "outside").write_text(f"ssh {GOING} # outside\n")
    for path, target in {
        "out": "../outside",
        "absolute": str(tmp_path / "outside"),
        "loop": "loop",
        "gone": "nowhere",
        f"{OTHER}/etc/cron.d/out": str(tmp_path / "outside"),
        f"{OTHER}/etc/cron.d/up": "../" * 20 + str(tmp_path).lstrip("/") + "/outside",
    }.items():
        (estate / path).symlink_to(target)
    run = Run(estate, capsys)
    for path in ("out", "absolute", "loop", "gone", f"{OTHER}/etc/cron.d/out", f"{OTHER}/etc/cron.d/up"):
        assert run.gaps(path), path
    assert "# outside" not in json.dumps(run.report)


@pytest.mark.parametrize("length", [1, 2, 1000])
def test_cname_loops(estate: Path, capsys: pytest.CaptureFixture[str], length: int) -> None:
    lines = ["$ORIGIN example.org.", "@ IN SOA ns.example.org. root.example.org. 1 2 3 4 5"]
    lines += [f"a{n} IN CNAME a{(n + 1) % length}" for n in range(length)]
    lines += ["into IN CNAME a0", "www IN CNAME old"]
    write(estate, "dns/example.org.zone", "\n".join(lines) + "\n")
    write(estate, f"{OTHER}/etc/cron.d/loop", "1 1 * * * root curl https://into.example.org/\n")
    run = Run(estate, capsys)
    assert ("dns/example.org.zone", len(lines)) in run.places
    assert ("dns/example.org.zone", len(lines) - 1) not in run.places


def test_a_long_cname_chain(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["$ORIGIN example.org.", "@ IN SOA ns.example.org. root.example.org. 1 2 3 4 5"]
    lines += [f"a{n} IN CNAME a{n + 1}" for n in range(200)]
    lines += ["a200 IN CNAME old"]
    write(estate, "dns/example.org.zone", "\n".join(lines) + "\n")
    write(estate, f"{OTHER}/etc/cron.d/chain", "1 1 * * * root curl https://a0.example.org/\n")
    run = Run(estate, capsys)
    assert (f"{OTHER}/etc/cron.d/chain", 1) in run.places


@pytest.mark.parametrize("loop", [False, True])
def test_groups_in_groups(estate: Path, capsys: pytest.CaptureFixture[str], loop: bool) -> None:
    lines = [line for n in range(2000) for line in (f"[g{n}:children]", f"g{n + 1}")]
    lines += [f"[g2000{':children' if loop else ''}]", "g0" if loop else GOING, "[all-of-it]", GOING]
    write(estate, "ansible/hosts", "\n".join(lines) + "\n")
    write(estate, "ansible/site.yml", "- hosts: g0\n  tasks: []\n")
    run = Run(estate, capsys)
    empty = {one["subject"] for one in run.report["findings"] if one["rule"] == "group-left-empty"}
    assert ("group g0" in empty, "group g2000" in empty) == (not loop, not loop)
    assert "group all-of-it" in empty


def test_a_crontab_with_one_bad_line(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{OTHER}/etc/cron.d/report"
    write(estate, path, f"# report\n99 * * * * root true\n{GOOD}")
    run = Run(estate, capsys)
    ((line, detail),) = run.gaps(path)
    assert line == 2
    assert "cron" in detail  # what cron itself makes of the file
    assert (path, 3) in run.places


def test_a_bundle_with_one_corrupt_block(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = _certificate()
    bad = good.replace(good.split("\n")[3], "A" * 63 + "!")
    path = f"{OTHER}/etc/ssl/bundle.pem"
    write(estate, path, f"{good}{bad}{good.replace('CERTIFICATE', 'CERTIFICATE', 1)}")
    run = Run(estate, capsys)
    assert [line for line, _ in run.gaps(path)] == [good.count("\n") + 1]
    read = [one for one in run.report["coverage"] if one["area"] == "renewal" and one["outcome"] == "ok"]
    assert read


def _certificate() -> str:
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "www.example.org")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
    made = made.not_valid_after(datetime(2026, 1, 1, tzinfo=UTC))
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


PLACES = (
    f"{OTHER}/etc/crontab",
    f"{OTHER}/etc/cron.d/x",
    f"{OTHER}/var/spool/cron/crontabs/root",
    f"{OTHER}/etc/anacrontab",
    f"{OTHER}/etc/cron.daily/x",
    f"{OTHER}/etc/systemd/system/x.timer",
    f"{OTHER}/etc/systemd/system/x.service",
    f"{OTHER}/etc/systemd/system/x.service.d/a.conf",
    f"{OTHER}/etc/letsencrypt/renewal/x.conf",
    f"{OTHER}/etc/letsencrypt/cli.ini",
    f"{OTHER}/etc/letsencrypt/renewal-hooks/deploy/x.sh",
    f"{OTHER}/etc/ssl/x.pem",
    f"{OTHER}/etc/ssl/x.der",
    f"{OTHER}/proc/self/mountinfo",
    f"{OTHER}/etc/fstab",
    f"{OTHER}/etc/hosts",
    f"{OTHER}/etc/resolv.conf",
    f"{OTHER}/root/.ssh/known_hosts",
    f"{OTHER}/usr/local/bin/x.sh",
    f"{OTHER}/etc/prometheus/prometheus.yml",
    f"{OTHER}/etc/prometheus/rules/x.yml",
    f"{OTHER}/etc/alertmanager/alertmanager.yml",
    f"{OTHER}/etc/bind/db.example.org",
    "dns/example.org.zone",
    "inventory/hosts",
    "inventory/hosts.yml",
    "webhooks/x.json",
    "targets/x.json",
)
SEEDS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "line ends alone": lambda: b"\r\n\n\r\r\n",
    "no last line end": lambda: GOOD.strip().encode(),
    "truncated": lambda: b"[Unit]\nDescription=x\n[Serv",
    "truncated JSON": lambda: b'[{"id": 1, "config": {"url": "https://old.example.org/x"}, "events": ["pu',
    "binary": lambda: b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 64,
    "NULs at the end": lambda: GOOD.encode() + bytes(5000),
    "UTF-16": lambda: GOOD.encode("utf-16"),
    "Latin-1": lambda: b"# sch\xf6n\n" + GOOD.encode(),
    "mixed encodings": lambda: b"# sch\xf6n sch\xc3\xb6n \x80\xff\n" + GOOD.encode() + b"\xc3\n",
    "an endless line": lambda: b"x" * 3_000_000,
    "open brackets": lambda: b"(" * 100_000 + b"[" * 100_000 + b"{" * 100_000,
    "open quotes": lambda: b"a 'b \"c `d $(e <<F\n" * 20_000,
    "PEM heads": lambda: b"-----BEGIN CERTIFICATE-----\n" * 20_000,
}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_format_with_other_content(estate: Path, capsys: pytest.CaptureFixture[str], seed: str) -> None:
    content = SEEDS[seed]()
    for path in PLACES:
        write(estate, path, content)
    run = Run(estate, capsys, seconds=40)
    for one in run.report["coverage"]:
        if one.get("path") in PLACES and one["outcome"] == "partial":
            lines = content.count(b"\n") + content.count(b"\r") + 1
            assert 0 <= (one.get("line") or 0) <= lines
    if seed in ("UTF-16", "Latin-1", "mixed encodings", "no last line end"):
        cron = {line for path, line in run.places if path == f"{OTHER}/etc/cron.d/x"}
        assert cron, "a readable line in an odd encoding was not found"


@pytest.mark.parametrize(
    "line",
    [
        b"17 3 * * * root curl https://old.example.org/push\n",
        b"old IN A 10.0.0.17\n",
        b"10.0.0.17 old.example.org old\n",
        b"- {a: b}\n",
        b"\x00",
        b"[a]\n",
    ],
)
def test_huge_files(estate: Path, capsys: pytest.CaptureFixture[str], line: bytes) -> None:
    huge = 17 * 1024 * 1024
    content = line * (huge // len(line))
    for path in (f"{OTHER}/etc/cron.d/x", "inventory/hosts.yml", "notes/x.txt"):
        write(estate, path, content)
    run = Run(estate, capsys, seconds=60)
    for path in (f"{OTHER}/etc/cron.d/x", "inventory/hosts.yml", "notes/x.txt"):
        assert any("only the first" in detail for _, detail in run.gaps(path))


def test_more_mentions_than_are_kept(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(estate, "notes/many.txt", f"ssh {GOING}\n" * 25_000)
    run = Run(estate, capsys)
    ((_, detail),) = run.gaps("notes/many.txt")
    assert "20,000" in detail


def test_names_of_files(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(estate, "a\x1b[31m\n", GOING)
    place = os.fsencode(estate) + b"/sch\xf6n \xe2\x80\xae.txt"
    Path(os.fsdecode(place)).write_text(f"ssh {GOING}\n")
    run = Run(estate, capsys)
    assert any("control characters" in (one.get("detail") or "") for one in run.report["coverage"])
    assert any("sch" in path for path, _ in run.places)
    for form in ("text", "markdown"):
        assert main(["checklist", GOING, "--estate", str(estate), "--format", form]) in (1, 4)
        shown = capsys.readouterr().out
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_records_of_a_collection_are_not_trusted(estate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = {"path": f"{OTHER}/etc/anacrontab", "outcome": "denied", "detail": "\x1b[2J\u202e gone\nVERDICT CLEAR"}
    write(estate, "captures.jsonl", json.dumps(record) + "\n{\n" + "[" * 50_000 + "\n")
    run = Run(estate, capsys)
    assert [line for line, _ in run.gaps("captures.jsonl")] == [2, 3]
    for form in ("text", "markdown"):
        main(["checklist", GOING, "--estate", str(estate), "--format", form])
        shown = capsys.readouterr().out
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert not any(line.startswith("VERDICT CLEAR") for line in shown.splitlines())
