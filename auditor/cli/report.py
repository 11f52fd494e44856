"""`auditor report HOST… -o review.html`: the checklist as a page for a review."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from auditor.cli import common
from auditor.cli.records import intact, with_kept
from auditor.errors import UsageError

_EPILOG = """\
examples:
  auditor report legacy-cert-01.example.org --estate estate/ --as read-only -o review.html
  auditor report web01.example.org web02.example.org --on 2026-12-01 -o migration.html
  auditor report legacy-cert-01.example.org --estate estate/ --run run.jsonl -o review.html    with its signatures
  auditor report --estate estate/ -o review.html                 every host that the inventory declares as going
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        help="the checklist as one HTML page for a review, with the graph",
        description="The checklist as one HTML file for a review: findings with their paths and evidence, the graph,\n"
        "a timeline, and what was looked at. It loads nothing from elsewhere.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "hosts",
        metavar="HOST[=ALIAS,…]",
        nargs="*",
        help="a host, and what else it is called, or a range, web[01:20] (default: those that the inventory declares "
        "as going)",
    )
    common.estate_options(parser)
    common.policy_options(parser)
    common.scenario_options(parser)
    parser.add_argument(
        "--run",
        dest="kept",
        metavar="FILE",
        type=Path,
        help="show the answers and signatures of the runs that `auditor checklist --run` keeps in FILE, and what is "
        "new since the last one; nothing is added to it",
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write to a file instead of stdout")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the page; returns the exit code of the verdict."""
    from auditor.audit.scenario import parse_hosts

    if arguments.output is None and sys.stdout.isatty():
        raise UsageError("a page is of no use on a terminal", hint="Give a file with -o review.html.")
    if arguments.kept is not None:
        intact(arguments.kept)
    hosts = parse_hosts(arguments.hosts)
    request = common.request_of(arguments, hosts, arguments.lifecycle, arguments.on)
    audited = common.run_audit(request, quiet=arguments.quiet, own=arguments.rules)

    from auditor.page import render_page
    from auditor.page.review import review_of
    from auditor.report.summary import EXIT_CODES

    if arguments.kept is not None:
        audited = replace(audited, report=with_kept(arguments.kept, audited))
    common.write_file(render_page(review_of(audited)), arguments.output)
    return EXIT_CODES[audited.report.verdict]
