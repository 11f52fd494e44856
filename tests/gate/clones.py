"""Repositories made for a test, and what the gate says of a change of them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from auditor.cli.main import main

NOW = "2026-06-01T12:00:00Z"
INVENTORY = "[web]\nweb01.example.net\nweb02.example.net\n\n[old]\ncert01.example.net\n"
CRONTAB = "17 3 * * * root rsync -a /srv/ cert01.example.net:/backup/\n"
BASE = {
    "inventory/hosts": INVENTORY,
    "roles/backup/files/backup.cron": CRONTAB,
    "playbooks/old.yml": "- hosts: old\n  tasks:\n    - ansible.builtin.debug:\n        msg: renewed\n",
    "prometheus/prometheus.yml": "scrape_configs:\n  - job_name: certs\n    static_configs:\n"
    "      - targets: [cert01.example.net:9100]\n",
    "README.md": "Servers of example.net\n",
}
DECLARED = "version: 1\nhosts:\n  - name: cert01.example.net\n    lifecycle: {}\n  - name: web01.example.net\n"


class Clone:
    """A repository in a temporary directory."""

    def __init__(self, root: Path, files: Mapping[str, str | None]) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        self.commit(files)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            [
                "git",
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@example.net",
                "-c",
                "protocol.file.allow=always",
                *arguments,
            ],
            cwd=self.root,
            env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def write(self, files: Mapping[str, str | None]) -> None:
        for path, content in files.items():
            target = self.root / path
            if content is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)

    def commit(self, files: Mapping[str, str | None]) -> None:
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-qm", "change")


def judged(clone: Clone, capsys: pytest.CaptureFixture[str], *options: str, base: str = "HEAD~1") -> dict[str, Any]:
    """The gate's JSON, with its exit code."""
    head = [] if "--head" in options else ["--head", "HEAD"]
    code = main(["gate", "--repo", str(clone.root), "--base", base, *head, "--now", NOW, "--format", "json", *options])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == (0 if report["passed"] else 1)
    return report


def standing(report: Mapping[str, Any], *standings: str) -> set[str]:
    """Places of findings, as path:line."""
    found = [one for one in report["findings"] if one["standing"] in standings]
    return {f"{place['path']}:{place['line']}" for one in found for place in one["evidence"]}
