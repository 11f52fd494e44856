"""The plugin of the documentation: found by its entry points, it reads its format and finds what it is for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PLUGIN: Final = ROOT / "docs/examples/plugin"


def test_the_plugin_of_the_documentation(tmp_path: Path) -> None:
    """Its metadata is laid down as an installation would: nothing is fetched or built for that."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    information = tmp_path / "site" / f"example_auditor-{project['version']}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"]
    (information / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n{''.join(f'{name} = {value}' for name, value in points[group].items())}\n" for group in points
        )
    )
    (tmp_path / "site/example_auditor").symlink_to(PLUGIN / "example_auditor")
    estate = tmp_path / "estate"
    (estate / "hosts/sched-01.example.net/etc").mkdir(parents=True)
    (estate / "hosts/sched-01.example.net/etc/batchd.conf").write_text(
        "# batches\nledger 04:30 old-01.example.net\nother 05:00 new-01.example.net\nbroken\n"
    )
    words = ["checklist", "old-01.example.net", "--estate", str(estate), "--now", "2026-11-30T09:00:00Z"]
    run = subprocess.run(
        [sys.executable, "-m", "auditor.cli.main", *words, "--format", "json", "-q"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path / "site"), str(ROOT)))},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 1, run.stderr
    report = json.loads(run.stdout)
    assert report["failures"] == []
    (found,) = [one for one in report["findings"] if one["rule"] == "batch-on-going-host"]
    assert found["message"] == "job batch ledger on sched-01.example.net starts something on old-01.example.net"
    assert found["evidence"][0]["line"] == 2
    assert found["severity"] == "block"
    assert [row for row in report["coverage"] if "batchd leaves the line out" in row["detail"]]
