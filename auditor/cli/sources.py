"""`auditor sources`: what can be read."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from auditor.cli import common


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "sources",
        help="list what can be read, and what each source can't show",
        description="Lists the formats that are read: where from, what they yield, and what they can't show.",
    )
    common.output_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the list; exit code 3 if a collector does not load."""
    from auditor.registry import load_collectors
    from auditor.report.sources import render_sources

    collectors, failures = load_collectors()
    common.write(lambda color, width: render_sources(collectors, arguments.format, color=color, width=width), arguments)
    for failure in failures:
        print(f"auditor: {failure.what}: {failure.error}\n  {failure.hint}", file=sys.stderr)
    return 3 if failures else 0
