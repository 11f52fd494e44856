"""Real retirements as pull requests: what left inventories and zones is the change, all else is left as it was.

The trees are not part of the repository: `AUDITOR_SHARED` names the directory that holds `replays/`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from auditor.cli.main import main
from tests.realfiles import MISSING, REPLAYS

ROOT = Path(__file__).resolve().parent.parent
COMMITS = 50

pytestmark = [
    pytest.mark.skipif(not (REPLAYS / "score.py").is_file(), reason=MISSING),
    pytest.mark.skipif(shutil.which("git") is None, reason="there is no git"),
]


def git(repository: Path, *arguments: str) -> None:
    # The machine's own settings and hooks have no part in this.
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    command = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.net", *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def committed(tree: Path, repository: Path) -> Path:
    shutil.copytree(tree, repository, symlinks=True)
    git(repository, "init", "-q")
    git(repository, "add", "-A", "-f")
    git(repository, "commit", "-qm", "before")
    return repository


def gate(repository: Path, as_of: str, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    now = f"{as_of}T12:00:00Z"
    arguments = ["gate", "--repo", str(repository), "--base", "HEAD~1", "--head", "HEAD", "--now", now, "-q"]
    code = main([*arguments, "--format", "json", *options])
    printed = capsys.readouterr()
    assert code in (0, 1), printed.err
    report: dict[str, Any] = json.loads(printed.out)
    assert code == (0 if report["passed"] else 1)
    return report


def scoring() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replay_score", REPLAYS / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def taken_out(truth: list[Mapping[str, str]]) -> dict[str, set[int]]:
    """Lines of inventories and zones that the retirement took out first, by file; what followed later is left."""
    rows = [
        row
        for row in truth
        if (row["kind"] == "ansible-inventory" or "/named/" in row["file"] or row["file"].endswith(".zone"))
        and int(row["line"])
        and "_vars" not in row["file"]
    ]
    first = min((row["stage"] for row in rows), default="")
    found: dict[str, set[int]] = {}
    for row in rows:
        if row["stage"] == first:
            found.setdefault(row["file"], set()).add(int(row["line"]))
    return found


def test_a_change_that_only_takes_the_host_out_names_all_that_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score = scoring()
    hits = all_of_them = replays = out = 0
    for folder in sorted(path.parent for path in REPLAYS.glob("*/retired.json")):
        retired = json.loads((folder / "retired.json").read_text())
        removed = taken_out(score.rows(folder / "truth.tsv"))
        if retired["kind"] != "host" or not removed:
            continue
        replays += 1
        repository = committed(folder / "tree", tmp_path / folder.name)
        for path, gone in removed.items():
            lines = (repository / path).read_bytes().split(b"\n")
            kept = [line for number, line in enumerate(lines, 1) if number not in gone]
            (repository / path).write_bytes(b"\n".join(kept))
        git(repository, "commit", "-qam", "the host is gone")
        # The repository does not tell under which other names they were known; who retires them does.
        going = [f"--going={name}" for name in score.hosts(retired)]
        report = gate(repository, retired["as_of"], capsys, *going)
        shutil.rmtree(repository)

        numbers = {}
        for path, gone in removed.items():
            count = (folder / "tree" / path).read_bytes().count(b"\n") + 1
            numbers[path] = [number for number in range(1, count + 1) if number not in gone]
        found = set()
        for finding in report["findings"]:
            if finding["standing"] == "fixed":
                continue
            for place in finding["evidence"]:
                line = place["line"]
                if place["path"] in numbers and line:
                    line = numbers[place["path"]][line - 1]
                found.add((place["path"], line))
        measured = score.score(folder, found)
        assert not measured["decoys_hit"], folder.name
        assert not measured["false"], folder.name
        left = score.lines(folder / "truth.tsv", **{"class": "reference"})
        left -= {(path, number) for path, gone in removed.items() for number in gone}
        hit = {(path, number) for path, number in left if {(path, number), (path, 0)} & found}
        # What is left fails the change: that is the whole point. One host stays in a second group of the inventory.
        if report["removed"]:
            out += 1
            assert not report["passed"], folder.name
        hits += len(hit)
        all_of_them += len(left)
    assert replays >= 8
    assert out >= replays - 1
    assert hits >= 0.98 * all_of_them, f"{hits} of {all_of_them}"


def test_changes_that_have_nothing_to_do_with_servers_pass_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = REPLAYS / "arch-aur-dev-2022"
    repository = committed(folder / "tree", tmp_path / "repository")
    chance = random.Random(6)
    tracked = sorted(
        path
        for path in repository.rglob("*")
        if path.is_file() and not path.is_symlink() and ".git" not in path.parts and path.suffix in EDITS
    )
    for number in range(COMMITS):
        for path in chance.sample(tracked, chance.randint(1, 6)):
            if path.is_file():
                change(path, number, chance)
        git(repository, "add", "-A", "-f")
        git(repository, "commit", "-qm", str(number), "--allow-empty")
        cache = f"--cache-dir={tmp_path / 'cache'}"
        report = gate(repository, "2022-04-11", capsys, "--going=aur-dev.archlinux.org", cache)
        assert report["passed"], (number, report)
        told = [one for one in report["findings"] if one["standing"] in ("new", "worsened")]
        assert not told, (number, told)
        assert not report["removed"], (number, report["removed"])


EDITS = {".yml": "# {}\n", ".yaml": "# {}\n", ".sh": "# {}\n", ".conf": "# {}\n", ".md": "{}\n", ".txt": "{}\n"}


def change(path: Path, number: int, chance: random.Random) -> None:
    """A remark, lines that move down, another name for a document, or trailing space away."""
    content = path.read_bytes()
    remark = EDITS[path.suffix].format(f"Reviewed in round {number}").encode()
    what = chance.randrange(4)
    if what == 0:
        path.write_bytes(content.rstrip(b"\n") + b"\n" + remark)
    elif what == 1 and path.suffix in (".md", ".txt"):
        path.write_bytes(remark + content)
    elif what == 1 and path.suffix in (".yml", ".yaml", ".conf") and b"---" not in content:
        path.write_bytes(remark * 3 + content)
    elif what == 2 and path.suffix == ".md":
        path.rename(path.with_name(f"moved-{number}-{path.name}"))
    else:
        path.write_bytes(b"\n".join(line.rstrip() for line in content.split(b"\n")))
