"""`auditor policy check|schema`: the policy alone."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditor.cli import common
from auditor.errors import UsageError
from auditor.phrases import plural
from auditor.policy import POLICY


def add(commands: Any) -> None:
    parser = commands.add_parser("policy", help="check a policy, or print its JSON Schema")
    below = parser.add_subparsers(title="commands", metavar="COMMAND", dest="what", required=True)
    check = below.add_parser(
        "check",
        help="say what is wrong with a policy, by file and line",
        description="Says what is wrong with a policy, by file and line. Exit code 0 if nothing is, 2 otherwise.",
    )
    check.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=Path,
        default=Path(POLICY),
        help="the policy, or its estate's directory",
    )
    check.add_argument(
        "--now", metavar="TIME", type=common.moment, help="judge as of this time, ISO 8601 (default: the present)"
    )
    common.rule_option(check)
    check.set_defaults(run=run_check)
    schema = below.add_parser(
        "schema",
        help="print the JSON Schema for editors",
        description="Prints the JSON Schema of policy.yaml, for editors.",
    )
    common.output_options(schema, ("json",))
    schema.set_defaults(run=run_schema)


def run_check(arguments: argparse.Namespace) -> int:
    """Loads a policy; its problems are raised as PolicyError."""
    from auditor.policy.loading import load_policy

    path: Path = arguments.file / POLICY if arguments.file.is_dir() else arguments.file
    if not path.is_file():
        raise UsageError(f"{path}: no such file", hint="docs/policy.md has one to start from.")
    rules, _ = common.all_rules(arguments.rules)
    now = arguments.now or datetime.now(UTC)
    policy = load_policy(path, rules, now)
    document = policy.document
    expired = [one for one in document.waivers if one.expires < now.date()]
    for one in expired:
        print(f"{path}:{one.line}: expired on {one.expires}: {one.reason} ({one.owner})")
    said = f"{plural(len(document.rules), 'change')} of rules, {plural(len(document.waivers), 'waiver')}"
    if policy.baseline is not None:
        said += f", {plural(len(policy.baseline.document.findings), 'known finding')}"
    print(f"{path}: good: {said}" + (f", {len(expired)} of them expired" if expired else ""))
    return 0


def run_schema(arguments: argparse.Namespace) -> int:
    """Prints the schema."""
    from auditor.policy.schema import policy_json_schema

    common.write(lambda _color, _width: json.dumps(policy_json_schema(), indent=2) + "\n", arguments)
    return 0
