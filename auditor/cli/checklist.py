"""`auditor checklist HOST…`: what must be done before these hosts can go."""

from __future__ import annotations

import argparse
from typing import Any

from auditor.cli import common

_EPILOG = """\
examples:
  auditor checklist legacy-cert-01.example.org --estate estate/ --as read-only
  auditor checklist web01.example.org=web01,10.0.0.7 web02.example.org --on 2026-12-01 --format markdown -o ticket.md
  git clone …/infrastructure && auditor checklist db03.example.org --estate infrastructure/
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "checklist",
        help="what still depends on these hosts, as a pre-decommission checklist",
        description="What still depends on these hosts: what would break, what would go blind, and when.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("hosts", metavar="HOST[=ALIAS,…]", nargs="+", help="a host, and what else it is called")
    common.estate_options(parser)
    common.policy_options(parser)
    common.scenario_options(parser)
    common.output_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Audits the hosts asked for."""
    from auditor.audit.scenario import parse_host

    hosts = [parse_host(word) for word in arguments.hosts]
    request = common.request_of(arguments, hosts, arguments.lifecycle, arguments.on)
    return common.finish(common.run_audit(request, quiet=arguments.quiet, own=arguments.rules).report, arguments)
