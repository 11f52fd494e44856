"""`auditor rules`: all rules."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from auditor.cli import common


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "rules", help="list all rules", description="Lists all rules, built-in ones and plugins."
    )
    common.output_options(parser, ("text", "json", "markdown"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the table; exit code 3 if a rule does not load."""
    from auditor.registry import load_rules
    from auditor.report.explain import render_rules

    rules, failures = load_rules()
    if arguments.format == "markdown":
        from auditor.report.rule_pages import render_index

        common.write(lambda _color, _width: render_index(rules), arguments)
    else:
        common.write(
            lambda color, width: render_rules(rules, format=arguments.format, color=color, width=width), arguments
        )
    for failure in failures:
        print(f"auditor: {failure.what}: {failure.error}\n  {failure.hint}", file=sys.stderr)
    return 3 if failures else 0
