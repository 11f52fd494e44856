"""`auditor checklist HOST…`: what must be done before these hosts can go."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from auditor.cli import common
from auditor.cli.records import keep, with_kept

_EPILOG = """\
examples:
  auditor checklist legacy-cert-01.example.org --estate estate/ --as read-only
  auditor checklist web01.example.org=web01,10.0.0.7 web02.example.org --on 2026-12-01 --format markdown -o ticket.md
  auditor checklist 'web[01:20].example.org' --estate estate/     a range, as in the inventory
  git clone …/infrastructure && auditor checklist db03.example.org --estate infrastructure/
  auditor checklist legacy-cert-01 --after --estate now/ --estate before/     is it gone, and forgotten?
  auditor checklist legacy-cert-01 --estate estate/ --run run.jsonl     keeps the run; tells what is new and fixed

on a run that is kept (each with --help):
  auditor checklist show FILE       what is open, answered and signed off
  auditor checklist answer FILE ITEM --by NAME --answer yes|no|na
  auditor checklist sign FILE --area AREA --by NAME
  auditor checklist verify FILE     finds any change of the file
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "checklist",
        help="what still depends on these hosts, as a pre-decommission checklist",
        description="What still depends on these hosts: what would break, what would go blind, and when.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "hosts", metavar="HOST[=ALIAS,…]", nargs="+", help="a host, and what else it is called, or a range, web[01:20]"
    )
    common.estate_options(parser)
    common.policy_options(parser)
    common.scenario_options(parser)
    parser.add_argument(
        "--run",
        dest="kept",
        metavar="FILE",
        type=Path,
        help="keep this run: add it to FILE, and tell what is new, fixed or still open since the last one",
    )
    common.output_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Audits the hosts asked for."""
    from auditor.audit.scenario import parse_hosts

    hosts = parse_hosts(arguments.hosts)
    request = common.request_of(arguments, hosts, arguments.lifecycle, arguments.on)
    kept: Path | None = arguments.kept
    if kept is None:
        return common.finish(common.run_audit(request, quiet=arguments.quiet, own=arguments.rules).report, arguments)
    audited = common.run_audit(replace(request, digest=True), quiet=arguments.quiet, own=arguments.rules)
    report = with_kept(kept, audited)
    keep(kept, report, quiet=arguments.quiet)
    return common.finish(report, arguments)
