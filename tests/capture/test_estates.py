"""Several estates read as one: the newest look counts, a failed one deletes nothing, and each keeps its time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from auditor.audit.engine import open_tree
from auditor.capture.pack import pack
from auditor.capture.tree import Tree
from auditor.cli.main import main
from auditor.model import Outcome

JOB = "hosts/web/etc/cron.d/job"
CROND = "hosts/web/etc/cron.d"
MONDAY, TUESDAY = "2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z"
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(
        name: str, files: Mapping[str, str], at: str = "", *records: tuple[str, str, str], packed: bool = False
    ) -> Path:
        lines = [(path, "ok", at) for path in files if at and path != "inventory.yaml"] + list(records)
        captures = "".join(
            json.dumps({"path": path, "outcome": said, "collected_at": when, "detail": "" if said == "ok" else "why"})
            + "\n"
            for path, said, when in lines
        )
        for path, content in {**files, **({"captures.jsonl": captures} if lines else {})}.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(content)
        if not packed:
            return tmp_path / name
        pack(tmp_path / name, tmp_path / f"{name}.sqlar")
        return tmp_path / f"{name}.sqlar"

    return write


def held(tree: Tree) -> dict[str, str]:
    return {one.estate_path: tree.read(one).decode() for one in tree.files()}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_the_newest_capture_counts_in_any_order(make: Make, turned: bool, packed: bool) -> None:
    paths = [make("a", {JOB: "old\n"}, MONDAY, packed=packed), make("b", {JOB: "new\n"}, TUESDAY)]
    tree = open_tree(paths[::-1] if turned else paths)
    assert held(tree) == {JOB: "new\n"}
    assert tree.collected(JOB) == TUESDAY
    assert tree.origin(JOB) == str(paths[1])


def test_what_has_a_time_counts_before_what_has_none_and_else_the_last_one(make: Make) -> None:
    dated, plain, other = make("a", {JOB: "dated\n"}, MONDAY), make("b", {JOB: "plain\n"}), make("c", {JOB: "other\n"})
    assert held(open_tree([dated, plain])) == {JOB: "dated\n"}
    assert held(open_tree([plain, other])) == {JOB: "other\n"}
    stated = make("d", {JOB: "stated\n", "inventory.yaml": f"version: 1\ncollected_at: {TUESDAY}\n"})
    assert held(open_tree([stated, dated]))[JOB] == "stated\n"


@pytest.mark.parametrize(
    ("records", "left"),
    [
        ([(JOB, "absent", TUESDAY)], False),
        ([(CROND, "ok", TUESDAY)], False),
        ([(CROND, "absent", TUESDAY)], False),
        ([(JOB, "denied", TUESDAY)], True),
        ([(CROND, "unreachable", TUESDAY)], True),
        ([("hosts/web", "unreachable", TUESDAY)], True),
        ([("hosts/web", "partial", TUESDAY), (CROND, "ok", TUESDAY)], True),
        ([("hosts/web", "ok", TUESDAY)], True),
        ([(JOB, "absent", "2026-05-01T00:00:00Z")], True),
        ([(JOB, "absent", "")], True),
    ],
)
def test_what_a_later_look_says_of_a_file(make: Make, records: list[tuple[str, str, str]], left: bool) -> None:
    """It is gone only if someone looked later, and at the place; a failure or a host that was cut off says nothing."""
    tree = open_tree(
        [make("a", {JOB: "old\n"}, MONDAY), make("b", {"hosts/web/etc/hostname": "web\n"}, TUESDAY, *records)]
    )
    assert (JOB in held(tree)) is left


def test_a_failure_says_when_it_was_last_seen(make: Make) -> None:
    old = make("a", {JOB: "old\n"}, MONDAY)
    tree = open_tree([old, make("b", {}, "", (JOB, "denied", TUESDAY))])
    assert tree.captures[JOB].outcome is Outcome.DENIED
    assert tree.captures[JOB].detail == f"why; last seen {MONDAY} in {old}"
    assert held(tree) == {JOB: "old\n"}
    assert tree.collected(JOB) == MONDAY


def test_the_first_inventory_counts_and_another_is_told_of(make: Make) -> None:
    first = make("a", {"inventory.yaml": "version: 1\ndomains: [a.example]\n"})
    second = make("b", {"inventory.yaml": "version: 1\ndomains: [b.example]\n"})
    tree = open_tree([make("c", {JOB: "x\n"}), first, second])
    assert held(tree)["inventory.yaml"].endswith("[a.example]\n")
    (told,) = [one for one in tree.coverage if one.outcome is Outcome.UNSUPPORTED]
    assert (told.what, told.needed) == (f"inventory.yaml of {second}", False)


GOING = "old.example.org"
INVENTORY = f"version: 1\ndomains: [example.org]\nhosts:\n  - {{name: {GOING}, lifecycle: retired}}\n  - name: web\n"
PUSH = f"1 1 * * * root curl -fsS https://{GOING}/push\n"


def audit(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["audit", "-q", "--now", "2026-06-03T00:00:00Z", "--format", "json", *words])
    out = capsys.readouterr().out
    return code, json.loads(out)


def test_each_piece_of_evidence_says_in_which_estate_it_is(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    declared = make("a", {"inventory.yaml": INVENTORY})
    snapshot = make("b", {JOB: PUSH}, MONDAY, packed=True)
    code, report = audit(capsys, "--estate", str(declared), "--estate", str(snapshot))
    assert code == 1
    (finding,) = [one for one in report["findings"] if one["rule"] == "job-calls-going-host"]
    assert (finding["evidence"][0]["path"], finding["evidence"][0]["estate"]) == (JOB, str(snapshot))
    assert finding["evidence"][0]["collected_at"] == MONDAY


# What CLEAR needs of a host that goes, each captured and with nothing in it.
EMPTY = {
    "inventory.yaml": INVENTORY,
    f"hosts/{GOING}/etc/fstab": "/dev/vda1 / ext4 defaults 0 1\n",
    "prometheus/prometheus.yml": "scrape_configs: []\n",
    "prometheus/alertmanager.yml": "route: {receiver: none}\nreceivers: [{name: none}]\n",
    "dns/example.org.zone": "$ORIGIN example.org.\n@ IN SOA ns root 1 2 3 4 5\n",
}


def unseen(report: dict[str, Any]) -> list[str]:
    return [one["what"] for one in report["coverage"] if one["outcome"] == "unseen" and "as it is now" in one["what"]]


def test_what_is_too_old_counts_as_not_seen(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    estate = str(make("a", EMPTY, MONDAY, (f"hosts/{GOING}/etc/cron.d", "absent", MONDAY)))
    _, report = audit(capsys, "--estate", estate, "--max-age", "7d")
    assert unseen(report) == []
    code, report = audit(capsys, "--estate", estate, "--max-age", "36h")
    assert (code, report["verdict"]) == (4, "INCOMPLETE")
    assert f"storage on {GOING}, as it is now" in unseen(report)
    # That something was absent then says nothing of now.
    assert f"schedules on {GOING}, as it is now" in unseen(report)
    assert not [one for one in report["coverage"] if one["outcome"] == "absent" and one["path"].endswith("cron.d")]
    (one,) = [one for one in report["coverage"] if one["what"] == "names in the tree, as it is now"]
    assert "is older than 36 hours: the oldest is of 2026-06-01, 2 days ago. Collect again." in one["detail"]


def test_an_old_capture_still_shows_what_depends(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    estate = str(make("a", {**EMPTY, JOB: PUSH}, MONDAY))
    code, report = audit(capsys, "--estate", estate, "--max-age", "1h")
    assert code == 1
    assert "job-calls-going-host" in [one["rule"] for one in report["findings"]]


def test_a_younger_estate_makes_up_for_an_old_one(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    old = make("a", EMPTY, MONDAY)
    young = make("b", {path: text for path, text in EMPTY.items() if "inventory" not in path}, "2026-06-02T20:00:00Z")
    _, report = audit(capsys, "--estate", str(old), "--estate", str(young), "--max-age", "12h")
    assert unseen(report) == []
    names = {path: text for path, text in EMPTY.items() if path.startswith("dns/")}
    part = make("c", names, "2026-06-02T20:00:00Z")
    _, report = audit(capsys, "--estate", str(old), "--estate", str(part), "--max-age", "12h")
    assert "names in the tree, as it is now" not in unseen(report)
    assert "monitoring in the tree, as it is now" in unseen(report)


def test_without_a_time_nobody_knows_how_old_it_is(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    _, report = audit(capsys, "--estate", str(make("a", EMPTY)), "--max-age", "1h")
    assert [one["what"] for one in report["coverage"] if one["what"].startswith("the age of")] == [
        "the age of 4 captures"
    ]


@pytest.mark.parametrize("text", ["7", "d", "-1d", "1.5h", "7y", "0d", "9999999d"])
def test_an_age_that_is_none(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(["audit", f"--max-age={text}"])
    assert left.value.code == 2
    assert "such as 36h or 7d" in capsys.readouterr().err
