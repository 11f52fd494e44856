"""`auditor explain RULE`: the documentation of one rule."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from typing import Any

from auditor.cli import common
from auditor.errors import UsageError
from auditor.phrases import listed


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "explain",
        help="what a rule does, why it matters, what to do, and what it can't see",
        description="What a rule does, why it matters, what to do, and what it can't see.",
    )
    parser.add_argument("rule", metavar="RULE", help="a rule's id, as `auditor rules` lists them")
    common.rule_option(parser)
    common.output_options(parser, ("text", "json", "markdown"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the rule's docstring."""
    from auditor.report.explain import render_rule

    rules, _ = common.all_rules(arguments.rules)
    by_id = {rule.id: rule for rule in rules}
    # As reports have it behind a finding: `[mention]`.
    asked = arguments.rule.strip(" []").lower()
    rule = by_id.get(asked)
    if rule is None:
        within = sorted(one for one in by_id if asked and asked in one)
        close = get_close_matches(asked, by_id, 3, 0.5)
        meant = f"Did you mean {' or '.join(close)}? " if close else ""
        if within:
            meant = f"Called so in part: {listed(within, 6)}. "
        raise UsageError(f"no rule {arguments.rule!r}", hint=f"{meant}`auditor rules` lists them all.")
    if arguments.format == "markdown":
        from auditor.report.rule_pages import render_page

        common.write(lambda _color, _width: render_page(rule), arguments)
        return 0
    common.write(lambda color, width: render_rule(rule, format=arguments.format, color=color, width=width), arguments)
    return 0
