"""Directories and git revisions as sources: copied without secrets, with what could not be read told."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from auditor.cli.main import main

INVENTORY = """\
version: 1
hosts:
  - {name: old-01.example.net, lifecycle: retired}
sources:
"""


def estate(directory: Path, sources: str) -> Path:
    place = directory / "estate"
    place.mkdir()
    (place / "inventory.yaml").write_text(INVENTORY + sources)
    return place


def collected(place: Path, *more: str) -> tuple[int, Path, dict[str, dict[str, str]]]:
    snapshot = place.parent / "snapshot"
    code = main(["collect", "--estate", str(place), "-o", str(snapshot), "-q", *more])
    rows = [json.loads(line) for line in (snapshot / "captures.jsonl").read_text().splitlines()]
    return code, snapshot, {row["path"]: row for row in rows}


def git(repository: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.net"]
    subprocess.run(["git", "-C", str(repository), *identity, *words], check=True)


def test_a_directory_beside_the_inventory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = estate(tmp_path, "  - {kind: tree, name: configuration, path: ../configuration}\n")
    roles = tmp_path / "configuration/roles/web"
    roles.mkdir(parents=True)
    (roles / "main.yml").write_text("- command: ssh old-01.example.net\n  environment: {PASSWORD: planted-secret-1}\n")
    (tmp_path / "configuration/.git").mkdir()
    (tmp_path / "configuration/.git/config").write_text("x\n")
    host = tmp_path / "configuration/hosts/web-01.example.net/etc/cron.d"
    host.mkdir(parents=True)
    (host / "x").write_text("5 4 * * * root ssh old-01.example.net run\n")
    code, snapshot, rows = collected(place)
    assert code == 0, capsys.readouterr()
    kept = (snapshot / "trees/configuration/roles/web/main.yml").read_text()
    assert "old-01.example.net" in kept
    assert "planted-secret-1" not in kept
    assert not (snapshot / "trees/configuration/.git").exists()
    assert (snapshot / "hosts/web-01.example.net/etc/cron.d/x").is_file()
    assert rows["trees/configuration"]["outcome"] == "ok"
    capsys.readouterr()
    main(["checklist", "old-01.example.net", "--estate", str(snapshot), "--format", "json", "-q"])
    found = {one["path"] for finding in json.loads(capsys.readouterr().out)["findings"] for one in finding["evidence"]}
    assert {"trees/configuration/roles/web/main.yml", "hosts/web-01.example.net/etc/cron.d/x"} <= found


def test_a_revision_and_not_what_is_on_disk(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    (repository / "a.yml").write_text("host: old-01.example.net\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "a")
    (repository / "a.yml").write_text("host: later.example.net\n")
    (repository / "b.yml").write_text("never committed\n")
    place = estate(tmp_path, "  - {kind: git, name: repo, path: ../repository, rev: main}\n")
    code, snapshot, _ = collected(place)
    assert code == 0
    assert (snapshot / "trees/repo/a.yml").read_text() == "host: old-01.example.net\n"
    assert not (snapshot / "trees/repo/b.yml").exists()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{kind: tree, name: s, path: ../none}", "no such directory"),
        ("{kind: git, name: s, path: ../estate}", "git"),
    ],
)
def test_what_is_not_there_is_a_gap(tmp_path: Path, source: str, words: str) -> None:
    code, _, rows = collected(estate(tmp_path, f"  - {source}\n"))
    assert code == 4
    (row,) = [row for row in rows.values() if row["outcome"] != "ok"]
    assert words in row["detail"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    place = estate(tmp_path, "  - {kind: tree, name: s, path: ../x}\n")
    (tmp_path / "x").mkdir()
    (tmp_path / "x/secret.yml").write_text("x\n")
    (tmp_path / "x/secret.yml").chmod(0)
    code, _, rows = collected(place)
    assert code == 4
    assert rows["trees/s/secret.yml"]["outcome"] == "denied"


def test_a_link_out_of_the_directory_is_told(tmp_path: Path) -> None:
    place = estate(tmp_path, "  - {kind: tree, name: s, path: ../x}\n")
    (tmp_path / "x").mkdir()
    (tmp_path / "outside.yml").write_text("planted\n")
    (tmp_path / "x/link.yml").symlink_to(tmp_path / "outside.yml")
    code, snapshot, rows = collected(place)
    assert code == 4
    assert "leads out of the estate" in rows["trees/s/link.yml"]["detail"]
    assert not (snapshot / "trees/s/link.yml").exists()


def test_it_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = estate(tmp_path, "  - {kind: tree, name: s, path: ../x}\n")
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a.yml").write_text("one\n")
    collected(place)
    (tmp_path / "x/a.yml").write_text("two\n")
    _, snapshot, _ = collected(place, "--resume")
    assert (snapshot / "trees/s/a.yml").read_text() == "one\n"
