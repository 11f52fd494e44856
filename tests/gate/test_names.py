"""Names and addresses that a change takes from a host that stays, or that goes already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditor.cli.main import main
from tests.gate.clones import BASE, NOW, Clone, judged, standing

ZONE = (
    "$ORIGIN example.net.\n$TTL 300\n@ IN SOA ns1 root 1 3600 600 86400 300\n@ IN NS ns1\nns1 IN A 192.0.2.1\n"
    "cert01 IN A 192.0.2.9\n"
)
ALIAS = "renew IN CNAME cert01\n"
ZONE_FILE = "dns/example.net.zone"
JOB_FILE = "roles/renew/files/renew.cron"
JOB = {JOB_FILE: "0 1 * * * root curl -fsS https://renew.example.net/run\n"}
NAMED = "    names: [renew.example.net]\n"
ADDRESSED = "    addresses: [192.0.2.9]\n"


def inventory(lifecycle: str, *more: str) -> dict[str, str]:
    host = f"  - name: cert01.example.net\n    lifecycle: {lifecycle}\n{''.join(more)}"
    return {"inventory.yaml": f"version: 1\ndomains: [example.net]\nhosts:\n{host}  - name: web01.example.net\n"}


def dependents(report: dict[str, Any], host: str) -> set[str]:
    """The places that still need a host or name that is taken out."""
    (removed,) = [one for one in report["removed"] if one["host"] == host]
    found = [one for one in report["findings"] if one["fingerprint"] in removed["dependents"]]
    return {f"{place['path']}:{place['line']}" for one in found for place in one["evidence"]}


@pytest.mark.parametrize("more", [(), (NAMED, ADDRESSED)], ids=["in DNS alone", "in the inventory too"])
@pytest.mark.parametrize(("lifecycle", "known"), [("retired", "known"), ("read-only", "new"), ("active", "new")])
def test_a_name_is_taken_out_of_dns_and_its_host_is_not(
    clone: Clone, capsys: pytest.CaptureFixture[str], lifecycle: str, known: str, more: tuple[str, ...]
) -> None:
    """Only what needs the name is left behind by it: what else needs the host is no better and no worse off."""
    clone.commit({**inventory(lifecycle, *more), ZONE_FILE: ZONE + ALIAS, **JOB})
    clone.commit({ZONE_FILE: ZONE})
    report = judged(clone, capsys)
    assert not report["passed"]
    assert [(one["host"], one["what"]) for one in report["removed"]] == [("renew.example.net", "is taken out of DNS")]
    assert dependents(report, "renew.example.net") == {f"{JOB_FILE}:1"}
    assert f"{JOB_FILE}:1" in standing(report, known)
    assert standing(report, "new", "worsened") <= {f"{JOB_FILE}:1"}
    assert not [one for one in report["not_looked_at"] if one["source"] == "renew.example.net"]


@pytest.mark.parametrize("lifecycle", ["retired", "read-only", "active"])
def test_a_name_that_nothing_needs_is_taken_out(
    clone: Clone, capsys: pytest.CaptureFixture[str], lifecycle: str
) -> None:
    clone.commit({**inventory(lifecycle, NAMED, ADDRESSED), ZONE_FILE: ZONE + ALIAS})
    clone.commit({ZONE_FILE: ZONE})
    report = judged(clone, capsys)
    assert report["passed"]
    assert dependents(report, "renew.example.net") == set()


def test_a_name_goes_with_the_record_of_its_host(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({**inventory("retired"), ZONE_FILE: ZONE + ALIAS, **JOB})
    clone.commit({ZONE_FILE: ZONE.replace("cert01 IN A 192.0.2.9\n", "")})
    report = judged(clone, capsys)
    assert dependents(report, "renew.example.net") == {f"{JOB_FILE}:1"}
    assert "roles/backup/files/backup.cron:1" in dependents(report, "cert01.example.net")


def test_a_name_goes_with_its_host(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """What is taken out is the host, however it was called."""
    clone.commit({ZONE_FILE: ZONE + ALIAS, **JOB})
    hosts = BASE["inventory/hosts"].replace("cert01.example.net\n", "")
    clone.commit({ZONE_FILE: ZONE, "inventory/hosts": hosts})
    report = judged(clone, capsys)
    assert [one["host"] for one in report["removed"]] == ["cert01.example.net"]
    assert {f"{JOB_FILE}:1", "roles/backup/files/backup.cron:1"} <= dependents(report, "cert01.example.net")


def test_a_name_is_taken_out_with_the_declaration_of_its_host(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """Which a list of machines still has: it goes as before, and the name goes by itself."""
    clone.commit({**inventory("retired", NAMED, ADDRESSED), ZONE_FILE: ZONE + ALIAS, **JOB})
    left = "version: 1\ndomains: [example.net]\nhosts:\n  - name: web01.example.net\n"
    clone.commit({ZONE_FILE: ZONE, "inventory.yaml": left})
    report = judged(clone, capsys)
    assert report["declared_active_again"] == ["cert01.example.net"]
    assert dependents(report, "renew.example.net") == {f"{JOB_FILE}:1"}


def test_a_file_that_names_both(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """What names the host and the name in one file was one finding, and stays known in its parts."""
    readme = "Renewals run on cert01.example.net.\nThey are called at renew.example.net.\n"
    clone.commit({**inventory("retired"), ZONE_FILE: ZONE + ALIAS, "docs/renewal.md": readme})
    clone.commit({ZONE_FILE: ZONE})
    report = judged(clone, capsys)
    assert not standing(report, "new", "worsened")
    assert {"docs/renewal.md:1", "docs/renewal.md:2"} <= standing(report, "known")


@pytest.mark.parametrize(
    ("before", "after", "word", "job"),
    [
        ((NAMED, ADDRESSED), (ADDRESSED,), "renew.example.net", JOB[JOB_FILE]),
        ((NAMED, ADDRESSED), (NAMED,), "192.0.2.9", "0 1 * * * root curl -fsS https://192.0.2.9/run\n"),
    ],
    ids=["name", "address"],
)
def test_a_going_host_is_not_called_so_any_more(
    clone: Clone,
    capsys: pytest.CaptureFixture[str],
    before: tuple[str, ...],
    after: tuple[str, ...],
    word: str,
    job: str,
) -> None:
    """A change could else make what needs a going host look mended, by forgetting what the host is called."""
    clone.commit({**inventory("retired", *before), JOB_FILE: job})
    clone.commit(inventory("retired", *after))
    report = judged(clone, capsys)
    assert not report["passed"]
    (removed,) = report["removed"]
    assert (removed["host"], removed["what"]) == (word, "is taken out of the inventory")
    assert [word in place["excerpt"] for place in removed["at"]] == [True]
    assert dependents(report, word) == {f"{JOB_FILE}:1"}
    assert not standing(report, "fixed")
    assert judged(clone, capsys, "--trust-head")["removed"] == []


def test_a_name_of_a_going_host_that_moves_to_another(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    clone.commit({**inventory("retired", NAMED), **JOB})
    moved = {path: text + NAMED for path, text in inventory("retired").items()}
    clone.commit(moved)
    report = judged(clone, capsys)
    assert report["passed"]
    assert report["removed"] == []
    assert f"{JOB_FILE}:1" in standing(report, "fixed")


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--head", "HEAD"], "{head}:inventory.yaml:6:"), ([], "{root}/inventory.yaml:6:")],
    ids=["commit", "files on disk"],
)
def test_errors_name_files_as_people_do(
    clone: Clone, capsys: pytest.CaptureFixture[str], options: list[str], named: str
) -> None:
    wrong = {path: text.replace("retired", "retird") for path, text in inventory("retired").items()}
    clone.commit({path: text.replace("hosts:", "owner: me\nhosts:") for path, text in wrong.items()})
    assert main(["gate", "--repo", str(clone.root), "--base", "HEAD~1", *options, "--now", NOW]) == 2
    said = capsys.readouterr().err
    place = named.format(head=clone.git("rev-parse", "HEAD")[:12], root=clone.root.resolve())
    assert f"auditor: {place}" in said


def test_errors_name_files_by_the_shortest_path(
    clone: Clone, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.commit({"inventory.yaml": "version: 1\nhosts: 7\n"})
    monkeypatch.chdir(clone.root)
    assert main(["gate", "--base", "HEAD~1", "--now", NOW]) == 2
    assert capsys.readouterr().err.startswith("auditor: inventory.yaml:2: ")


def test_a_wrong_baseline_of_a_commit_is_named(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    policy = {"policy.yaml": "version: 1\nbaseline: base.json\n", "base.json": "{"}
    clone.commit({**inventory("retired"), **policy})
    clone.commit({"README.md": BASE["README.md"] + "changed\n"})
    report = judged(clone, capsys)
    head = clone.git("rev-parse", "HEAD")[:12]
    assert report["failures"][0]["error"].startswith(f"{head}:base.json:")


def test_a_host_that_was_asked_for_and_that_nothing_names(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """It may have gone as it should, or its name may be spelt wrong."""
    clone.commit({"README.md": BASE["README.md"] + "changed\n"})
    report = judged(clone, capsys, "--going", "cert10.example.net", "--going", "web02.example.net")
    (note,) = [note for note in report["notes"] if "named nowhere" in note]
    assert note.startswith("cert10.example.net is named nowhere in the estate. Is the name spelt right")
    assert "Did you mean cert01.example.net" in note


@pytest.mark.parametrize(
    ("place", "said", "to_do"),
    [
        ("nowhere", "no such directory", "Give the directory of a clone."),
        ("file", "no such directory", "Give the directory of a clone."),
        ("plain", "is in no git repository", "Give the directory of a clone."),
    ],
)
def test_what_is_no_clone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, said: str, to_do: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "plain").mkdir()
    assert main(["gate", "--repo", str(tmp_path / place), "--base", "HEAD", "--now", NOW]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert to_do in told
