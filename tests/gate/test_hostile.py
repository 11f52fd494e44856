"""Repositories that want something run, or something not seen: by what is in them, and by their own settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from auditor.cli.main import main
from tests.gate.clones import CRONTAB, NOW, Clone, judged, standing

LINE = "1 1 * * * root ssh cert01.example.net true\n"
GOING = ("--going", "cert01.example.net")


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


def program(tmp_path: Path, marker: Path) -> str:
    path = tmp_path / "evil"
    path.write_text(f"#!/bin/sh\ntouch {marker}\nexec cat\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("head", ["HEAD", "worktree"])
@pytest.mark.parametrize(
    "settings",
    [
        {"diff.evil.textconv": "{}"},
        {"diff.evil.command": "{}"},
        {"diff.external": "{}"},
        {"filter.evil.smudge": "{}", "filter.evil.clean": "{}"},
        {"filter.evil.process": "{}", "filter.evil.required": "true"},
        {"core.fsmonitor": "{}"},
        {"core.pager": "{}", "core.editor": "{}", "pager.diff": "{}"},
        {"core.hooksPath": "."},
        {"core.sshCommand": "{}", "core.gitProxy": "{}", "core.askPass": "{}", "credential.helper": "{}"},
        {"core.alternateRefsCommand": "{}", "uploadpack.packObjectsHook": "{}"},
        {"alias.ls-tree": "!{}", "alias.cat-file": "!{}"},
        {"gpg.program": "{}", "log.showSignature": "true"},
    ],
)
def test_settings_that_name_programs(
    clone: Clone,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    marker: Path,
    settings: dict[str, str],
    head: str,
) -> None:
    evil = program(tmp_path, marker)
    clone.commit({".gitattributes": "* diff=evil filter=evil\n", "x.cron": LINE})
    clone.write({"y.cron": LINE, "x.cron": LINE * 2})
    clone.git("add", "-A")
    clone.git("commit", "-qm", "more")
    clone.write({"y.cron": LINE + "# on disk\n"})
    for hook in ("post-checkout", "post-index-change", "fsmonitor-watchman", "pre-commit"):
        path = clone.root / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {marker}\n")
        path.chmod(0o755)
    for name, value in settings.items():
        clone.git("config", name, value.format(evil))
    marker.unlink(missing_ok=True)
    report = judged(clone, capsys, *GOING, "--head", head)
    assert not marker.exists()
    assert {"y.cron:1", "x.cron:2"} <= standing(report, "new", "worsened")


def test_a_partial_clone_fetches_nothing(
    clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path, marker: Path
) -> None:
    evil = program(tmp_path, marker)
    blob = clone.git("rev-parse", "HEAD:README.md")
    (clone.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for name, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": "ssh://host.invalid/x",
        "remote.origin.promisor": "true",
        "core.sshCommand": evil,
    }.items():
        clone.git("config", name, value)
    assert main(["gate", "--repo", str(clone.root), "--base", "HEAD", "--head", "HEAD", *GOING]) == 2
    assert "can't read the objects" in capsys.readouterr().err
    assert not marker.exists()


def test_replaced_and_grafted_objects(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither can put other content, or another history, in the place of what was reviewed."""
    first = clone.git("rev-parse", "HEAD")
    clone.commit({"x.cron": LINE})
    head = clone.git("rev-parse", "HEAD")
    plain = judged(clone, capsys, *GOING)
    blob, other = clone.git("rev-parse", "HEAD:x.cron"), clone.git("rev-parse", "HEAD:README.md")
    clone.git("replace", blob, other)
    (clone.root / ".git/info").mkdir(exist_ok=True)
    (clone.root / ".git/info/grafts").write_text(f"{head}\n")
    report = judged(clone, capsys, *GOING, base=first)
    assert standing(report, "new") == standing(plain, "new") == {"x.cron:1"}


def test_objects_that_are_kept_elsewhere(clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    clone.commit({"x.cron": LINE})
    borrowed = tmp_path / "borrowed"
    subprocess.run(["git", "clone", "-q", "--shared", str(clone.root), str(borrowed)], check=True)
    assert (borrowed / ".git/objects/info/alternates").is_file()
    code = main(["gate", "--repo", str(borrowed), "--base", "HEAD~1", "--head", "HEAD", "--now", NOW, *GOING])
    assert code == 1
    assert "x.cron:1" in capsys.readouterr().out


def test_a_change_that_only_touches_what_git_itself_reads(
    clone: Clone, capsys: pytest.CaptureFixture[str], marker: Path
) -> None:
    """Attributes can call a file binary, in another encoding, or generated: its lines count all the same."""
    clone.commit({"x.cron": "# nothing\n"})
    attributes = "*.cron -diff -text binary linguist-generated ident export-ignore\n"
    clone.commit({".gitattributes": attributes, ".mailmap": f"$(touch {marker})\n", ".gitmodules": "[x\n"})
    clone.commit({"x.cron": LINE})
    report = judged(clone, capsys, *GOING)
    assert "x.cron:1" in standing(report, "new")
    assert not marker.exists()


def test_odd_encodings(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in {
        "utf16.txt": ("\ufeff" + LINE).encode("utf-16-le"),
        "latin.txt": b"caf\xe9 cert01.example.net\n",
        "bom.cron": b"\xef\xbb\xbf" + LINE.encode(),
        "nul.txt": b"\0\0 cert01.example.net\n",
        "cr.txt": b"a\rb cert01.example.net\r\n",
        "bidi.txt": "\u202ecert01.example.net\n".encode(),
    }.items():
        (clone.root / name).write_bytes(content)
    clone.commit({})
    found = {place.partition(":")[0] for place in standing(judged(clone, capsys, *GOING), "new")}
    assert {"utf16.txt", "latin.txt", "bom.cron", "nul.txt", "cr.txt", "bidi.txt"} <= found


def test_links_and_modes(clone: Clone, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Links out of the repository are not followed, whatever is behind them on this machine."""
    secret = tmp_path / "secret"
    secret.write_text("cert01.example.net token\n")
    for name, target in {
        "absolute": str(secret),
        "upwards": "../../secret",
        "directory": "roles",
        "proc": "/proc/self/environ",
        "chain": "absolute",
        "dangling": "nosuch",
        "new\nline": "README.md",
    }.items():
        (clone.root / name).symlink_to(target)
    clone.commit({"roles/backup/files/backup.cron": CRONTAB + LINE})
    for head in ("HEAD", "worktree"):
        report = judged(clone, capsys, *GOING, "--head", head)
        assert "token" not in str(report)
        assert {place.partition(":")[0] for place in standing(report, "new", "worsened")} == {
            "roles/backup/files/backup.cron"
        }
        unseen = {one["path"] for one in report["not_seen_any_more"]}
        assert {"absolute", "upwards", "proc", "chain", "dangling", "new\\nline"} <= unseen


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_pipes_on_disk(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(clone.root / "pipe.cron")
    assert judged(clone, capsys, "--head", "worktree", base="HEAD")["passed"]
    # In the place of a file of the repository git itself refuses it; nothing waits for it.
    (clone.root / "README.md").unlink()
    os.mkfifo(clone.root / "README.md")
    assert main(["gate", "--repo", str(clone.root), "--base", "HEAD"]) == 2
