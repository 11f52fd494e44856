"""A checklist of a real repository beside grep with the same host's names: whole processes, medians of several runs.

    python benchmarks/checklist.py TREE HOST [HOST…]

The auditor is given the full names; grep the full and short names, as fixed words. Also times `auditor --help`, which
is start-up alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def median(command: Sequence[str], runs: int, **options: object) -> float:
    """Median wall-clock seconds of a command; its output goes nowhere."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, **options)  # type: ignore[call-overload]
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> int:
    """Prints a table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tree", type=Path)
    parser.add_argument("hosts", nargs="+")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--auditor", default=f"{sys.executable} -m auditor.cli.main")
    arguments = parser.parse_args()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    auditor = arguments.auditor.split()
    names = [name for host in arguments.hosts for name in (host, host.split(".")[0])]
    rows = [
        (
            "auditor checklist",
            median(
                [*auditor, "checklist", *arguments.hosts, "--estate", str(arguments.tree), "--format", "json"],
                arguments.runs,
                env=environment,
            ),
        ),
        ("auditor --help", median([*auditor, "--help"], arguments.runs, env=environment)),
        (
            "grep -rnwF",
            median(
                ["grep", "-rnwF", *[part for name in names for part in ("-e", name)], str(arguments.tree)],
                arguments.runs,
            ),
        ),
    ]
    files = sum(1 for path in arguments.tree.rglob("*") if path.is_file())
    print(f"{files} files, median of {arguments.runs} runs")
    for name, seconds in rows:
        print(f"{name:20} {seconds:7.3f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
