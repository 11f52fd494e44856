"""`auditor audit`: every host that is declared as retired, retiring or read-only, or was seen or is tagged so."""

from __future__ import annotations

import argparse
from typing import Any

from auditor.cli import common


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "audit",
        help="the checklist for every host that is declared, or was seen, to go",
        description="The checklist for every host that the inventory declares as retired, retiring or read-only, and "
        "for every host whose root was seen to be read-only, or whose instance is terminated.",
        epilog="example:\n  auditor audit --estate estate/ --format json -o audit.json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common.estate_options(parser)
    common.policy_options(parser)
    common.output_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Audits all declared hosts, each as it is declared."""
    audited = common.run_audit(common.request_of(arguments), quiet=arguments.quiet, own=arguments.rules)
    return common.finish(audited.report, arguments)
