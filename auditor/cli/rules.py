"""`auditor rules`: all rules; `auditor rules test`: those of one's own against their tests; `auditor rules schema`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from auditor.cli import common
from auditor.errors import UsageError
from auditor.phrases import plural
from auditor.text import printable

PASSED, FAILED = 0, 1

_EPILOG = """\
examples:
  auditor rules                                     all rules, built-in ones and plugins
  auditor rules --rules company-rules/              with rules of your own in YAML
  auditor rules test company-rules/                 each finds what its tests expect, and nothing else
  auditor rules schema > rules.schema.json          for your editor
"""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "rules",
        help="list all rules; test rules of your own",
        description="Lists all rules, built-in ones and plugins.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common.rule_option(parser)
    common.output_options(parser, ("text", "json", "markdown"))
    parser.set_defaults(run=run)
    below = parser.add_subparsers(title="commands", metavar="COMMAND", dest="what")
    test = below.add_parser(
        "test",
        help="run the tests of rules in YAML",
        description="Runs the tests of rules in YAML. A test fails if a finding that it expects is not there, and if "
        "there is one that it does not expect. Exit code 0 if all pass, 1 if one fails, 2 if a file is wrong.",
    )
    test.add_argument("place", metavar="PATH", type=Path, help="a file, or a directory of them")
    test.add_argument("--quiet", "-q", action="store_true", help="only the tests that fail")
    test.set_defaults(run=run_test)
    schema = below.add_parser(
        "schema",
        help="print the JSON Schema of rules in YAML",
        description="Prints the JSON Schema of files with rules and tests, for editors.",
    )
    common.output_options(schema, ("json",))
    schema.set_defaults(run=run_schema)


def run(arguments: argparse.Namespace) -> int:
    """Prints the table; exit code 3 if a rule does not load."""
    from auditor.report.explain import render_rules

    rules, failures = common.all_rules(arguments.rules)
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


def run_test(arguments: argparse.Namespace) -> int:
    """Runs the tests of a directory; rules without any are told."""
    from auditor.audit.rule_tests import run_tests
    from auditor.registry import load_collectors, load_rules
    from auditor.yamlrules.loading import load_rules as load_yaml_rules

    found = load_yaml_rules(arguments.place, load_rules()[0])
    if not found.rules:
        raise UsageError(f"{arguments.place}: no rules in it", hint="docs/own-rules.md has one to start from.")
    if not found.tests:
        raise UsageError(
            f"{arguments.place}: no tests in it", hint="A rule without a test may never fire: write `tests:`."
        )
    collectors, _ = load_collectors()
    failed = 0
    for one in run_tests(found.tests, found.rules, collectors):
        failed += bool(one.wrong)
        if one.wrong or not arguments.quiet:
            print(printable(f"{'FAIL' if one.wrong else 'ok'}  {one.path}:{one.line}  {one.name}"))
        for line in one.wrong:
            print(printable(f"      {line}"))
    tested = {expected.rule for one in found.tests for expected in one.test.expect}
    for rule in found.rules:
        if rule.id not in tested:
            print(printable(f"!     {rule.where}  {rule.id} is found by no test"))
    print(f"{plural(len(found.tests), 'test')} of {plural(len(found.rules), 'rule')}: {failed} failed")
    return FAILED if failed else PASSED


def run_schema(arguments: argparse.Namespace) -> int:
    """Prints the JSON Schema."""
    from auditor.yamlrules.schema import json_schema

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    common.write(lambda _color, _width: text, arguments)
    return PASSED
