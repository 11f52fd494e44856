"""A gate on a repository, cold and with a cache, beside `git diff` and `git grep` for the same names.

    python benchmarks/gate.py TREE HOST [HOST…]

The tree is committed to a repository in a temporary directory. Two changes are judged: one that takes each line with
the hosts' names out of the inventories (files whose path names one), and one that adds a line to a text file. Whole
processes; seconds are wall-clock, and CPU seconds of the process with git's, each the median of several runs.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def measured(command: Sequence[str], runs: int, where: Path) -> tuple[float, float]:
    """Medians of wall-clock and CPU seconds; its output goes nowhere."""
    wall, cpu = [], []
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        subprocess.run(
            command,
            cwd=where,
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        wall.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(wall), statistics.median(cpu)


def git(repository: Path, *arguments: str) -> None:
    """A command of git, without this machine's settings."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.net")
    subprocess.run(["git", *identity, *arguments], cwd=repository, env=environment, check=True, capture_output=True)


def take_out(repository: Path, names: Sequence[str]) -> int:
    """Takes the lines with these names out of inventories; returns how many."""
    count = 0
    for path in repository.rglob("*"):
        parts = path.relative_to(repository).parts
        if ".git" in parts or not path.is_file() or not {"inventory", "hosts"} & {parts[-1], *parts[:1]}:
            continue
        lines = path.read_bytes().split(b"\n")
        kept = [line for line in lines if line.strip() not in {name.encode() for name in names}]
        if len(kept) < len(lines):
            path.write_bytes(b"\n".join(kept))
            count += len(lines) - len(kept)
    return count


def main() -> int:
    """Prints a table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tree", type=Path)
    parser.add_argument("hosts", nargs="+")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    auditor = [sys.executable, "-m", "auditor.cli.main"]
    patterns = [part for host in arguments.hosts for name in (host, host.split(".")[0]) for part in ("-e", name)]
    with tempfile.TemporaryDirectory() as place:
        repository, cache = Path(place, "repository"), str(Path(place, "cache"))
        shutil.copytree(arguments.tree, repository, symlinks=True)
        git(repository, "init", "-q")
        git(repository, "add", "-A", "-f")
        git(repository, "commit", "-qm", "before")
        taken = take_out(repository, arguments.hosts)
        git(repository, "commit", "-qam", "the host is gone", "--allow-empty")
        (repository / "added.txt").write_text("nothing to do with servers\n")
        git(repository, "add", "-A")
        git(repository, "commit", "-qm", "a line")
        gate = [*auditor, "gate", "--quiet", "--format", "json"]
        gone, line = ["--base", "HEAD~2", "--head", "HEAD~1"], ["--base", "HEAD~1", "--head", "HEAD"]
        rows = [
            ("gate, host gone, cold", measured([*gate, *gone], arguments.runs, repository)),
            ("gate, a line, cold", measured([*gate, *line], arguments.runs, repository)),
        ]
        # The cache is that of the main branch: what a change brings is parsed.
        measured([*gate, "--base", "HEAD~2", "--head", "HEAD~2", "--cache-dir", cache], 1, repository)
        saved = Path(place, "saved")
        shutil.copytree(cache, saved)
        for name, change in (("host gone", gone), ("a line", line)):
            results = []
            for _ in range(arguments.runs):
                shutil.rmtree(cache)
                shutil.copytree(saved, cache)
                results.append(measured([*gate, *change, "--cache-dir", cache], 1, repository))
            medians = tuple(statistics.median(part) for part in zip(*results, strict=True))
            rows.append((f"gate, {name}, warm", (medians[0], medians[1])))
        rows += [
            ("auditor --help", measured([*auditor, "--help"], arguments.runs, repository)),
            ("git diff", measured(["git", "diff", "HEAD~2", "HEAD~1"], arguments.runs, repository)),
            ("git grep", measured(["git", "grep", "-nwF", *patterns, "HEAD~1"], arguments.runs, repository)),
        ]
        files = len(subprocess.check_output(["git", "ls-files"], cwd=repository).splitlines())
    print(f"{files} files, {taken} lines taken out, medians of {arguments.runs} runs, load {os.getloadavg()[0]:.1f}")
    print(f"{'':24}   wall s    CPU s")
    for name, (wall, cpu) in rows:
        print(f"{name:24} {wall:8.3f} {cpu:8.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
