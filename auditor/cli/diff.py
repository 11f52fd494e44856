"""`auditor diff`: what appeared, vanished and changed between two states of an estate."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditor.cli import common

_EPILOG = """\
examples:
  auditor diff monday.sqlar tuesday/                     two snapshots, packed or not
  auditor diff before/ after/ --host legacy-cert-01      with what would break if it went, before and now
  auditor diff before/ after/ --format json | jq '.findings.new'

What the new state could not see is never taken for gone: it is told apart, with when it was last seen.

exit codes:
  0  the same, and everything of the old state was looked at again
  1  something differs
  2  usage: the command line or an estate is wrong
  3  crash: a fault of the auditor
  4  no difference was seen, but not everything of the old state could be looked at
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "diff",
        help="compare two states of an estate: what appeared, vanished and changed",
        description="Compares two states of an estate, as facts (dependencies and what is known of things) and as "
        "findings. Findings are of the hosts given, else of those that each side declares, or saw, to go.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD", type=Path, help="the estate as it was: a directory or a packed one")
    parser.add_argument("new", metavar="NEW", type=Path, help="the estate as it is now")
    parser.add_argument(
        "--host",
        dest="hosts",
        metavar="HOST",
        action="append",
        default=[],
        help="findings for this host, as if it went: HOST or HOST=ALIAS,ALIAS; may be given several times",
    )
    parser.add_argument(
        "--as",
        dest="lifecycle",
        type=common.lifecycle,
        metavar="LIFECYCLE",
        help="retired or read-only (default: as the inventory declares, else retired)",
    )
    parser.add_argument(
        "--now", metavar="TIME", type=common.moment, help="judge both as of this time, ISO 8601 (default: the present)"
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")
    common.output_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compares; exit code 0 if both are the same, 1 if not, 4 if that can't be said of everything."""
    from auditor.audit.diff import compare
    from auditor.audit.scenario import parse_hosts
    from auditor.cli.progress import Progress
    from auditor.registry import load_collectors, load_rules
    from auditor.report.diff import render
    from auditor.report.diff.wording import exit_code

    common.fewer_collections()
    hosts = tuple(parse_hosts(arguments.hosts))
    collectors, failures = load_collectors()
    rules, more = load_rules()
    with Progress("comparing", quiet=arguments.quiet) as bar:
        diff = compare(
            arguments.old,
            arguments.new,
            hosts,
            arguments.lifecycle,
            arguments.now or datetime.now(UTC),
            collectors,
            rules,
            (*failures, *more),
            progress=bar.stage,
        )
    common.write(lambda color, width: render(diff, arguments.format, color=color, width=width), arguments)
    return exit_code(diff)
