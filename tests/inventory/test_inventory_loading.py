from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.errors import InventoryError
from auditor.inventory import load_inventory, starter
from auditor.inventory.loading import loads
from auditor.model import Lifecycle

HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").glob("*.yaml"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())["problems"]
    with pytest.raises(InventoryError) as caught:
        load_inventory(path)
    problems = list(caught.value.problems)
    for item in expected:
        start = f"{path}:{item['line']}: " if item["line"] else f"{path}: "
        hits = [problem for problem in problems if problem.startswith(start) and item["text"] in problem]
        assert len(hits) == 1, f"{item} in\n" + "\n".join(caught.value.problems)
        problems.remove(hits[0])
    assert not problems
    assert "geheim" not in str(caught.value)
    assert caught.value.hint


def test_complete() -> None:
    inventory = load_inventory(HERE / "complete.yaml")
    hosts = inventory.expanded()
    assert len(hosts) == 1 + 1 + 340 + 2 + 2
    old = hosts[0]
    assert (old.lifecycle, old.since, old.on) == (
        Lifecycle.READ_ONLY,
        datetime(2026, 6, 20, tzinfo=UTC),
        datetime(2026, 12, 1, tzinfo=UTC),
    )
    assert old.successor == "cert-02.parcel.example"
    assert old.addresses == ("10.20.4.17", "2001:db8::17")
    assert old.roles == ("certificates", "acme", "web")
    assert old.read_only_paths == ("/etc/letsencrypt",)
    assert (old.line, old.lines["since"]) == (11, 15)
    last_api = hosts[341]
    assert (last_api.name, last_api.names, last_api.addresses) == (
        "api340.parcel.example",
        ("api340.int.parcel.example",),
        ("10.20.9.84",),
    )
    assert (last_api.owner, last_api.network, last_api.declared_as) == (
        "platform",
        "east",
        "api[001:340].parcel.example",
    )
    assert [(host.name, host.successor, host.site) for host in hosts[-2:]] == [
        ("worker1.parcel.example", "jobs1.parcel.example", "Reno"),
        ("worker2.parcel.example", "jobs2.parcel.example", "Reno"),
    ]
    assert inventory.collected_at == datetime(2026, 11, 20, 11, 12, tzinfo=UTC)
    assert inventory.domains == ("parcel.example", "parcel2.example")
    assert [host.name for host in inventory.find("ACME-hook")] == ["old-cert-01.parcel.example"]
    assert sum(len(entry.expanded()) for entry in inventory.hosts) == len(hosts)
    assert inventory.webhooks[0].sender == "cert-02.parcel.example"
    step = inventory.procedures[0].steps[1]
    assert (step.duration, inventory.procedures[0].last_rehearsed) == (10800, None)
    escrow = inventory.keys[0].escrow
    assert escrow is not None
    assert escrow.duration == 129600


def test_lines_are_those_of_the_file() -> None:
    path = HERE / "complete.yaml"
    inventory = load_inventory(path)
    text = path.read_text().splitlines()
    for at, host in enumerate(inventory.hosts):
        assert inventory.lines[f"hosts[{at}]"] == host.line
        assert f"name: {host.name}" in text[host.line_of("name") - 1]
    assert "10.20.4.17" in inventory.where(inventory.lines["hosts[0].addresses[0]"]).excerpt
    # A merged key keeps the line it was written on.
    assert "site: Reno" in text[inventory.hosts[4].line_of("site") - 1]


def test_starter_is_valid_also_with_its_comments_opened() -> None:
    assert len(loads(starter().encode()).expanded()) == 22
    lines = starter().splitlines()
    opened = "\n".join(
        line[2:]
        if line.startswith(("#   ", "# sources:", "# absent:", "# not_", "# services:", "# procedures:", "# keys:"))
        else line
        for line in lines
    )
    inventory = loads(opened.encode())
    assert (len(inventory.sources), len(inventory.absent), len(inventory.keys)) == (3, 1, 1)
    assert len(inventory.not_collected) == 1


def test_now_decides_what_is_past() -> None:
    text = b"version: 1\nabsent: [{area: webhooks, reason: r, by: ops, on: 2025-01-01, until: 2026-01-01}]\n"
    assert loads(text).absent[0].until == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(InventoryError, match="ended on 2026-01-01"):
        loads(text, now=datetime(2026, 11, 1, tzinfo=UTC))


def test_yaml_1_1_words_are_text() -> None:
    inventory = loads(
        b"version: 1\nname: no\nowner: 22:30\nhosts:\n- {name: a.b, lifecycle: retiring, on: 2027-01-01, site: NO}\n"
    )
    assert (inventory.name, inventory.owner, inventory.hosts[0].site) == ("no", "22:30", "NO")


def bomb() -> bytes:
    text = "version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for n in range(1, 9):
        text += f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]\n"
    return text.encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bomb(), "inventory.yaml:7: more than 1000000 values"),
        (b"[" * 1_000_000, "inventory.yaml:1: nested more than 100 levels deep"),
        (b"a:\n" + b"".join(b" " * n + b"a:\n" for n in range(1, 300)), "inventory.yaml:101: nested more than 100"),
        (b"#" * (16 * 1024 * 1024 + 1), "inventory.yaml: larger than 16 MiB"),
        (b"version: 1\nname: \xff\n", "inventory.yaml:2: byte 0xff is not UTF-8"),
        (b"version: 1\n\nname: a\x00b\n", "inventory.yaml:3: the character U+0000 is not allowed"),
        (b"version: 1\nhosts:\n" + b"- {name: 'h[1:100000]', owner: x}\n" * 11, "1100000 hosts are more than 1000000"),
    ],
    ids=["bomb", "brackets", "blocks", "large", "encoding", "nul", "ranges"],
)
def test_hostile(content: bytes, message: str) -> None:
    begin = time.process_time()
    with pytest.raises(InventoryError) as caught:
        loads(content)
    assert message in str(caught.value)
    assert time.process_time() - begin < 5


def test_utf_16_and_bom() -> None:
    text = "version: 1\nname: Größe\n"
    for encoding in ("utf-16", "utf-8-sig"):
        assert loads(text.encode(encoding)).name == "Größe"


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="can't be read"):
        load_inventory(tmp_path / "inventory.yaml")


KEYS = st.sampled_from(
    ["version", "hosts", "name", "names", "addresses", "sources", "kind", "steps", "absent", "on", "<<", "x"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["ssh", "a[1:3].b", "10.0.0.1-10.0.0.3"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150)
@given(st.dictionaries(KEYS, VALUES) | VALUES)
def test_any_value_is_an_inventory_or_problems(value: object) -> None:
    if isinstance(value, dict):
        value["zzz"] = 1
    with pytest.raises(InventoryError) as caught:
        loads(json.dumps(value).encode())
    assert all(problem.startswith("inventory.yaml") for problem in caught.value.problems)


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.text("abc:-[]{}&*!<>|#'\"\n \t1", max_size=80).map(str.encode))
def test_any_bytes_are_an_inventory_or_problems(content: bytes) -> None:
    with pytest.raises(InventoryError):
        loads(content)


def test_import_is_light() -> None:
    code = (
        "import sys, auditor.inventory as i; i.starter(); print([m for m in ('pydantic', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
