"""The mention scan beside grep and ripgrep: the same text, the same names.

    python -m benchmarks.mentions DIRECTORY... [--names NAME...] [--many 100000]

`in memory` is the scan alone, over text that was read before; `a file at a time` is the same without joining small
files. The programs are whole processes over the files, which are in the page cache; what they print is counted and
dropped. grep and ripgrep get the full names, short names and addresses that the scanner looks for; they know no ranges
and no boundaries of host names.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from auditor.graph.hosts import HostTable, identities
from auditor.graph.mentions import MentionScanner
from auditor.text import is_binary

NAMES = (
    "legacy-cert-01.eventide.net",
    "api017.eventide.net",
    "proxy14.example.org",
    "seoul.mirror.example.com",
)
REPEATS = 5


def texts_below(directories: list[Path]) -> list[bytes]:
    """The content of every text file."""
    found = []
    for directory in directories:
        for path in sorted(directory.rglob("*")):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                if not is_binary(content[:4096]):
                    found.append(content)
    return found


def median(run: Callable[[], int]) -> tuple[float, int]:
    """Median seconds of REPEATS runs, and what the last one counted."""
    seconds, count = [], 0
    for _ in range(REPEATS):
        started = time.perf_counter()
        count = run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), count


def scanner(names: list[str]) -> tuple[MentionScanner, list[str]]:
    """A scanner for hosts of these names, and the words that a program would be given."""
    table = HostTable()
    for name in names:
        table.add(name, "benchmark")
    wanted = identities(table, list(table.records))
    return MentionScanner(table, wanted), [one.text for one in wanted]


def program(command: list[str], words: list[str], directories: list[Path]) -> Callable[[], int]:
    """A run of grep or ripgrep with these words; counts the lines that it prints."""
    arguments = [*command, *(part for word in words for part in ("-e", word)), *map(str, directories)]
    return lambda: subprocess.run(arguments, capture_output=True, check=False).stdout.count(b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("directories", metavar="DIRECTORY", nargs="+", type=Path)
    parser.add_argument("--names", nargs="+", default=list(NAMES))
    parser.add_argument("--many", type=int, default=100_000)
    arguments = parser.parse_args()
    texts = texts_below(arguments.directories)
    megabytes = sum(map(len, texts)) / 1e6
    print(f"{len(texts):,} files, {megabytes:.1f} MB; median of {REPEATS}\n")
    print("| | s | MB/s | found |\n|---|---|---|---|")

    def row(what: str, run: Callable[[], int]) -> None:
        seconds, count = median(run)
        print(f"| {what} | {seconds:.3f} | {megabytes / seconds:,.0f} | {count:,} |", flush=True)

    few, words = scanner(arguments.names)
    row(f"{len(arguments.names)} names, in memory", lambda: sum(map(len, few.scan_all(texts))))
    row(f"{len(arguments.names)} names, a file at a time", lambda: sum(len(few.scan(text)) for text in texts))
    started = time.perf_counter()
    many, _ = scanner([*arguments.names, *(f"node{n:06}.site{n % 50}.eventide.net" for n in range(arguments.many))])
    built = time.perf_counter() - started
    row(f"{arguments.many:,} names, in memory", lambda: sum(map(len, many.scan_all(texts))))
    row("grep -rnwIFi, whole process", program(["grep", "-rnwIFi"], words, arguments.directories))
    if shutil.which("rg"):
        command = ["rg", "--no-ignore", "--hidden", "-nwFi"]
        row("ripgrep, whole process", program(command, words, arguments.directories))
    print(f"\nThe scanner of {arguments.many:,} names is built in {built:.1f} s.")


if __name__ == "__main__":
    main()
